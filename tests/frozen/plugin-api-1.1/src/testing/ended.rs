//! A run that is over.

use std::time::Duration;

use serde_json::Value;

use super::host::Script;
use crate::{Event, Outcome, RunError, ToolCall};

/// What became of a run.
#[derive(Debug)]
pub struct Ended {
    pub(super) result: Result<Outcome, RunError>,
    pub(super) events: Vec<Event>,
    pub(super) calls: Vec<ToolCall>,
    pub(super) elapsed: Duration,
    /// As it was left.
    pub(super) script: Script,
}

impl Ended {
    /// How it ended.
    pub fn result(&self) -> &Result<Outcome, RunError> {
        &self.result
    }

    /// How it ended, for a run that must not have failed.
    ///
    /// # Panics
    ///
    /// It has failed.
    #[track_caller]
    pub fn outcome(&self) -> &Outcome {
        match &self.result {
            Ok(outcome) => outcome,
            Err(error) => panic!("the run has failed: {error}"),
        }
    }

    /// Why it failed, for a run that must have.
    ///
    /// # Panics
    ///
    /// It has not failed.
    #[track_caller]
    pub fn failure(&self) -> &RunError {
        match &self.result {
            Ok(outcome) => panic!("the run has not failed: {:?}", outcome.content()),
            Err(error) => error,
        }
    }

    /// What the agent emitted, in its order. The events with which the host accompanies a tool call are not among
    /// them.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The texts of all [`Event::StreamDelta`]s together.
    pub fn text(&self) -> String {
        let texts = self.events.iter().filter_map(|event| match event {
            Event::StreamDelta(delta) => Some(delta.delta.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// The tools that the agent called, in their order, those that do not exist included.
    pub fn tool_calls(&self) -> &[ToolCall] {
        &self.calls
    }

    /// A value of the agent's state in the session; null if it was never written.
    pub fn state(&self, key: &str) -> &Value {
        static NULL: Value = Value::Null;
        self.script.state.get(key).map_or(&NULL, |(value, _)| value)
    }

    /// How long it took by the test's clock.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}
