//! A run as the host sees it, from its start to its end.

use std::sync::Arc;

use plugin_api::abi::import::{Completion, FailureKind};
use plugin_api::wire::OutcomeData;

use super::handle::AgentHandle;
use super::instances::Instance;
use super::library_copy::LibraryCopy;
use super::library_host::Opened;
use super::lifecycle::{self, GivenUp};

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEnd {
    /// The agent finished, whether or not it was asked to stop.
    Finished(OutcomeData),
    /// The agent saw the stop and ended for it.
    Stopped(OutcomeData),
    /// The agent failed.
    Failed {
        /// Whose fault it is.
        kind: FailureKind,
        /// In the agent's own words, or the SDK's for a panic.
        text: String,
    },
}

/// A run that was started. Dropping it before it has ended asks it to stop and ends its scope: what the
/// library still emits, asks for or reports goes nowhere.
pub struct RunHandle {
    copy: Arc<LibraryCopy>,
    instance: Arc<Instance<AgentHandle>>,
    opened: Opened,
    end: Option<RunEnd>,
    given_up: GivenUp,
}

impl RunHandle {
    pub(crate) fn new(
        copy: Arc<LibraryCopy>,
        instance: Arc<Instance<AgentHandle>>,
        opened: Opened,
    ) -> Self {
        Self {
            copy,
            instance,
            opened,
            end: None,
            given_up: GivenUp::default(),
        }
    }

    /// Starts the run in the library; false if the instance was shut down.
    pub(crate) async fn begin(&self, params: String) -> bool {
        let (instance, scope) = (Arc::clone(&self.instance), self.opened.scope.id());
        let given_up = self.given_up.clone();
        let run = move || {
            let begun = instance.handle.run(scope, &params);
            if given_up.is_set() {
                instance.handle.stop(scope);
            }
            begun
        };
        lifecycle::call(&self.copy.host, run).await
    }

    /// Asks the agent to stop. Returns at once; may be called again.
    pub fn stop(&self) {
        let (instance, scope) = (Arc::clone(&self.instance), self.opened.scope.id());
        let stop = move || instance.handle.stop(scope);
        self.copy.host.signals.send(stop);
    }

    /// Tells the agent that it may emit again after an answer of SLOW.
    pub fn resume(&self) {
        let (instance, scope) = (Arc::clone(&self.instance), self.opened.scope.id());
        let resume = move || instance.handle.resume(scope);
        self.copy.host.signals.send(resume);
    }

    /// Waits for the end of the run.
    ///
    /// # Cancel safety
    ///
    /// Safe; and once the run has ended, asking again answers the same.
    pub async fn finished(&mut self) -> RunEnd {
        if let Some(end) = &self.end {
            return end.clone();
        }
        let end = match (&mut self.opened.end).await {
            Ok(completion) => RunEnd::from_completion(completion),
            // Only this handle ends the scope from the host's side.
            Err(_) => RunEnd::internal("the run's scope ended without an answer"),
        };
        self.end = Some(end.clone());
        end
    }

    /// Notes that the run was failed by its plugin.
    pub fn blame(&self) {
        self.copy.generation.failed();
    }

    /// Gives up on a run that does not end. Its library copy counts as stuck from now on: the next run of
    /// the library's agents is served from a fresh copy, and the runs that are going on end where they are.
    pub fn abandon(self) {
        self.blame();
        self.copy.set_stuck(true);
    }
}

impl Drop for RunHandle {
    fn drop(&mut self) {
        if self.end.is_none() {
            self.given_up.set();
            self.stop();
        }
    }
}

impl RunEnd {
    pub(super) fn from_completion(completion: Completion) -> Self {
        match completion {
            Completion::Finished { json, .. } => Self::parsed(&json, Self::Finished),
            Completion::Stopped { json } => Self::parsed(&json, Self::Stopped),
            Completion::Failed { kind, text } => Self::Failed { kind, text },
        }
    }

    fn parsed(json: &str, end: impl FnOnce(OutcomeData) -> Self) -> Self {
        // A minimal agent in C has nothing to say about its outcome.
        if json.is_empty() {
            return end(OutcomeData::default());
        }
        match serde_json::from_str(json) {
            Ok(outcome) => end(outcome),
            Err(error) => Self::internal(format!(
                "the agent's outcome is not what it must be: {error}"
            )),
        }
    }

    fn internal(text: impl Into<String>) -> Self {
        Self::Failed {
            kind: FailureKind::Internal,
            text: text.into(),
        }
    }
}
