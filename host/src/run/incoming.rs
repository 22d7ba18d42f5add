//! Events on their way from a plugin into the log, checked; and the host's own on their way to a mapper.

use std::borrow::Cow;

use plugin_api::EventRef;
use plugin_api::abi::types;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::record::{Delta, Incoming};
use crate::protocol::event::CustomFault;
use crate::protocol::{Json, JsonFault, RunEvent, ToolCall, ToolStarted};

/// Why an event is refused to whoever emits it.
#[derive(Debug, thiserror::Error)]
pub(super) enum EventFault {
    /// Only the host begins and ends a run.
    #[error("`{0}` is the host's own event")]
    HostsOwn(String),
    /// The JSON is none, or not of the kind's form.
    #[error("`{name}`: {source}")]
    Form {
        /// The event's wire type.
        name: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A JSON value in it is not acceptable.
    #[error("`{name}`: {source}")]
    Json {
        /// The event's wire type.
        name: String,
        /// What is wrong.
        source: JsonFault,
    },
    /// A custom event uses what is the protocol's.
    #[error(transparent)]
    Custom(#[from] CustomFault),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Phase<'a> {
    #[serde(borrow)]
    phase: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Profile<'a> {
    #[serde(borrow)]
    profile_id: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Compressed {
    messages_before: u64,
    messages_after: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Call<'a> {
    #[serde(borrow)]
    tool: Cow<'a, str>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    success: bool,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

/// Which delta the event is, if it is one, and its text. There is nothing in it to check.
pub(super) fn delta<'a>(event: &EventRef<'a>) -> Option<(Delta, &'a str)> {
    match event.kind {
        types::EVENT_STREAM_DELTA => Some((Delta::Stream, event.text)),
        types::EVENT_THINKING_DELTA => Some((Delta::Thinking, event.text)),
        _ => None,
    }
}

/// Reads an event that a plugin emitted, or that a mapper put in another's place. `agent` names the subagent
/// whose it is. JSON may be nested `depth` deep.
///
/// # Errors
///
/// [`EventFault`]; nothing of the event is used then.
pub(super) fn read<'a>(
    event: EventRef<'a>,
    agent: Option<&str>,
    depth: usize,
) -> Result<Incoming<'a>, EventFault> {
    let json = |text: &str| {
        Json::parse(text, depth).map_err(|source| EventFault::Json {
            name: event.name.to_owned(),
            source,
        })
    };
    let raw = |value: Option<&RawValue>| {
        value.map_or_else(|| Ok(Json::null()), |value| json(value.get()))
    };
    let is_subagent = event.subagent;
    let text = || event.text.to_owned();
    if let Some((kind, text)) = delta(&event) {
        return Ok(Incoming::Delta(kind, text));
    }
    Ok(Incoming::Event(match event.kind {
        types::EVENT_THINKING_END => RunEvent::ThinkingEnd,
        types::EVENT_TURN_THINKING => RunEvent::TurnThinking {
            thinking: text(),
            is_subagent,
        },
        types::EVENT_PLANNING_STATUS => {
            let Phase { phase } = form(&event)?;
            RunEvent::PlanningStatus {
                phase: phase.into_owned(),
                label: text(),
                is_subagent,
            }
        }
        types::EVENT_PLAN_READY => {
            let plan = if event.json.is_empty() {
                Json::null()
            } else {
                json(event.json)?
            };
            RunEvent::PlanReady { plan, is_subagent }
        }
        types::EVENT_TOOL_STARTED => {
            let call: Call<'_> = form(&event)?;
            RunEvent::ToolStarted(ToolStarted {
                call_id: event.id.to_owned(),
                agent: agent.map(str::to_owned),
                tool: call.tool.into_owned(),
                args: raw(call.args)?,
                is_subagent,
            })
        }
        types::EVENT_TOOL_CALL => {
            let call: Call<'_> = form(&event)?;
            let metadata = raw(call.metadata)?;
            RunEvent::ToolCall(ToolCall {
                call_id: event.id.to_owned(),
                agent: agent.map(str::to_owned),
                tool: call.tool.into_owned(),
                args: raw(call.args)?,
                result: text(),
                success: call.success,
                is_subagent,
                metadata: metadata.is_object().then_some(metadata),
            })
        }
        types::EVENT_PROFILE_SWITCHED => {
            let Profile { profile_id } = form(&event)?;
            RunEvent::ProfileSwitched {
                profile_id: profile_id.into_owned(),
                profile_name: text(),
            }
        }
        types::EVENT_CONTEXT_COMPRESSED => {
            let Compressed {
                messages_before,
                messages_after,
            } = form(&event)?;
            RunEvent::ContextCompressed {
                messages_before,
                messages_after,
                summary: text(),
            }
        }
        types::EVENT_STREAM_STOPPED | types::EVENT_STREAM_END | types::EVENT_ERROR => {
            return Err(EventFault::HostsOwn(event.name.to_owned()));
        }
        types::EVENT_CUSTOM => RunEvent::custom(event.name, custom_fields(&event, json)?)?,
        // A kind of a newer plugin: its wire type and whatever it carries.
        _ => RunEvent::custom(event.name, newer_fields(&event, json)?)?,
    }))
}

/// What is wrong with an event that a plugin emits, if anything; JSON may be nested `depth` deep.
pub(crate) fn fault(event: EventRef<'_>, depth: usize) -> Option<String> {
    read(event, None, depth)
        .err()
        .map(|fault| fault.to_string())
}

fn form<'a, T: Deserialize<'a> + Default>(event: &EventRef<'a>) -> Result<T, EventFault> {
    if event.json.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_str(event.json).map_err(|source| EventFault::Form {
        name: event.name.to_owned(),
        source,
    })
}

fn custom_fields(
    event: &EventRef<'_>,
    json: impl Fn(&str) -> Result<Json, EventFault>,
) -> Result<Json, EventFault> {
    if event.json.is_empty() {
        Ok(Json::empty_object())
    } else {
        json(event.json)
    }
}

fn newer_fields(
    event: &EventRef<'_>,
    json: impl Fn(&str) -> Result<Json, EventFault>,
) -> Result<Json, EventFault> {
    let fields = custom_fields(event, json)?;
    if event.text.is_empty() || !fields.is_object() {
        return Ok(fields);
    }
    let mut value = fields.to_value();
    if let Some(object) = value.as_object_mut() {
        object.entry("text").or_insert_with(|| event.text.into());
    }
    Ok(Json::from_value(&value))
}

#[derive(Serialize)]
struct StartedParts<'a> {
    tool: &'a str,
    args: &'a Json,
}

#[derive(Serialize)]
struct CallParts<'a> {
    tool: &'a str,
    args: &'a Json,
    success: bool,
    metadata: Option<&'a Json>,
}

#[derive(Serialize)]
struct EndParts {
    context_tokens: u64,
    max_context_tokens: u64,
    elapsed_seconds: f64,
    tool_call_count: u64,
    token_count: u64,
}

/// Lends the parts of an event that the host itself makes, for mappers. Other events give `None`.
pub(super) fn with_parts<R>(event: &RunEvent, lend: impl FnOnce(EventRef<'_>) -> R) -> Option<R> {
    let json;
    let mut parts = EventRef {
        name: event.type_name(),
        ..EventRef::default()
    };
    match event {
        RunEvent::ToolStarted(call) => {
            json = serde_json::to_string(&StartedParts {
                tool: &call.tool,
                args: &call.args,
            })
            .ok()?;
            parts.kind = types::EVENT_TOOL_STARTED;
            (parts.id, parts.json, parts.subagent) = (&call.call_id, &json, call.is_subagent);
        }
        RunEvent::ToolCall(call) => {
            let (tool, args, metadata) = (call.tool.as_str(), &call.args, call.metadata.as_ref());
            json = serde_json::to_string(&CallParts {
                tool,
                args,
                success: call.success,
                metadata,
            })
            .ok()?;
            parts.kind = types::EVENT_TOOL_CALL;
            (parts.id, parts.json, parts.subagent) = (&call.call_id, &json, call.is_subagent);
            parts.text = &call.result;
        }
        RunEvent::StreamStopped => parts.kind = types::EVENT_STREAM_STOPPED,
        RunEvent::StreamEnd(end) => {
            json = serde_json::to_string(&EndParts {
                context_tokens: end.context_tokens,
                max_context_tokens: end.max_context_tokens,
                elapsed_seconds: end.elapsed_seconds,
                tool_call_count: end.tool_call_count,
                token_count: end.token_count,
            })
            .ok()?;
            parts.kind = types::EVENT_STREAM_END;
            (parts.text, parts.json) = (&end.content, &json);
        }
        RunEvent::Error(failure) => {
            parts.kind = types::EVENT_ERROR;
            parts.text = &failure.message;
        }
        _ => return None,
    }
    Some(lend(parts))
}
