//! What a run is asked, and what its host has for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Ended;
use super::host::{Script, Tool};
use crate::wire::{ImageInfo, RunParams};
use crate::{
    FileInfo, HistoryTurn, ServiceError, SubagentInfo, SubagentOutcome, ToolOutput, ToolSpec,
};

/// A message to an agent, with all that the host has for the run that answers it: tools, subagents, history,
/// state, and when to stop.
#[derive(Clone, Debug)]
#[must_use]
pub struct Message {
    pub(super) params: RunParams,
    pub(super) script: Script,
    pub(super) stop_at: Option<Duration>,
    pub(super) limit: Duration,
}

impl Message {
    /// A message with this text, in a session without history.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let params = RunParams {
            run_id: "run".to_owned(),
            session_id: "session".to_owned(),
            agent: "agent".to_owned(),
            content: text.clone(),
            user_text: text,
            metadata: Value::Object(Map::new()),
            ..RunParams::default()
        };
        Self {
            params,
            script: Script::default(),
            stop_at: None,
            limit: Duration::from_secs(60 * 60),
        }
    }

    /// The next message of the session in which `before` was the latest run: with its turn in the history, its
    /// state and the data of its outcome.
    pub fn following(before: &Ended, text: impl Into<String>) -> Self {
        let mut next = Self::new(text);
        next.params.session_id = before.script.session.clone();
        next.script.history = before.script.history.clone();
        next.script.state = before.script.state.clone();
        let (content, status) = match &before.result {
            Ok(outcome) if outcome.stopped => (outcome.content(), "stopped"),
            Ok(outcome) => (outcome.content(), "completed"),
            Err(_) => ("", "error"),
        };
        next = next.add_turns(&before.script.asked, content, status);
        if let Ok(outcome) = &before.result {
            let data = outcome.data.data.clone();
            if let Some(turn) = next.script.history.last_mut() {
                turn.data.clone_from(&data);
            }
            next.params.outcome_data = data;
        }
        next
    }

    /// What a model should read, where that is not the client's own text alone.
    pub fn content(mut self, content: impl Into<String>) -> Self {
        self.params.content = content.into();
        self
    }

    /// The session's id; otherwise `session`.
    pub fn session(mut self, id: impl Into<String>) -> Self {
        self.params.session_id = id.into();
        self
    }

    /// The agent's configured name; otherwise `agent`.
    pub fn agent(mut self, name: impl Into<String>) -> Self {
        self.params.agent = name.into();
        self
    }

    /// Adds an image.
    pub fn image(mut self, media_type: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        self.params.images.push(ImageInfo {
            handle: self.script.images.len() as u64,
            media_type: media_type.into(),
            bytes: bytes.len() as u64,
        });
        self.script.images.push(bytes);
        self
    }

    /// Adds a file that the client has uploaded.
    pub fn file(mut self, name: impl Into<String>, path: impl Into<String>) -> Self {
        self.params.files.push(FileInfo {
            name: name.into(),
            path: path.into(),
        });
        self
    }

    /// The session's metadata.
    pub fn metadata(mut self, metadata: Map<String, Value>) -> Self {
        self.params.metadata = Value::Object(metadata);
        self
    }

    /// The data of the agent's previous outcome in the session.
    pub fn previous(mut self, data: impl Into<Value>) -> Self {
        self.params.outcome_data = Some(data.into());
        self
    }

    /// Adds an earlier turn to the session's history: what the user asked, and what the agent answered.
    pub fn after_turn(self, asked: &str, answered: &str) -> Self {
        self.add_turns(asked, answered, "completed")
    }

    fn add_turns(mut self, asked: &str, answered: &str, status: &str) -> Self {
        let history = &mut self.script.history;
        let turn = history.len() as u64 + 1;
        history.push(HistoryTurn {
            turn,
            role: "user".to_owned(),
            content: asked.to_owned(),
            user_text: Some(asked.to_owned()),
            ..HistoryTurn::default()
        });
        history.push(HistoryTurn {
            turn: turn + 1,
            role: "assistant".to_owned(),
            content: answered.to_owned(),
            status: status.to_owned(),
            ..HistoryTurn::default()
        });
        self
    }

    /// A tool that the agent may call; `answer` gets the arguments.
    pub fn tool(
        self,
        name: impl Into<String>,
        answer: impl Fn(Value) -> ToolOutput + Send + Sync + 'static,
    ) -> Self {
        self.slow_tool(name, Duration::ZERO, answer)
    }

    /// As [`tool`](Self::tool), one that answers after this long by the test's clock.
    pub fn slow_tool(
        self,
        name: impl Into<String>,
        takes: Duration,
        answer: impl Fn(Value) -> ToolOutput + Send + Sync + 'static,
    ) -> Self {
        let spec = ToolSpec::new(name, "", json!({ "type": "object" }));
        self.tool_with(spec, takes, answer)
    }

    /// As [`slow_tool`](Self::slow_tool), one with a description and a schema.
    pub fn tool_with(
        mut self,
        spec: ToolSpec,
        takes: Duration,
        answer: impl Fn(Value) -> ToolOutput + Send + Sync + 'static,
    ) -> Self {
        let tool = Tool {
            takes,
            answer: Arc::new(answer),
        };
        self.script.tools.insert(spec.name.clone(), tool);
        self.params.tools.push(spec);
        self
    }

    /// An agent that this one may run; `answer` gets what it is asked.
    pub fn subagent(
        mut self,
        name: impl Into<String>,
        answer: impl Fn(&str) -> SubagentOutcome + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        self.params.subagents.push(SubagentInfo {
            name: name.clone(),
            summary: String::new(),
        });
        self.script.subagents.insert(name, Arc::new(answer));
        self
    }

    /// A value of the agent's state in the session, written once.
    pub fn state(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.script.state.insert(key.into(), (value.into(), 1));
        self
    }

    /// Answers a service of the host, by its method (such as `history/list`), in place of what this kit would
    /// answer: to let it fail, or for one that the kit does not have.
    pub fn service(
        mut self,
        method: impl Into<String>,
        answer: impl Fn(&Value) -> Result<Value, ServiceError> + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        self.script.services.insert(method.into(), answer);
        self
    }

    /// The run is stopped as soon as it has emitted this many events; 0: before it begins.
    pub fn stop_after_events(mut self, events: usize) -> Self {
        self.script.stop_after_events = Some(events);
        self
    }

    /// The run is stopped when it has gone on for so long, by the test's clock.
    pub fn stop_after(mut self, time: Duration) -> Self {
        self.stop_at = Some(time);
        self
    }

    /// How long after a stop a run may go on before it is dropped; otherwise 10 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        // 0 would mean that nothing is said.
        self.params.grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX).max(1);
        self
    }

    /// How long, by the test's clock, the run may take before the test fails; otherwise an hour.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The parameters that cross, and the host's part.
    pub(super) fn into_parts(mut self) -> (RunParams, Script) {
        self.script.specs.clone_from(&self.params.tools);
        self.script.session.clone_from(&self.params.session_id);
        self.script.asked.clone_from(&self.params.user_text);
        (self.params, self.script)
    }
}

/// Values by key, each with its version.
pub(super) type State = BTreeMap<String, (Value, u64)>;
