//! Events as they are stored, read back: the inverse of [`RunEvent::encode_full`].

use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::{RunEvent, ToolCall, ToolStarted};
use super::json::{HIGHEST_MAX_DEPTH, Json};

/// Every field that an event may have.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    delta: String,
    thinking: String,
    is_subagent: bool,
    phase: String,
    label: String,
    plan: Option<Box<RawValue>>,
    tool: String,
    args: Option<Box<RawValue>>,
    result: String,
    success: bool,
    metadata: Option<Box<RawValue>>,
    call_id: String,
    agent: Option<String>,
    profile_id: String,
    profile_name: String,
    messages_before: u64,
    messages_after: u64,
    summary: String,
}

/// Reads a stored event of the type `kind`; `None` when it is not one. Fields that are missing are empty.
#[must_use]
pub fn read_stored(kind: &str, text: &str) -> Option<RunEvent> {
    if !super::kinds::is_reserved_type(kind) {
        return custom(kind, text);
    }
    // A list would be read as fields without their names.
    let object = Some(text).filter(|text| text.starts_with('{'))?;
    let fields: Fields = serde_json::from_str(object).ok()?;
    let is_subagent = fields.is_subagent;
    Some(match kind {
        "stream_delta" => RunEvent::StreamDelta {
            delta: fields.delta,
        },
        "thinking_delta" => RunEvent::ThinkingDelta {
            delta: fields.delta,
        },
        "thinking_end" => RunEvent::ThinkingEnd,
        "turn_thinking" => RunEvent::TurnThinking {
            thinking: fields.thinking,
            is_subagent,
        },
        "planning_status" => RunEvent::PlanningStatus {
            phase: fields.phase,
            label: fields.label,
            is_subagent,
        },
        "plan_ready" => RunEvent::PlanReady {
            plan: json(fields.plan),
            is_subagent,
        },
        "tool_started" => RunEvent::ToolStarted(ToolStarted {
            call_id: fields.call_id,
            agent: fields.agent,
            tool: fields.tool,
            args: json(fields.args),
            is_subagent,
        }),
        "tool_call" => RunEvent::ToolCall(ToolCall {
            call_id: fields.call_id,
            agent: fields.agent,
            tool: fields.tool,
            args: json(fields.args),
            result: fields.result,
            success: fields.success,
            is_subagent,
            metadata: fields.metadata.map(|metadata| json(Some(metadata))),
        }),
        "profile_switched" => RunEvent::ProfileSwitched {
            profile_id: fields.profile_id,
            profile_name: fields.profile_name,
        },
        "context_compressed" => RunEvent::ContextCompressed {
            messages_before: fields.messages_before,
            messages_after: fields.messages_after,
            summary: fields.summary,
        },
        // The first and the last event of a run are not stored as events.
        _ => return None,
    })
}

fn custom(kind: &str, text: &str) -> Option<RunEvent> {
    // The type is written first, so what is behind it is the fields as they came, to the letter.
    let head = format!(r#"{{"type":{}"#, serde_json::Value::from(kind));
    let rest = text.strip_prefix(&head)?;
    let fields = match rest.strip_prefix(',') {
        Some(fields) => format!("{{{fields}"),
        None => "{}".to_owned(),
    };
    let fields = Json::from_string(fields, HIGHEST_MAX_DEPTH).ok()?;
    RunEvent::custom(kind, fields).ok()
}

fn json(raw: Option<Box<RawValue>>) -> Json {
    raw.and_then(|raw| Json::from_string(raw.get().to_owned(), HIGHEST_MAX_DEPTH).ok())
        .unwrap_or_else(Json::null)
}
