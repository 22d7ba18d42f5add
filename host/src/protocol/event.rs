//! What a run emits.

use bytes::Bytes;

use super::encode::Position;
use super::errors::ErrorCode;
use super::json::{Json, JsonFault};
use super::version::Version;
use super::{encode, kinds};
use crate::session::{RunId, RunStatus};

/// One event of a run, the host's own first and last one included. It holds more than version 1 tells.
#[derive(Clone, Debug, PartialEq)]
pub enum RunEvent {
    /// The run begins. `ts` is Unix time in milliseconds.
    StreamStart { run_id: RunId, ts: u64 },
    /// A piece of thinking.
    ThinkingDelta { delta: String },
    /// The thinking that was streamed is complete.
    ThinkingEnd,
    /// The thinking of a whole turn.
    TurnThinking { thinking: String, is_subagent: bool },
    /// A piece of the answer.
    StreamDelta { delta: String },
    /// What the agent is doing while it plans.
    PlanningStatus {
        phase: String,
        label: String,
        is_subagent: bool,
    },
    /// A plan is ready.
    PlanReady { plan: Json, is_subagent: bool },
    /// A tool call begins.
    ToolStarted(ToolStarted),
    /// A tool call has ended.
    ToolCall(ToolCall),
    /// The agent goes on under another profile.
    ProfileSwitched {
        profile_id: String,
        profile_name: String,
    },
    /// The agent has shortened its context.
    ContextCompressed {
        messages_before: u64,
        messages_after: u64,
        summary: String,
    },
    /// An event of the agent's own. Made with [`RunEvent::custom`], which keeps it off the protocol's names;
    /// `fields` is an object without `type`.
    Custom { name: String, fields: Json },
    /// The run was stopped. Nothing of it follows.
    StreamStopped,
    /// The agent finished. Nothing of the run follows.
    StreamEnd(StreamEnd),
    /// The run failed. Nothing of it follows.
    Error(RunFailure),
}

/// A tool call begins.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolStarted {
    /// The call's id, unique in the run.
    pub call_id: String,
    /// The subagent that calls, `None` for the run's own agent.
    pub agent: Option<String>,
    /// The tool's name.
    pub tool: String,
    /// The arguments.
    pub args: Json,
    /// Whether a subagent calls.
    pub is_subagent: bool,
}

/// A tool call has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// The call's id, unique in the run.
    pub call_id: String,
    /// The subagent that called, `None` for the run's own agent.
    pub agent: Option<String>,
    /// The tool's name.
    pub tool: String,
    /// The arguments.
    pub args: Json,
    /// The result as text.
    pub result: String,
    /// Whether it succeeded.
    pub success: bool,
    /// Whether a subagent called.
    pub is_subagent: bool,
    /// An object with more about the call.
    pub metadata: Option<Json>,
}

/// The agent finished.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamEnd {
    /// The whole answer.
    pub content: String,
    /// Tokens in the context.
    pub context_tokens: u64,
    /// Tokens that the context can hold.
    pub max_context_tokens: u64,
    /// Time from the run's start, in seconds.
    pub elapsed_seconds: f64,
    /// Tool calls in the run.
    pub tool_call_count: u64,
    /// Tokens of the answer.
    pub token_count: u64,
    /// How the run ended. Not told to version 1.
    pub status: RunStatus,
}

/// The run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFailure {
    /// What the client is told.
    pub message: String,
    /// The same for programs. Not told to version 1.
    pub code: ErrorCode,
    /// The run. Not told to version 1.
    pub run_id: RunId,
}

/// Why an event is not accepted as a custom one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustomFault {
    /// The type is empty.
    #[error("a custom event needs a type that is not empty")]
    NoName,
    /// The type is the protocol's own.
    #[error("a custom event may not have the type `{0}`, which belongs to the protocol")]
    ReservedType(String),
    /// A key is the protocol's own.
    #[error("a custom event may not have the key `{0}`, which belongs to the protocol")]
    ReservedKey(String),
    /// The fields are not an object.
    #[error("the fields of a custom event must be a JSON object")]
    NotAnObject,
    /// The fields are not JSON, or nested too deep.
    #[error("the fields of a custom event: {0}")]
    Json(#[from] JsonFault),
}

impl RunEvent {
    /// A custom event: `{"type": name, …fields}` on the wire.
    ///
    /// # Errors
    ///
    /// When `name` or a key of `fields` belongs to the protocol, or `fields` is not an object.
    pub fn custom(name: impl Into<String>, fields: Json) -> Result<Self, CustomFault> {
        let name = name.into();
        if name.is_empty() {
            return Err(CustomFault::NoName);
        }
        if kinds::is_reserved_type(&name) {
            return Err(CustomFault::ReservedType(name));
        }
        if !fields.is_object() {
            return Err(CustomFault::NotAnObject);
        }
        if let Some(key) = fields
            .keys()
            .into_iter()
            .find(|key| kinds::is_reserved_key(key))
        {
            return Err(CustomFault::ReservedKey(key));
        }
        Ok(Self::Custom { name, fields })
    }

    /// The wire's `type`.
    #[must_use]
    pub fn type_name(&self) -> &str {
        match self {
            Self::StreamStart { .. } => "stream_start",
            Self::ThinkingDelta { .. } => "thinking_delta",
            Self::ThinkingEnd => "thinking_end",
            Self::TurnThinking { .. } => "turn_thinking",
            Self::StreamDelta { .. } => "stream_delta",
            Self::PlanningStatus { .. } => "planning_status",
            Self::PlanReady { .. } => "plan_ready",
            Self::ToolStarted(_) => "tool_started",
            Self::ToolCall(_) => "tool_call",
            Self::ProfileSwitched { .. } => "profile_switched",
            Self::ContextCompressed { .. } => "context_compressed",
            Self::Custom { name, .. } => name,
            Self::StreamStopped => "stream_stopped",
            Self::StreamEnd(_) => "stream_end",
            Self::Error(_) => "error",
        }
    }

    /// Appends the event as a frame to `out`: one JSON object, `type` its first key. Nothing for an event that the
    /// version does not have.
    pub fn encode(&self, version: Version, at: Position, out: &mut Vec<u8>) {
        encode::encode(self, version, at, out);
    }

    /// Appends the event in the form in which it is stored: all its fields, without a position.
    pub fn encode_full(&self, out: &mut Vec<u8>) {
        encode::encode_full(self, out);
    }

    /// The event as a frame; empty for an event that the version does not have.
    #[must_use]
    pub fn frame(&self, version: Version, at: Position) -> Bytes {
        // Room for the type, the other keys and some escapes, so that most frames are allocated once.
        let mut out = Vec::with_capacity(self.held() + 96);
        self.encode(version, at, &mut out);
        out.into()
    }

    /// Whether version 1 has it. There the end of a run that was stopped or failed is a frame of its own, and no
    /// `stream_end` follows it.
    #[must_use]
    pub fn is_in_version_1(&self) -> bool {
        !matches!(self, Self::StreamEnd(end) if end.status != RunStatus::Completed)
    }

    /// Bytes that the event takes in memory, for budgets.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.held()
    }

    /// Bytes of its strings and JSON.
    fn held(&self) -> usize {
        match self {
            Self::StreamStart { .. } | Self::ThinkingEnd | Self::StreamStopped => 0,
            Self::ThinkingDelta { delta } | Self::StreamDelta { delta } => delta.len(),
            Self::TurnThinking { thinking, .. } => thinking.len(),
            Self::PlanningStatus { phase, label, .. } => phase.len() + label.len(),
            Self::PlanReady { plan, .. } => plan.size(),
            Self::ToolStarted(call) => {
                let agent = call.agent.as_ref().map_or(0, String::len);
                call.call_id.len() + agent + call.tool.len() + call.args.size()
            }
            Self::ToolCall(call) => {
                let agent = call.agent.as_ref().map_or(0, String::len);
                let metadata = call.metadata.as_ref().map_or(0, Json::size);
                let ids = call.call_id.len() + agent + call.tool.len();
                ids + call.args.size() + call.result.len() + metadata
            }
            Self::ProfileSwitched {
                profile_id,
                profile_name,
            } => profile_id.len() + profile_name.len(),
            Self::ContextCompressed { summary, .. } => summary.len(),
            Self::Custom { name, fields } => name.len() + fields.size(),
            Self::StreamEnd(end) => end.content.len(),
            Self::Error(failure) => failure.message.len(),
        }
    }

    /// The delta of an event that may be folded with its neighbours of the same type.
    #[must_use]
    pub fn delta(&self) -> Option<&str> {
        match self {
            Self::ThinkingDelta { delta } | Self::StreamDelta { delta } => Some(delta),
            _ => None,
        }
    }

    /// Whether nothing of the run follows.
    #[must_use]
    pub fn is_last(&self) -> bool {
        matches!(
            self,
            Self::StreamStopped | Self::StreamEnd(_) | Self::Error(_)
        )
    }
}
