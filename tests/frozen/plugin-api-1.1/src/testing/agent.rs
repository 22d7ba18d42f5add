//! An agent under test.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::host::{self, Scope};
use super::{Ended, Message};
use crate::abi::export::in_memory;
use crate::abi::import::{Completion, FailureKind};
use crate::wire::{InstanceParams, OutcomeData};
use crate::{AgentBackend, CreateError, Event, InstanceContext, Outcome, RunError, SessionId};

/// An instance of an agent, without a host around it.
#[derive(Debug)]
pub struct TestAgent<A> {
    agent: Arc<A>,
}

/// The context of an instance that a test makes.
pub(super) fn context() -> InstanceContext {
    let params = InstanceParams {
        name: "test".to_owned(),
        generation: 1,
        plugin: "test".to_owned(),
        deadline_ms: 0,
    };
    host::host().instance(host::new_id(), params)
}

impl<A: AgentBackend> TestAgent<A> {
    /// Makes an instance as a host does, of the configuration that an operator would write, as JSON. A host checks
    /// it against its schema before.
    ///
    /// # Errors
    ///
    /// The configuration does not fit, or `create` fails.
    pub async fn create(config: impl Into<Value>) -> Result<Self, CreateError> {
        let config = in_memory::config(&config.into().to_string())?;
        Ok(Self::new(A::create(config, context()).await?))
    }

    /// An instance that was made in another way.
    pub fn new(agent: A) -> Self {
        Self {
            agent: Arc::new(agent),
        }
    }

    /// The instance itself.
    pub fn backend(&self) -> &A {
        &self.agent
    }

    /// Runs the agent to its end.
    ///
    /// # Panics
    ///
    /// It does not end within the [`time_limit`](Message::time_limit), or there is no tokio runtime: see
    /// [`block_on`](super::block_on).
    pub async fn run(&self, message: Message) -> Ended {
        self.start(message).finish().await
    }

    /// Starts a run. It gets on whenever the test awaits something.
    ///
    /// # Panics
    ///
    /// There is no tokio runtime: see [`block_on`](super::block_on).
    pub fn start(&self, message: Message) -> Running {
        let (stop_at, limit) = (message.stop_at, message.limit);
        let (params, script) = message.into_parts();
        let stop_at_once = script.stop_after_events == Some(0);
        let scope = Scope::open(script);
        let run = host::host().run(scope.id(), Arc::clone(&self.agent), params);
        if stop_at_once {
            scope.stop();
        }
        let begun = Instant::now();
        let stopping = Arc::clone(&scope);
        let task = tokio::spawn(async move {
            let mut run = pin!(run);
            if let Some(at) = stop_at {
                tokio::select! {
                    biased;
                    () = &mut run => return,
                    () = tokio::time::sleep_until(begun + at) => stopping.stop(),
                }
            }
            run.await;
        });
        Running {
            begun,
            task,
            limit,
            scope,
            taken: 0,
        }
    }

    /// Tells the instance that a session is gone for good.
    pub fn session_ended(&self, session: &str) {
        self.agent.session_ended(&SessionId::from(session));
    }

    /// Ends the instance.
    pub async fn shutdown(self) {
        self.agent.shutdown().await;
    }
}

/// A run that goes on. Dropping it drops the agent's future where it awaits.
#[derive(Debug)]
pub struct Running {
    scope: Arc<Scope>,
    task: JoinHandle<()>,
    begun: Instant,
    limit: Duration,
    taken: usize,
}

impl Running {
    /// Waits for the next event; `None` when the run has ended.
    ///
    /// # Cancel safety
    ///
    /// Safe: an event that was not returned is next.
    pub async fn event(&mut self) -> Option<Event> {
        let taken = self.taken;
        let next = self.scope.wait_for(|seen| match seen.events.get(taken) {
            Some(event) => Some(Some(event.clone())),
            None => seen.completion.is_some().then_some(None),
        });
        let event = next.await;
        self.taken += usize::from(event.is_some());
        event
    }

    /// Asks the run to stop.
    pub fn stop(&self) {
        self.scope.stop();
    }

    /// Waits for the end.
    ///
    /// # Panics
    ///
    /// It does not come within the [`time_limit`](Message::time_limit).
    pub async fn finish(self) -> Ended {
        let ended = self.scope.wait_for(|seen| seen.completion.take());
        let Ok(completion) = tokio::time::timeout_at(self.begun + self.limit, ended).await else {
            panic!(
                "the run has not ended within {} s of the test's clock; what it waits for may be missing in the message",
                self.limit.as_secs_f32()
            );
        };
        let elapsed = self.begun.elapsed();
        let mut seen = self.scope.seen();
        Ended {
            result: result(completion),
            events: std::mem::take(&mut seen.events),
            calls: std::mem::take(&mut seen.calls),
            script: std::mem::take(&mut seen.script),
            elapsed,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Scope").field(&self.id()).finish()
    }
}

fn result(completion: Completion) -> Result<Outcome, RunError> {
    let (stopped, json) = match completion {
        Completion::Finished { json, .. } => (false, json),
        Completion::Stopped { json } => (true, json),
        Completion::Failed { kind, text } => {
            return Err(match kind {
                FailureKind::SessionNotFound => RunError::SessionNotFound,
                FailureKind::MaxIterations => RunError::MaxIterations(text),
                FailureKind::Internal => RunError::Internal(text),
                FailureKind::Agent | FailureKind::Config => RunError::Agent(text),
            });
        }
    };
    match serde_json::from_str::<OutcomeData>(&json) {
        Ok(data) => Ok(Outcome { stopped, data }),
        Err(error) => Err(RunError::internal(format!("the outcome: {error}"))),
    }
}
