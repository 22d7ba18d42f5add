//! One run: a prompt, and what the agent tells, asks and answers until its turn is over.

use agent_client_protocol_schema::v1::{
    self, AGENT_METHOD_NAMES, CLIENT_METHOD_NAMES, CancelNotification, ErrorCode, PromptRequest,
    PromptResponse, RequestPermissionRequest, RequestPermissionResponse, SessionNotification,
    StopReason,
};
use plugin_api::serde_json::{self, Value, json, value::RawValue};
use plugin_api::tokio::time::Instant;
use plugin_api::{HistoryTurn, Outcome, RunContext, RunError, RunRequest, tokio, tracing};

use crate::Acp;
use crate::permissions::{self, choose};
use crate::pool::Lease;
use crate::prompt;
use crate::requests::{self, Files};
use crate::session::{Saved, Session, login, words};
use crate::show::Show;
use crate::wire::{Incoming, WireError};

/// The key of the host's session under which the agent's is kept.
const STATE: &str = "acp";

/// A run and how far it is.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    agent: &'a Acp,
    request: &'a RunRequest,
    ctx: &'a RunContext,
    show: Show<'a>,
}

/// How a turn of the agent's ended.
enum Ended {
    /// Why, or what the client is told that it was no answer.
    Answered(Result<StopReason, String>),
    /// It was to end and did not.
    GivenUp,
    /// The process is gone. Whether it has said anything in this turn.
    Lost { fault: WireError, has_spoken: bool },
}

impl<'a> Turn<'a> {
    pub(crate) fn new(agent: &'a Acp, request: &'a RunRequest, ctx: &'a RunContext) -> Self {
        Self {
            agent,
            request,
            ctx,
            show: Show::new(ctx),
        }
    }

    pub(crate) async fn run(mut self) -> Result<Outcome, RunError> {
        // A subagent is asked by its caller, who tells it what it needs; it has a process for this one question.
        let is_own = self.request.depth == 0;
        let session = self.request.session_id.as_str();
        let key = match is_own {
            true => session.to_owned(),
            false => format!("{session}/{}", self.request.run_id),
        };
        let turns = match is_own {
            true => self.latest_turns().await?,
            false => Vec::new(),
        };
        let mut lease = self.agent.pool.take(&key).map_err(RunError::agent)?;
        loop {
            let is_there = match &mut lease.held {
                Some(session) if session.is_fresh => true,
                Some(session) => session.clear().await,
                None => false,
            };
            if !is_there {
                let started = tokio::select! {
                    biased;
                    () = self.ctx.stopped() => return Ok(Outcome::stopped("")),
                    started = self.start(&mut lease, is_own) => started?,
                };
                lease.held = Some(started);
            }
            let Some(session) = &mut lease.held else {
                continue;
            };
            let was_fresh = std::mem::take(&mut session.is_fresh);
            match self.converse(session, &turns).await? {
                Ended::Answered(answer) => {
                    let well = matches!(&answer, Ok(reason) if *reason != StopReason::Refusal);
                    // Some answer a stop with an error.
                    session.answered(&turns, well || self.ctx.is_stopped());
                    let saved = session.saved();
                    let outcome = self.outcome(answer).await;
                    if is_own {
                        self.save(&saved).await;
                        lease.give_back();
                    }
                    return outcome;
                }
                Ended::GivenUp => {
                    tracing::warn!(
                        "the program does not end its turn after a stop (cancel_timeout_ms) and is ended"
                    );
                    self.show.end("Stopped.").await?;
                    return Ok(self.counted(Outcome::stopped(self.show.said())));
                }
                // It went while nobody looked, between two turns.
                Ended::Lost {
                    fault: WireError::Closed | WireError::Io(_),
                    has_spoken: false,
                } if !was_fresh && !self.ctx.is_stopped() => {
                    lease.held = None;
                }
                Ended::Lost { fault, .. } => {
                    let end = session.process.end().await;
                    self.show
                        .end("The agent's program ended before the tool did.")
                        .await?;
                    if self.ctx.is_stopped() {
                        return Ok(self.counted(Outcome::stopped(self.show.said())));
                    }
                    return Err(RunError::agent(match fault {
                        WireError::Closed | WireError::Io(_) => {
                            format!(
                                "The agent's program ended in the middle of the turn: {}",
                                end.text()
                            )
                        }
                        fault @ (WireError::LongLine | WireError::Garbage) => {
                            format!("The agent's program was ended: {fault}.")
                        }
                    }));
                }
            }
        }
    }

    /// The session's turns, as many as an agent that knows none is told.
    async fn latest_turns(&self) -> Result<Vec<HistoryTurn>, RunError> {
        let most = self.agent.config.max_history_turns;
        // The last one is needed for its number.
        Ok(self.ctx.history().latest(most.max(1) as usize).await?)
    }

    async fn start(&self, lease: &mut Lease<Session>, is_own: bool) -> Result<Session, RunError> {
        let saved = match is_own {
            true => self.ctx.state_get(STATE).await?.value,
            false => Value::Null,
        };
        // What another version has written is as good as nothing.
        let saved: Saved = serde_json::from_value(saved).unwrap_or_default();
        let id = self.request.session_id.as_str();
        // What was there ends first, for its room.
        lease.held = None;
        let room = self.agent.pool.room().await.map_err(RunError::agent)?;
        let started = Session::start(self.agent, lease, room, id, saved).await;
        self.agent.tell_health(&started);
        let session = started?;
        if is_own {
            self.save(&session.saved()).await;
        }
        Ok(session)
    }

    /// Keeps what another process needs to go on. Without it that one is told the conversation, so nothing fails.
    async fn save(&self, saved: &Saved) {
        if let Err(error) = self.ctx.state_put(STATE, json!(saved), None).await {
            tracing::warn!("the agent's session cannot be kept: {error}");
        }
    }

    /// Asks the agent and goes along until its turn is over.
    async fn converse(
        &mut self,
        session: &mut Session,
        turns: &[HistoryTurn],
    ) -> Result<Ended, RunError> {
        let known = session.known_turn;
        let missed = turns
            .iter()
            .position(|turn| turn.turn > known)
            .unwrap_or(turns.len());
        let missed = match self.agent.config.max_history_turns {
            0 => &[],
            _ => &turns[missed..],
        };
        let prompt = &session.capabilities.prompt_capabilities;
        let blocks = prompt::blocks(self.request, prompt, missed).await?;
        let files = Files::with_uploads(&session.folder, prompt::uploads(self.request));
        let (ctx, wire) = (self.ctx, &mut session.process.wire);
        let asked = wire.request(
            AGENT_METHOD_NAMES.session_prompt,
            &PromptRequest::new(session.id.clone(), blocks),
        );
        let mut has_spoken = false;
        let mut give_up = None;
        loop {
            let patience = async {
                match give_up {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let message = tokio::select! {
                biased;
                () = ctx.stopped(), if give_up.is_none() => {
                    wire.notify(
                        AGENT_METHOD_NAMES.session_cancel,
                        &CancelNotification::new(session.id.clone()),
                    );
                    give_up = Some(Instant::now() + self.agent.config.cancel_timeout());
                    continue;
                }
                () = patience => return Ok(Ended::GivenUp),
                message = wire.next() => message,
            };
            let message = match message {
                Ok(message) => message,
                Err(fault) => return Ok(Ended::Lost { fault, has_spoken }),
            };
            has_spoken = true;
            match message {
                Incoming::Response { id, result } if id == asked => {
                    return Ok(Ended::Answered(answered(result)));
                }
                Incoming::Response { .. } => {}
                Incoming::Notification { method, params } => {
                    if method == CLIENT_METHOD_NAMES.session_update {
                        self.update(&session.id, &params).await?;
                    }
                }
                Incoming::Request { id, method, params } => {
                    let answer = match method == CLIENT_METHOD_NAMES.session_request_permission {
                        true => self.permission(&params, give_up.is_some()).await?,
                        false => files.answer(&method, &params).await,
                    };
                    wire.answer(&id, answer);
                }
            }
        }
    }

    async fn update(&mut self, session: &v1::SessionId, params: &RawValue) -> Result<(), RunError> {
        match serde_json::from_str::<SessionNotification>(params.get()) {
            Ok(told) if told.session_id == *session => self.show.update(told.update).await,
            Ok(_) => Ok(()),
            // A kind of update that a later version of the protocol has, or nonsense.
            Err(error) => {
                tracing::debug!("an update is not understood: {error}");
                Ok(())
            }
        }
    }

    /// Answers an agent that asks for leave.
    async fn permission(
        &mut self,
        params: &RawValue,
        is_stopping: bool,
    ) -> Result<Result<Value, v1::Error>, RunError> {
        let asked: RequestPermissionRequest = match requests::parsed(params) {
            Ok(asked) => asked,
            Err(error) => return Ok(Err(error)),
        };
        let (_, _, kind) = self.show.asked_for(&asked.tool_call);
        let answer = self.agent.config.permissions.answer(kind);
        let option = choose(answer, &asked.options);
        if !is_stopping {
            let name = option.map(|option| option.name.as_str());
            self.show.permission(&asked.tool_call, answer, name).await?;
        }
        // Asked again: that it was shown may have taken as long as the client needed to stop the run.
        let outcome = permissions::outcome(option, self.ctx.is_stopped());
        Ok(requests::answer(&RequestPermissionResponse::new(outcome)))
    }

    /// What the host is told of a turn that the agent has ended.
    async fn outcome(&mut self, reason: Result<StopReason, String>) -> Result<Outcome, RunError> {
        let is_stopped = self.ctx.is_stopped();
        let why = match is_stopped {
            true => "Stopped.",
            false => "The agent has ended its turn before the tool has ended.",
        };
        if let (Ok(StopReason::Refusal), false) = (&reason, is_stopped) {
            let apart = if self.show.said().is_empty() {
                ""
            } else {
                "\n\n"
            };
            self.show
                .say(&format!("{apart}[The agent refuses to go on with this.]"))
                .await?;
        }
        self.show.end(why).await?;
        let said = self.show.said();
        let outcome = match reason {
            Ok(StopReason::EndTurn | StopReason::Refusal) => Outcome::finished(said),
            // Whatever it says then: it was stopped.
            _ if is_stopped => Outcome::stopped(said),
            Ok(StopReason::Cancelled) => {
                return Err(RunError::agent(
                    "The agent has cancelled its turn by itself.",
                ));
            }
            Ok(StopReason::MaxTokens) => {
                return Err(RunError::max_iterations(
                    "The agent's model has reached the most tokens that it may use (max_tokens).",
                ));
            }
            Ok(StopReason::MaxTurnRequests) => {
                return Err(RunError::max_iterations(
                    "The agent has asked its model as often as it may in one turn (max_turn_requests).",
                ));
            }
            Ok(_) => {
                return Err(RunError::agent(
                    "The agent has ended its turn for a reason that this host does not know.",
                ));
            }
            Err(text) => return Err(RunError::agent(text)),
        };
        Ok(self.counted(outcome))
    }

    fn counted(&self, outcome: Outcome) -> Outcome {
        let (used, size) = self.show.tokens;
        outcome.context_tokens(used).max_context_tokens(size)
    }
}

/// Why the agent has ended its turn, or what clients are told instead.
fn answered(answer: Result<Box<RawValue>, v1::Error>) -> Result<StopReason, String> {
    match answer {
        Ok(result) => serde_json::from_str::<PromptResponse>(result.get())
            .map(|answer| answer.stop_reason)
            .map_err(|error| {
                format!(
                    "The agent's program has ended its turn with what is no such answer: {error}"
                )
            }),
        Err(error) if error.code == ErrorCode::AuthRequired => Err(login(&[])),
        Err(error) => Err(format!(
            "The agent's program reports an error: {}",
            words(&error)
        )),
    }
}
