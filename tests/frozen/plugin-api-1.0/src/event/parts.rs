//! Events as they cross the boundary: a kind, borrowed strings, and JSON for what is left.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    ContextCompressed, Custom, Event, EventError, PlanReady, PlanningStatus, ProfileSwitched,
    RunFailed, StreamDelta, StreamEnd, StreamStopped, ThinkingDelta, ThinkingEnd, ToolCallEvent,
    ToolStarted, TurnThinking,
};
use crate::abi::types;

/// An event in the parts in which it crosses the boundary; which part means what is said at the
/// `EVENT_…` constants of [`abi::types`](crate::abi::types).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EventRef<'a> {
    /// `EVENT_…`.
    pub kind: u32,
    /// Whether it is a subagent's.
    pub subagent: bool,
    /// The wire type; for a kind that this release knows always that kind's own.
    pub name: &'a str,
    /// A call's id, or empty.
    pub id: &'a str,
    /// The id of the call that it belongs under, or empty.
    pub parent: &'a str,
    /// Text, as the kind says.
    pub text: &'a str,
    /// JSON, as the kind says; empty where there is none. Not yet parsed by anyone.
    pub json: &'a str,
}

#[derive(Deserialize, Serialize)]
#[serde(default)]
struct Phase<S> {
    phase: S,
}

#[derive(Deserialize, Serialize)]
#[serde(default)]
struct Started<S, V> {
    tool: S,
    args: V,
}

#[derive(Deserialize, Serialize)]
#[serde(default)]
struct Called<S, V, M> {
    tool: S,
    args: V,
    success: bool,
    metadata: M,
}

#[derive(Deserialize, Serialize)]
#[serde(default)]
struct Profile<S> {
    profile_id: S,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Compressed {
    messages_before: u64,
    messages_after: u64,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Ended {
    context_tokens: u64,
    max_context_tokens: u64,
    elapsed_seconds: f64,
    tool_call_count: u64,
    token_count: u64,
}

macro_rules! defaults {
    ($($name:ident<$($parameter:ident),*> { $($field:ident),* })*) => {
        $(impl<$($parameter: Default),*> Default for $name<$($parameter),*> {
            fn default() -> Self {
                Self { $($field: Default::default()),* }
            }
        })*
    };
}
defaults! {
    Phase<S> { phase }
    Started<S, V> { tool, args }
    Called<S, V, M> { tool, args, success, metadata }
    Profile<S> { profile_id }
}

fn encode(value: &impl Serialize) -> String {
    // Strings, numbers and JSON values always encode.
    serde_json::to_string(value).unwrap_or_default()
}

impl Event {
    /// Lends the event's parts to `use_parts`. Allocates only for the kinds that have JSON.
    #[inline]
    pub fn with_parts<R>(&self, use_parts: impl FnOnce(EventRef<'_>) -> R) -> R {
        match self {
            Self::StreamDelta(StreamDelta { delta }) => use_parts(EventRef {
                kind: types::EVENT_STREAM_DELTA,
                name: "stream_delta",
                text: delta,
                ..EventRef::default()
            }),
            Self::ThinkingDelta(ThinkingDelta { delta }) => use_parts(EventRef {
                kind: types::EVENT_THINKING_DELTA,
                name: "thinking_delta",
                text: delta,
                ..EventRef::default()
            }),
            other => other.with_rare_parts(use_parts),
        }
    }

    fn with_rare_parts<R>(&self, use_parts: impl FnOnce(EventRef<'_>) -> R) -> R {
        let json;
        let mut parts = EventRef {
            kind: self.kind(),
            name: self.name(),
            ..EventRef::default()
        };
        match self {
            Self::StreamDelta(event) => parts.text = &event.delta,
            Self::ThinkingDelta(event) => parts.text = &event.delta,
            Self::ThinkingEnd(_) | Self::StreamStopped(_) => {}
            Self::TurnThinking(event) => {
                parts.subagent = event.is_subagent;
                parts.text = &event.thinking;
            }
            Self::PlanningStatus(event) => {
                json = encode(&Phase {
                    phase: &event.phase,
                });
                (parts.subagent, parts.text, parts.json) = (event.is_subagent, &event.label, &json);
            }
            Self::PlanReady(event) => {
                json = encode(&event.plan);
                (parts.subagent, parts.json) = (event.is_subagent, &json);
            }
            Self::ToolStarted(event) => {
                json = encode(&Started {
                    tool: &event.tool,
                    args: &event.args,
                });
                (parts.subagent, parts.json) = (event.is_subagent, &json);
                (parts.id, parts.parent) = (&event.call_id, &event.parent);
            }
            Self::ToolCall(event) => {
                let ToolCallEvent {
                    tool,
                    args,
                    success,
                    metadata,
                    ..
                } = event;
                json = encode(&Called {
                    tool,
                    args,
                    success: *success,
                    metadata,
                });
                (parts.subagent, parts.text, parts.json) =
                    (event.is_subagent, &event.result, &json);
                (parts.id, parts.parent) = (&event.call_id, &event.parent);
            }
            Self::ProfileSwitched(event) => {
                json = encode(&Profile {
                    profile_id: &event.profile_id,
                });
                (parts.text, parts.json) = (&event.profile_name, &json);
            }
            Self::ContextCompressed(event) => {
                let (messages_before, messages_after) =
                    (event.messages_before, event.messages_after);
                json = encode(&Compressed {
                    messages_before,
                    messages_after,
                });
                (parts.text, parts.json) = (&event.summary, &json);
            }
            Self::Custom(event) => {
                json = encode(&event.fields);
                parts.json = &json;
            }
            Self::StreamEnd(event) => {
                json = encode(&Ended {
                    context_tokens: event.context_tokens,
                    max_context_tokens: event.max_context_tokens,
                    elapsed_seconds: event.elapsed_seconds,
                    tool_call_count: event.tool_call_count,
                    token_count: event.token_count,
                });
                (parts.text, parts.json) = (&event.content, &json);
            }
            Self::Error(event) => parts.text = &event.message,
        }
        use_parts(parts)
    }

    /// The event that these parts are. A kind that this release does not know gives a custom event.
    ///
    /// # Errors
    ///
    /// The JSON is none, or has a field of the wrong type.
    pub fn from_parts(parts: EventRef<'_>) -> Result<Self, EventError> {
        fn json<'a, T: Deserialize<'a> + Default>(parts: &EventRef<'a>) -> Result<T, EventError> {
            if parts.json.is_empty() {
                return Ok(T::default());
            }
            serde_json::from_str(parts.json).map_err(|error| EventError::new(parts.name, error))
        }
        let EventRef {
            subagent: is_subagent,
            ..
        } = parts;
        let (call_id, parent, text) = (
            || parts.id.to_owned(),
            || parts.parent.to_owned(),
            || parts.text.to_owned(),
        );
        Ok(match parts.kind {
            types::EVENT_STREAM_DELTA => StreamDelta { delta: text() }.into(),
            types::EVENT_THINKING_DELTA => ThinkingDelta { delta: text() }.into(),
            types::EVENT_THINKING_END => ThinkingEnd {}.into(),
            types::EVENT_TURN_THINKING => TurnThinking {
                thinking: text(),
                is_subagent,
            }
            .into(),
            types::EVENT_PLANNING_STATUS => {
                let Phase { phase } = json(&parts)?;
                PlanningStatus {
                    phase,
                    label: text(),
                    is_subagent,
                }
                .into()
            }
            types::EVENT_PLAN_READY => PlanReady {
                plan: json(&parts)?,
                is_subagent,
            }
            .into(),
            types::EVENT_TOOL_STARTED => {
                let Started { tool, args } = json(&parts)?;
                ToolStarted {
                    call_id: call_id(),
                    parent: parent(),
                    tool,
                    args,
                    is_subagent,
                }
                .into()
            }
            types::EVENT_TOOL_CALL => {
                let Called {
                    tool,
                    args,
                    success,
                    metadata,
                } = json(&parts)?;
                let (call_id, parent, result) = (call_id(), parent(), text());
                ToolCallEvent {
                    call_id,
                    parent,
                    tool,
                    args,
                    result,
                    success,
                    is_subagent,
                    metadata,
                }
                .into()
            }
            types::EVENT_PROFILE_SWITCHED => {
                let Profile { profile_id } = json(&parts)?;
                ProfileSwitched {
                    profile_id,
                    profile_name: text(),
                }
                .into()
            }
            types::EVENT_CONTEXT_COMPRESSED => {
                let Compressed {
                    messages_before,
                    messages_after,
                } = json(&parts)?;
                ContextCompressed {
                    messages_before,
                    messages_after,
                    summary: text(),
                }
                .into()
            }
            types::EVENT_STREAM_STOPPED => StreamStopped {}.into(),
            types::EVENT_STREAM_END => {
                let Ended {
                    context_tokens,
                    max_context_tokens,
                    elapsed_seconds,
                    tool_call_count,
                    token_count,
                } = json(&parts)?;
                StreamEnd {
                    content: text(),
                    context_tokens,
                    max_context_tokens,
                    elapsed_seconds,
                    tool_call_count,
                    token_count,
                }
                .into()
            }
            types::EVENT_ERROR => RunFailed { message: text() }.into(),
            _ => {
                let fields: Map<String, Value> = json(&parts)?;
                Custom {
                    name: parts.name.to_owned(),
                    fields,
                }
                .into()
            }
        })
    }
}
