//! Tools that the agent has within itself: other agents, its profiles, what it remembers.

use plugin_api::serde_json::{Value, json};
use plugin_api::{RunContext, RunError, ServiceError, ServiceErrorCode, SubagentInfo};

use crate::offer::Offer;
use crate::profiles::{Profiles, name};

/// How many entries the model gets of a search.
const FOUND: u32 = 10;

/// A tool of the agent's own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Own {
    /// Gives a task to a configured agent.
    Ask(String),
    SwitchProfile,
    MemorySave,
    MemorySearch,
    MemoryDelete,
}

impl Own {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Ask(agent) => ask(agent),
            Self::SwitchProfile => "switch_profile".to_owned(),
            Self::MemorySave => "memory_save".to_owned(),
            Self::MemorySearch => "memory_search".to_owned(),
            Self::MemoryDelete => "memory_delete".to_owned(),
        }
    }
}

/// The name of the tool that gives tasks to an agent.
pub(crate) fn ask(agent: &str) -> String {
    format!("ask_{agent}")
}

impl Offer {
    /// Adds agents that can be asked.
    pub(crate) fn add_subagents<'a>(&mut self, agents: impl Iterator<Item = &'a SubagentInfo>) {
        for agent in agents {
            let summary = agent.summary.trim();
            self.add_own(
                Own::Ask(agent.name.clone()),
                format!(
                    "Gives a task to the agent `{}` and returns its answer. {summary}",
                    agent.name
                ),
                texts(&[(
                    "task",
                    "All that the agent needs to know: it does not see this conversation.",
                )]),
            );
        }
    }

    /// Adds the way to the profiles other than the present one.
    pub(crate) fn add_profiles(&mut self, profiles: &Profiles, present: &str) {
        let others: Vec<_> = profiles.iter().filter(|(id, _)| *id != present).collect();
        if others.is_empty() {
            return;
        }
        let mut text = format!(
            "Goes over to another profile, with instructions and tools of its own, for the rest of the conversation. \
             The present one is `{present}`. The others:"
        );
        for (id, profile) in &others {
            text += &format!(
                "\n- `{id}`: {}. {}",
                name(profiles, id),
                profile.description
            );
        }
        let ids: Vec<_> = others.iter().map(|(id, _)| id).collect();
        let schema = json!({
            "type": "object",
            "properties": {"profile": {"type": "string", "enum": ids}},
            "required": ["profile"],
            "additionalProperties": false,
        });
        self.add_own(Own::SwitchProfile, text, schema);
    }

    /// Adds what is remembered for the user.
    pub(crate) fn add_memory(&mut self) {
        let description = "Remembers something about or for the user, across all conversations. What has the same \
            key is replaced.";
        let schema = texts(&[
            (
                "key",
                "A short name to find and replace it by, such as `favourite tea`.",
            ),
            ("text", "What to remember, understandable by itself."),
        ]);
        self.add_own(Own::MemorySave, description.to_owned(), schema);
        let description = "Looks for what was remembered earlier, also in other conversations. Use it when \
            something about the user or from earlier could matter.";
        let schema = texts(&[(
            "query",
            "Words, any of which is to be found; empty for the latest entries.",
        )]);
        self.add_own(Own::MemorySearch, description.to_owned(), schema);
        let description = "Forgets what was remembered under a key.";
        let schema = texts(&[("key", "The key.")]);
        self.add_own(Own::MemoryDelete, description.to_owned(), schema);
    }
}

/// The schema of an object of texts, each a name and what it is.
fn texts(fields: &[(&str, &str)]) -> Value {
    let mut schema = json!({
        "type": "object", "properties": {}, "required": [], "additionalProperties": false,
    });
    for (name, description) in fields {
        schema["properties"][*name] = json!({"type": "string", "description": description});
    }
    schema["required"] = fields.iter().map(|(name, _)| *name).collect();
    schema
}

/// What a tool of the agent's own came to: its result, or why there is none; both for the model.
pub(crate) struct Done {
    pub(crate) result: Result<String, String>,
    /// The profile that is in force from now on.
    pub(crate) profile: Option<String>,
}

/// Does what one of them is for.
///
/// # Errors
///
/// The run is over.
pub(crate) async fn perform(
    own: &Own,
    args: &Value,
    ctx: &RunContext,
    profiles: &Profiles,
) -> Result<Done, RunError> {
    let mut profile = None;
    let result = match own {
        Own::Ask(agent) => asked(agent, args, ctx).await?,
        Own::SwitchProfile => switched(args, profiles).map(|id| {
            profile = Some(id.to_owned());
            format!("From now on: {}.", name(profiles, id))
        }),
        Own::MemorySave => {
            let (key, text) = (text(args, "key"), text(args, "text"));
            match (key, text) {
                (Ok(key), Ok(text)) => heard(ctx.memory_put(key, text).await)?.map(|is_new| {
                    let what = if is_new { "Remembered" } else { "Replaced" };
                    format!("{what}: {key}")
                }),
                (Err(problem), _) | (_, Err(problem)) => Err(problem),
            }
        }
        Own::MemorySearch => {
            let query = args["query"].as_str().unwrap_or_default();
            heard(ctx.memory_search(query, FOUND).await)?.map(|entries| {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|entry| json!({"key": entry.key, "text": entry.text}))
                    .collect();
                match entries.is_empty() {
                    true => "Nothing is remembered about that.".to_owned(),
                    false => Value::from(entries).to_string(),
                }
            })
        }
        Own::MemoryDelete => match text(args, "key") {
            Ok(key) => heard(ctx.memory_delete(key).await)?.and_then(|deleted| match deleted {
                true => Ok(format!("Forgotten: {key}")),
                false => Err(format!("Nothing is remembered as `{key}`.")),
            }),
            Err(problem) => Err(problem),
        },
    };
    Ok(Done { result, profile })
}

/// A service's answer, or what the model is told of its failure.
fn heard<T>(answer: Result<T, ServiceError>) -> Result<Result<T, String>, RunError> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) if error.code == ServiceErrorCode::Cancelled => Err(RunError::Stopped),
        Err(error) => Ok(Err(error.to_string())),
    }
}

async fn asked(
    agent: &str,
    args: &Value,
    ctx: &RunContext,
) -> Result<Result<String, String>, RunError> {
    let task = match text(args, "task") {
        Ok(task) => task,
        Err(problem) => return Ok(Err(problem)),
    };
    let outcome = heard(ctx.run_agent(agent, task).await)?;
    Ok(outcome.and_then(|outcome| match outcome.stopped {
        false => Ok(outcome.content),
        true => Err(format!(
            "The agent was stopped. Until then it had said: {}",
            outcome.content
        )),
    }))
}

fn switched<'a>(args: &'a Value, profiles: &Profiles) -> Result<&'a str, String> {
    let id = text(args, "profile")?;
    match profiles.contains_key(id) {
        true => Ok(id),
        false => {
            let ids: Vec<_> = profiles.keys().map(String::as_str).collect();
            Err(format!(
                "There is no profile `{id}`; there are: {}.",
                ids.join(", ")
            ))
        }
    }
}

/// An argument that must be a text.
fn text<'a>(args: &'a Value, key: &str) -> Result<&'a str, String> {
    let text = args[key].as_str().map(str::trim);
    text.filter(|text| !text.is_empty())
        .ok_or_else(|| format!("`{key}` must be a text that is not empty."))
}
