//! What an agent shows of its work while it works.

mod json;
mod kinds;
mod parts;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use json::EventError;
pub(crate) use json::known_name;
pub use kinds::EventKinds;
pub use parts::EventRef;

/// An event of a run.
///
/// Its JSON form, the wire message, is `{"type": …}` and the fields of the variant's struct
/// ([`to_wire`](Event::to_wire), [`from_wire`](Event::from_wire)).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A piece of the answer's text.
    StreamDelta(StreamDelta),
    /// A piece of the thinking's text.
    ThinkingDelta(ThinkingDelta),
    /// The thinking that was streamed in pieces is over.
    ThinkingEnd(ThinkingEnd),
    /// The thinking of a turn in one piece.
    TurnThinking(TurnThinking),
    /// Where the agent is in its planning.
    PlanningStatus(PlanningStatus),
    /// A plan.
    PlanReady(PlanReady),
    /// A tool is being called. The host itself emits this around tools called with
    /// [`RunContext::call_tool`](crate::RunContext::call_tool).
    ToolStarted(ToolStarted),
    /// A tool was called. The host itself emits this around tools called with
    /// [`RunContext::call_tool`](crate::RunContext::call_tool).
    ToolCall(ToolCallEvent),
    /// The agent goes on as another profile.
    ProfileSwitched(ProfileSwitched),
    /// The agent made its context smaller.
    ContextCompressed(ContextCompressed),
    /// An event of the agent's own.
    Custom(Custom),
    /// The run was stopped. The host's own: mappers see it, nobody can emit it.
    StreamStopped(StreamStopped),
    /// The run has finished. The host's own: mappers see it and may change it, nobody can emit it.
    StreamEnd(StreamEnd),
    /// The run has failed. The host's own: mappers see it and may change it, nobody can emit it.
    Error(RunFailed),
}

macro_rules! variants {
    ($($(#[$doc:meta])* $variant:ident($name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty),* $(,)? });)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
            #[serde(default)]
            #[non_exhaustive]
            pub struct $name {
                $($(#[$field_meta])* pub $field: $type,)*
            }

            impl From<$name> for Event {
                fn from(event: $name) -> Self {
                    Self::$variant(event)
                }
            }
        )*
    };
}

variants! {
    /// See [`Event::StreamDelta`].
    StreamDelta(StreamDelta {
        /// The text.
        delta: String,
    });
    /// See [`Event::ThinkingDelta`].
    ThinkingDelta(ThinkingDelta {
        /// The text.
        delta: String,
    });
    /// See [`Event::ThinkingEnd`].
    ThinkingEnd(ThinkingEnd {});
    /// See [`Event::TurnThinking`].
    TurnThinking(TurnThinking {
        /// The text.
        thinking: String,
        /// Whether a subagent did it.
        is_subagent: bool,
    });
    /// See [`Event::PlanningStatus`].
    PlanningStatus(PlanningStatus {
        /// The agent's name for the phase.
        phase: String,
        /// What to show.
        label: String,
        /// Whether a subagent did it.
        is_subagent: bool,
    });
    /// See [`Event::PlanReady`].
    PlanReady(PlanReady {
        /// The plan, usually a list of steps.
        plan: Value,
        /// Whether a subagent did it.
        is_subagent: bool,
    });
    /// See [`Event::ToolStarted`].
    ToolStarted(ToolStarted {
        /// Names the call.
        #[serde(skip_serializing_if = "String::is_empty")]
        call_id: String,
        /// The id of the call that this one belongs under, or empty.
        #[serde(skip_serializing_if = "String::is_empty")]
        parent: String,
        /// The tool's name.
        tool: String,
        /// The arguments.
        args: Value,
        /// Whether a subagent did it.
        is_subagent: bool,
    });
    /// See [`Event::ToolCall`].
    ToolCall(ToolCallEvent {
        /// Names the call.
        #[serde(skip_serializing_if = "String::is_empty")]
        call_id: String,
        /// The id of the call that this one belongs under, or empty.
        #[serde(skip_serializing_if = "String::is_empty")]
        parent: String,
        /// The tool's name.
        tool: String,
        /// The arguments.
        args: Value,
        /// What it gave.
        result: String,
        /// Whether it did what it was asked.
        success: bool,
        /// Whether a subagent did it.
        is_subagent: bool,
        /// Facts about the call.
        metadata: Option<Map<String, Value>>,
    });
    /// See [`Event::ProfileSwitched`].
    ProfileSwitched(ProfileSwitched {
        /// The profile.
        profile_id: String,
        /// Its name for people.
        profile_name: String,
    });
    /// See [`Event::ContextCompressed`].
    ContextCompressed(ContextCompressed {
        /// Messages in the context before.
        messages_before: u64,
        /// Messages in the context after.
        messages_after: u64,
        /// What became of the messages that are gone.
        summary: String,
    });
    /// See [`Event::StreamStopped`].
    StreamStopped(StreamStopped {});
    /// See [`Event::StreamEnd`].
    StreamEnd(StreamEnd {
        /// The final text.
        content: String,
        /// Tokens of the context in use.
        context_tokens: u64,
        /// Tokens that the context can hold.
        max_context_tokens: u64,
        /// How long the run took.
        elapsed_seconds: f64,
        /// How many tools were called.
        tool_call_count: u64,
        /// Tokens that the turn has used.
        token_count: u64,
    });
    /// See [`Event::Error`].
    Error(RunFailed {
        /// What clients read.
        message: String,
    });
}

/// See [`Event::Custom`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Custom {
    /// The wire type.
    pub name: String,
    /// The wire message without `type`.
    pub fields: Map<String, Value>,
}

impl From<Custom> for Event {
    fn from(event: Custom) -> Self {
        Self::Custom(event)
    }
}

impl Event {
    /// A piece of the answer's text.
    pub fn stream_delta(delta: impl Into<String>) -> Self {
        StreamDelta {
            delta: delta.into(),
        }
        .into()
    }

    /// A piece of the thinking's text.
    pub fn thinking_delta(delta: impl Into<String>) -> Self {
        ThinkingDelta {
            delta: delta.into(),
        }
        .into()
    }

    /// The thinking that was streamed in pieces is over.
    pub fn thinking_end() -> Self {
        ThinkingEnd {}.into()
    }

    /// The thinking of a turn in one piece.
    pub fn turn_thinking(thinking: impl Into<String>) -> Self {
        TurnThinking {
            thinking: thinking.into(),
            is_subagent: false,
        }
        .into()
    }

    /// Where the agent is in its planning: its own name for the phase, and what to show.
    pub fn planning_status(phase: impl Into<String>, label: impl Into<String>) -> Self {
        PlanningStatus {
            phase: phase.into(),
            label: label.into(),
            is_subagent: false,
        }
        .into()
    }

    /// A plan: any JSON, usually a list of steps.
    pub fn plan_ready(plan: impl Into<Value>) -> Self {
        PlanReady {
            plan: plan.into(),
            is_subagent: false,
        }
        .into()
    }

    /// A tool is being called. For tools that the agent has within itself; the host does this for those
    /// that are called through it.
    pub fn tool_started(
        call_id: impl Into<String>,
        tool: impl Into<String>,
        args: impl Into<Value>,
    ) -> Self {
        let (call_id, tool, args) = (call_id.into(), tool.into(), args.into());
        ToolStarted {
            call_id,
            tool,
            args,
            ..ToolStarted::default()
        }
        .into()
    }

    /// A tool was called, successfully and without a result until said otherwise. For tools that the agent
    /// has within itself; the host does this for those that are called through it.
    pub fn tool_call(call_id: impl Into<String>, tool: impl Into<String>) -> ToolCallEvent {
        let (call_id, tool) = (call_id.into(), tool.into());
        ToolCallEvent {
            call_id,
            tool,
            success: true,
            ..ToolCallEvent::default()
        }
    }

    /// The agent goes on as another profile. The host keeps the id with the session when the run's own agent emits
    /// this, and gives it back as [`RunRequest::profile`](crate::RunRequest::profile).
    pub fn profile_switched(
        profile_id: impl Into<String>,
        profile_name: impl Into<String>,
    ) -> Self {
        ProfileSwitched {
            profile_id: profile_id.into(),
            profile_name: profile_name.into(),
        }
        .into()
    }

    /// The agent made its context smaller.
    pub fn context_compressed(
        messages_before: u64,
        messages_after: u64,
        summary: impl Into<String>,
    ) -> Self {
        ContextCompressed {
            messages_before,
            messages_after,
            summary: summary.into(),
        }
        .into()
    }

    /// An event of the agent's own: `fields` is the wire message without `type`. The host refuses a name
    /// that the protocol itself uses, and the fields `seq`, `seq_from`, `run_id` and `epoch`.
    pub fn custom(name: impl Into<String>, fields: Map<String, Value>) -> Self {
        Custom {
            name: name.into(),
            fields,
        }
        .into()
    }

    /// Marks the event as a subagent's, or not. Does nothing to events that do not say whose they are.
    #[must_use]
    pub fn subagent(mut self, yes: bool) -> Self {
        match &mut self {
            Self::TurnThinking(event) => event.is_subagent = yes,
            Self::PlanningStatus(event) => event.is_subagent = yes,
            Self::PlanReady(event) => event.is_subagent = yes,
            Self::ToolStarted(event) => event.is_subagent = yes,
            Self::ToolCall(event) => event.is_subagent = yes,
            _ => {}
        }
        self
    }
}

impl ToolCallEvent {
    /// The arguments.
    #[must_use]
    pub fn args(mut self, args: impl Into<Value>) -> Self {
        self.args = args.into();
        self
    }

    /// What it gave.
    #[must_use]
    pub fn result(mut self, result: impl Into<String>) -> Self {
        self.result = result.into();
        self
    }

    /// Whether it did what it was asked.
    #[must_use]
    pub fn success(mut self, success: bool) -> Self {
        self.success = success;
        self
    }

    /// Facts about the call.
    #[must_use]
    pub fn metadata(mut self, metadata: Map<String, Value>) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Whether a subagent did it.
    #[must_use]
    pub fn subagent(mut self, yes: bool) -> Self {
        self.is_subagent = yes;
        self
    }
}
