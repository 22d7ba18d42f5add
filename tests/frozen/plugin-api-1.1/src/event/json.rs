//! Events as wire messages.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{Custom, Event};
use crate::abi::types;

/// A JSON form that is no event.
#[derive(Debug, Error)]
#[error("event `{name}`: {problem}")]
pub struct EventError {
    name: String,
    problem: String,
}

impl EventError {
    pub(super) fn new(name: &str, problem: impl ToString) -> Self {
        Self {
            name: name.to_owned(),
            problem: problem.to_string(),
        }
    }
}

impl Event {
    /// The wire type.
    pub fn name(&self) -> &str {
        match self {
            Self::Custom(event) => &event.name,
            known => known_name(known.kind()).unwrap_or_default(),
        }
    }

    /// The kind as it crosses the boundary, `RH_EVENT_…`.
    pub fn kind(&self) -> u32 {
        match self {
            Self::Custom(_) => types::EVENT_CUSTOM,
            Self::StreamDelta(_) => types::EVENT_STREAM_DELTA,
            Self::ThinkingDelta(_) => types::EVENT_THINKING_DELTA,
            Self::ThinkingEnd(_) => types::EVENT_THINKING_END,
            Self::TurnThinking(_) => types::EVENT_TURN_THINKING,
            Self::PlanningStatus(_) => types::EVENT_PLANNING_STATUS,
            Self::PlanReady(_) => types::EVENT_PLAN_READY,
            Self::ToolStarted(_) => types::EVENT_TOOL_STARTED,
            Self::ToolCall(_) => types::EVENT_TOOL_CALL,
            Self::ProfileSwitched(_) => types::EVENT_PROFILE_SWITCHED,
            Self::ContextCompressed(_) => types::EVENT_CONTEXT_COMPRESSED,
            Self::StreamStopped(_) => types::EVENT_STREAM_STOPPED,
            Self::StreamEnd(_) => types::EVENT_STREAM_END,
            Self::Error(_) => types::EVENT_ERROR,
        }
    }

    /// The event that a wire message is: `name` is its `type`, `fields` the rest. Absent fields are empty,
    /// zero, false or null; unknown ones of a known type are left out. A type that is not the protocol's
    /// gives a custom event.
    ///
    /// # Errors
    ///
    /// A field of a known type has the wrong JSON type, or `name` is empty.
    pub fn from_wire(name: &str, fields: Map<String, Value>) -> Result<Self, EventError> {
        fn read<T: DeserializeOwned + Into<Event>>(
            name: &str,
            fields: Map<String, Value>,
        ) -> Result<Event, EventError> {
            let event: Result<T, _> = serde_json::from_value(Value::Object(fields));
            event
                .map(Into::into)
                .map_err(|error| EventError::new(name, error))
        }
        match name {
            "" => Err(EventError::new(name, "`type` must not be empty")),
            "stream_delta" => read::<super::StreamDelta>(name, fields),
            "thinking_delta" => read::<super::ThinkingDelta>(name, fields),
            "thinking_end" => read::<super::ThinkingEnd>(name, fields),
            "turn_thinking" => read::<super::TurnThinking>(name, fields),
            "planning_status" => read::<super::PlanningStatus>(name, fields),
            "plan_ready" => read::<super::PlanReady>(name, fields),
            "tool_started" => read::<super::ToolStarted>(name, fields),
            "tool_call" => read::<super::ToolCallEvent>(name, fields),
            "profile_switched" => read::<super::ProfileSwitched>(name, fields),
            "context_compressed" => read::<super::ContextCompressed>(name, fields),
            "stream_stopped" => read::<super::StreamStopped>(name, fields),
            "stream_end" => read::<super::StreamEnd>(name, fields),
            "error" => read::<super::RunFailed>(name, fields),
            custom => Ok(Custom {
                name: custom.to_owned(),
                fields,
            }
            .into()),
        }
    }

    /// The event that a whole wire message is.
    ///
    /// # Errors
    ///
    /// It is no object, its `type` is missing or no string, or as in [`from_wire`](Self::from_wire).
    pub fn from_wire_value(message: Value) -> Result<Self, EventError> {
        let Value::Object(mut fields) = message else {
            return Err(EventError::new("", "an event is a JSON object"));
        };
        match fields.remove("type") {
            Some(Value::String(name)) => Self::from_wire(&name, fields),
            _ => Err(EventError::new("", "`type` must be a string")),
        }
    }

    /// The wire message, `type` first.
    pub fn to_wire(&self) -> Map<String, Value> {
        fn fields(event: &impl Serialize) -> Map<String, Value> {
            match serde_json::to_value(event) {
                Ok(Value::Object(fields)) => fields,
                // These structs of strings, numbers and values always become objects.
                _ => Map::new(),
            }
        }
        let rest = match self {
            Self::StreamDelta(event) => fields(event),
            Self::ThinkingDelta(event) => fields(event),
            Self::ThinkingEnd(event) => fields(event),
            Self::TurnThinking(event) => fields(event),
            Self::PlanningStatus(event) => fields(event),
            Self::PlanReady(event) => fields(event),
            Self::ToolStarted(event) => fields(event),
            Self::ToolCall(event) => fields(event),
            Self::ProfileSwitched(event) => fields(event),
            Self::ContextCompressed(event) => fields(event),
            Self::StreamStopped(event) => fields(event),
            Self::StreamEnd(event) => fields(event),
            Self::Error(event) => fields(event),
            Self::Custom(event) => event.fields.clone(),
        };
        let mut message = Map::with_capacity(rest.len() + 1);
        message.insert("type".to_owned(), Value::from(self.name()));
        message.extend(rest.into_iter().filter(|(key, _)| key != "type"));
        message
    }
}

/// The wire type of a kind that this release knows, except custom.
#[inline]
pub(crate) fn known_name(kind: u32) -> Option<&'static str> {
    Some(match kind {
        types::EVENT_STREAM_DELTA => "stream_delta",
        types::EVENT_THINKING_DELTA => "thinking_delta",
        types::EVENT_THINKING_END => "thinking_end",
        types::EVENT_TURN_THINKING => "turn_thinking",
        types::EVENT_PLANNING_STATUS => "planning_status",
        types::EVENT_PLAN_READY => "plan_ready",
        types::EVENT_TOOL_STARTED => "tool_started",
        types::EVENT_TOOL_CALL => "tool_call",
        types::EVENT_PROFILE_SWITCHED => "profile_switched",
        types::EVENT_CONTEXT_COMPRESSED => "context_compressed",
        types::EVENT_STREAM_STOPPED => "stream_stopped",
        types::EVENT_STREAM_END => "stream_end",
        types::EVENT_ERROR => "error",
        _ => return None,
    })
}
