//! Agents that an agent runs inside its own run.

use std::sync::{Arc, Mutex, PoisonError};

use plugin_api::abi::import::{Answer as EmitAnswer, FailureKind, ServiceFailure};
use plugin_api::abi::types;
use plugin_api::wire::service;
use plugin_api::{Event, EventRef, ServiceErrorCode};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::ending::too_large;
use super::items::ItemQueue;
use super::live::LiveRun;
use super::params;
use super::scope::Scope;
use super::services::{Answer, store_failed, write};
use super::supervise::{Levers, Supervised, supervise};
use crate::plugin::RunEnd;
use crate::spans;

/// The most text of a subagent that is kept as its answer, in bytes.
const MAX_TEXT: usize = 16 * 1024 * 1024;

/// What makes a scope a subagent's: its text is an answer to its caller, not part of the stream.
#[derive(Debug)]
pub(super) struct Subagent {
    pub(super) depth: u32,
    text: Mutex<String>,
    items: Arc<ItemQueue>,
}

impl Subagent {
    /// Takes an event of the subagent `agent`. Its tools, plans and finished thinking reach the run's stream,
    /// marked as a subagent's; all of it is told to the caller.
    pub(super) fn emit(
        &self,
        event: EventRef<'_>,
        agent: &str,
        live: &LiveRun,
        slow: &Notify,
    ) -> EmitAnswer {
        let answer = match event.kind {
            types::EVENT_STREAM_DELTA => self.keep(event.text),
            // What is thought aloud is the caller's to see; the stream gets it finished, as `turn_thinking`.
            types::EVENT_THINKING_DELTA | types::EVENT_THINKING_END => EmitAnswer::Ok,
            // The run's own frame says who the user talks to and how large the context is.
            types::EVENT_PROFILE_SWITCHED | types::EVENT_CONTEXT_COMPRESSED => EmitAnswer::Ok,
            _ => live.emit(
                EventRef {
                    subagent: true,
                    ..event
                },
                Some(agent),
                slow,
            ),
        };
        if matches!(answer, EmitAnswer::Ok | EmitAnswer::Slow)
            && let Ok(event) = Event::from_parts(event)
            && let Ok(item) = serde_json::to_string(&event.to_wire())
        {
            self.items.push(item);
        }
        answer
    }

    fn keep(&self, delta: &str) -> EmitAnswer {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if text.len() + delta.len() > MAX_TEXT {
            return EmitAnswer::TooLarge;
        }
        text.push_str(delta);
        EmitAnswer::Ok
    }
}

/// Runs an agent for another. It is stopped with its caller, and when its caller no longer waits.
pub(super) async fn run(
    caller: &Arc<Scope>,
    call: service::AgentsRun,
    items: &Arc<ItemQueue>,
    cancel: &CancellationToken,
) -> Answer {
    let services = caller.services();
    let session = services.session.id.to_string();
    let span = spans::invoke_agent(&call.agent, &session, &services.live.control.id.to_string());
    let answer = run_in_span(caller, call, items, cancel)
        .instrument(span.clone())
        .await;
    if answer.is_err() {
        spans::failed(&span, "subagent");
    }
    answer
}

async fn run_in_span(
    caller: &Arc<Scope>,
    call: service::AgentsRun,
    items: &Arc<ItemQueue>,
    cancel: &CancellationToken,
) -> Answer {
    let services = caller.services();
    let depth = caller.depth() + 1;
    if depth > services.settings.subagent_depth {
        let text = format!(
            "agents may be nested {} deep",
            services.settings.subagent_depth
        );
        return Err(ServiceFailure::failed(ServiceErrorCode::NotAllowed, text));
    }
    if !caller.agent().subagents().contains(&call.agent) {
        let text = format!(
            "agent `{}` may not run agent `{}`",
            caller.agent().name(),
            call.agent
        );
        return Err(ServiceFailure::failed(ServiceErrorCode::NotAllowed, text));
    }
    let Some(agent) = services.catalog.agent(&call.agent) else {
        let text = format!("there is no agent `{}`", call.agent);
        return Err(ServiceFailure::failed(ServiceErrorCode::NotFound, text));
    };
    let params = params::sub(services, agent, &call.content, depth)
        .await
        .map_err(|error| store_failed(&error))?;
    let slow = Arc::new(Notify::new());
    let sub = Subagent {
        depth,
        text: Mutex::default(),
        items: Arc::clone(items),
    };
    let over = cancel.child_token();
    let scope = Scope::sub(
        services,
        Arc::clone(agent),
        Arc::clone(&slow),
        sub,
        over.clone(),
    );
    let host = Arc::clone(&scope);
    // The run's stop reaches every agent in it, each after its caller; so does the caller's loss of interest.
    let stop = caller.told.child_token();
    // It may wait for a fresh copy of its library.
    let started = tokio::select! {
        biased;
        started = agent.start(&params, host) => started,
        () = stop.cancelled() => return Err(ServiceFailure::Cancelled),
        () = cancel.cancelled() => return Err(ServiceFailure::Cancelled),
    };
    let mut handle = started.map_err(|error| {
        tracing::error!(run = %services.live.control.id, %error, "the subagent could not be started");
        let text = format!("the agent {} is not available", call.agent);
        ServiceFailure::failed(ServiceErrorCode::Internal, text)
    })?;

    let levers = Levers {
        stop: &stop,
        told: &scope.told,
        kill: &services.live.control.kill,
        grace: services.settings.grace_at(depth),
        slow: &slow,
        slow_wait: services.settings.slow_wait,
        log: &services.live.log,
    };
    let supervised = {
        let supervised = supervise(&mut handle, levers);
        tokio::pin!(supervised);
        tokio::select! {
            ended = &mut supervised => ended,
            () = cancel.cancelled() => {
                stop.cancel();
                supervised.await
            }
        }
    };
    over.cancel();
    match supervised {
        Supervised::Ended(end) => answer(&scope, end),
        Supervised::Abandoned => {
            tracing::warn!(agent = call.agent, "subagent abandoned: it did not stop");
            handle.abandon();
            Err(ServiceFailure::Cancelled)
        }
        Supervised::Killed => {
            services.reap(handle);
            Err(ServiceFailure::Cancelled)
        }
    }
}

fn answer(scope: &Scope, end: RunEnd) -> Answer {
    let limit = scope.services().settings.history_bytes;
    let (status, outcome) = match end {
        RunEnd::Finished(outcome) | RunEnd::Stopped(outcome)
            if let Some(text) = too_large(&outcome, limit) =>
        {
            return Err(ServiceFailure::failed(ServiceErrorCode::TooLarge, text));
        }
        RunEnd::Finished(outcome) => ("finished", outcome),
        RunEnd::Stopped(outcome) => ("stopped", outcome),
        RunEnd::Failed { kind, text } => {
            let code = match kind {
                FailureKind::SessionNotFound => ServiceErrorCode::NotFound,
                _ => ServiceErrorCode::Internal,
            };
            return Err(ServiceFailure::failed(code, text));
        }
    };
    let streamed = scope
        .subagent()
        .map(|sub| std::mem::take(&mut *sub.text.lock().unwrap_or_else(PoisonError::into_inner)));
    let mut answer = service::AgentsRunAnswer::default();
    answer.status = status.to_owned();
    answer.content = match streamed {
        Some(text) if outcome.content.is_empty() => text,
        _ => outcome.content.clone(),
    };
    answer.outcome = outcome;
    write(&answer)
}
