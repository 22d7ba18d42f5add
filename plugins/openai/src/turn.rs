//! One run: ask the model, do what it asks for, ask again, until it has answered.

use plugin_api::serde_json::json;
use plugin_api::{Event, Outcome, RunContext, RunError, RunRequest, tracing};

use crate::OpenAi;
use crate::api::{ImageUrl, Message, Prompt, Reply, Usage};
use crate::compress::{Compressing, Summary};
use crate::conversation::Conversation;
use crate::history;
use crate::offer::Offer;
use crate::own;
use crate::profiles;
use crate::tools::{self, Tools};
use crate::voice::{Show, Voice};

/// A run and how far it is.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) agent: &'a OpenAi,
    pub(crate) ctx: &'a RunContext,
    request: &'a RunRequest,
    pub(crate) voice: Voice<'a>,
    pub(crate) conversation: Conversation,
    pub(crate) offer: Offer,
    /// The id of the profile in force, where there are any.
    profile: Option<String>,
    /// What the window holds when the model is asked next.
    pub(crate) context_tokens: u64,
    pub(crate) compressing: Compressing,
    /// By all requests of the run.
    generated_tokens: u64,
}

impl OpenAi {
    /// What every request has.
    pub(crate) fn prompt(&self) -> Prompt<'_> {
        Prompt {
            model: &self.config.model,
            system: "",
            messages: &[],
            tools: &[],
            parameters: &self.config.parameters,
            return_reasoning: self.config.return_reasoning,
        }
    }
}

impl<'a> Turn<'a> {
    pub(crate) fn new(agent: &'a OpenAi, request: &'a RunRequest, ctx: &'a RunContext) -> Self {
        Self {
            agent,
            ctx,
            request,
            voice: Voice::new(ctx),
            conversation: Conversation::new(&agent.config.system_prompt),
            offer: Offer::default(),
            profile: None,
            context_tokens: 0,
            compressing: Compressing::Allowed,
            generated_tokens: 0,
        }
    }

    /// The whole run. What it has said stays in it, however this ends.
    pub(crate) async fn run(&mut self) -> Result<(), RunError> {
        self.prepare().await?;
        self.compress().await?;
        if self.agent.config.planning {
            self.plan().await?;
        }
        let most = self.agent.config.max_iterations;
        for iteration in 1..=most {
            self.compress().await?;
            let reply = self.ask().await?;
            let calls = reply.said.calls.clone();
            let is_nothing = reply.is_cut && reply.said.text.trim().is_empty() && calls.is_empty();
            self.hear(reply);
            if is_nothing {
                return Err(RunError::agent(
                    "The model's answer has reached its greatest length before it had said anything.",
                ));
            }
            if calls.is_empty() {
                return Ok(());
            }
            // What nobody is going to read is not done.
            if iteration < most {
                let tools = Tools {
                    ctx: self.ctx,
                    offer: &self.offer,
                    profiles: &self.agent.config.profiles,
                };
                let results = tools.call_all(calls).await?;
                for message in results.messages {
                    self.context_tokens += message.estimate();
                    self.conversation.push(message);
                }
                if let Some(id) = results.profile {
                    self.go_over_to(&id).await?;
                }
            }
        }
        Err(RunError::max_iterations(format_args!(
            "The model was asked {most} times and has not come to an answer (max_iterations)."
        )))
    }

    /// Finds the profile that is in force, and tells of one that was not in force before.
    async fn find_profile(&mut self) -> Result<(), RunError> {
        let config = &self.agent.config;
        let Some(default) = config.profile.as_deref() else {
            self.offer = self.offer();
            return Ok(());
        };
        let chosen = self.request.profile.as_deref().unwrap_or(default);
        let id = if config.profiles.contains_key(chosen) {
            chosen
        } else {
            tracing::warn!(
                profile = chosen,
                "the session's profile is not configured; `{default}` is used"
            );
            default
        };
        let previous = self.request.previous.as_ref();
        let before = previous.and_then(|data| data["profile"].as_str());
        if id == before.unwrap_or(default) {
            self.take_on(id);
            return Ok(());
        }
        self.go_over_to(id).await
    }

    /// Goes on under another profile, and says so.
    async fn go_over_to(&mut self, id: &str) -> Result<(), RunError> {
        if self.profile.as_deref() != Some(id) {
            self.take_on(id);
            let name = profiles::name(&self.agent.config.profiles, id);
            self.ctx.emit(Event::profile_switched(id, name)).await?;
        }
        Ok(())
    }

    fn take_on(&mut self, id: &str) {
        let profile = self.agent.config.profiles.get(id);
        self.profile = Some(id.to_owned());
        self.conversation.profile_prompt = profile.map_or_else(String::new, |profile| {
            profile.system_prompt.trim().to_owned()
        });
        self.offer = self.offer();
    }

    /// What the model is offered under the profile in force.
    fn offer(&self) -> Offer {
        let config = &self.agent.config;
        let profile = self.profile.as_ref().and_then(|id| config.profiles.get(id));
        let allows = |tool: &str| profile.is_none_or(|profile| profile.allows(tool));
        let mut offer = Offer::new(&self.request.tools, allows);
        let subagents = self.request.subagents.iter();
        offer.add_subagents(subagents.filter(|agent| allows(&own::ask(&agent.name))));
        if let Some(id) = &self.profile {
            offer.add_profiles(&config.profiles, id);
        }
        if config.memory {
            offer.add_memory();
        }
        offer
    }

    /// Gathers what the model is told at the beginning.
    async fn prepare(&mut self) -> Result<(), RunError> {
        self.find_profile().await?;
        let mut known = None;
        // A subagent is asked by its caller, who tells it what it needs; what the user and others said is not its.
        if self.request.depth == 0 {
            let Summary { text, through_turn } = Summary::load(self.ctx).await?;
            self.conversation.summary = text;
            let most = self.agent.config.max_history_turns as usize;
            let images = self.agent.config.max_history_images as usize;
            let loaded = history::load(self.ctx, through_turn, most, images).await?;
            self.conversation.remember(loaded.past);
            // What was kept with an earlier answer does not count those that have failed since, or were another agent's.
            let previous = self.request.previous.as_ref();
            let previous = previous.filter(|previous| loaded.latest.as_ref() == Some(previous));
            known = previous.and_then(|data| data["context_tokens"].as_u64());
        }
        let images: Vec<ImageUrl> = self
            .request
            .images
            .iter()
            .map(|image| Ok(ImageUrl::of(image.media_type(), &image.bytes()?)))
            .collect::<Result<_, RunError>>()?;
        self.conversation.push_user(&self.request.content, images);
        self.context_tokens = match known {
            // What the API has counted is better than what is guessed; the latest message is not in it.
            Some(tokens) => {
                let latest = self.conversation.messages().last();
                tokens.saturating_add(latest.map_or(0, Message::estimate))
            }
            None => self.conversation.estimate(&self.offer.definitions),
        };
        Ok(())
    }

    async fn ask(&mut self) -> Result<Reply, RunError> {
        let system = self.conversation.system();
        let prompt = Prompt {
            system: &system,
            messages: self.conversation.messages(),
            tools: &self.offer.definitions,
            ..self.agent.prompt()
        };
        self.agent.ask(&prompt, Show::All, &mut self.voice).await
    }

    /// Takes an answer into the conversation.
    fn hear(&mut self, reply: Reply) {
        self.count(reply.usage);
        let mut said = reply.said;
        for call in &mut said.calls {
            call.arguments = tools::readable(&call.arguments);
        }
        let message = Message::Assistant(said);
        self.context_tokens = match reply.usage {
            Some(usage) => usage.total,
            None => self.context_tokens + message.estimate(),
        };
        self.conversation.push(message);
        if self.compressing == Compressing::Done {
            self.compressing = Compressing::Allowed;
        }
    }

    pub(crate) fn count(&mut self, usage: Option<Usage>) {
        let generated = usage.map_or(0, |usage| usage.generated);
        self.generated_tokens = self.generated_tokens.saturating_add(generated);
    }

    /// What the host is told of a run that ended like this.
    pub(crate) fn outcome(self, ended: Result<(), RunError>) -> Result<Outcome, RunError> {
        let said = self.voice.said();
        let outcome = match ended {
            Ok(()) => Outcome::finished(said),
            Err(RunError::Stopped) if self.ctx.is_stopped() => Outcome::stopped(said),
            Err(error) => return Err(error),
        };
        Ok(outcome
            .token_count(self.generated_tokens)
            .context_tokens(self.context_tokens)
            .max_context_tokens(self.agent.config.max_context_tokens)
            .data(json!({"context_tokens": self.context_tokens, "profile": self.profile})))
    }
}
