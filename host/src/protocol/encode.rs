//! Events as frames.

use super::event::RunEvent;
use super::json::Json;
use super::messages::{ServerMessage, append};
use super::version::Version;

const STREAM_DELTA: &[u8] = br#"{"type":"stream_delta","delta":"#;
const THINKING_DELTA: &[u8] = br#"{"type":"thinking_delta","delta":"#;

/// The positions that a frame stands for: one event's, or those of several that are folded into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The first event's.
    pub seq_from: u64,
    /// The last event's.
    pub seq: u64,
}

impl Position {
    /// That of one event.
    #[must_use]
    pub const fn of(seq: u64) -> Self {
        Self { seq_from: seq, seq }
    }
}

/// Appends `event` as a frame to `out`; nothing for an event that the version does not have.
pub(super) fn encode(event: &RunEvent, version: Version, at: Position, out: &mut Vec<u8>) {
    match version {
        Version::V1 if event.is_in_version_1() => message(event, false, out),
        Version::V1 => {}
        Version::V2 => {
            message(event, true, out);
            position(at, out);
        }
    }
}

/// Appends `event` with all its fields, without a position, as it is stored.
pub(super) fn encode_full(event: &RunEvent, out: &mut Vec<u8>) {
    message(event, true, out);
}

/// Appends a piece of text as the frame of a `stream_delta`, without an event being made of it.
pub fn stream_delta(delta: &str, version: Version, at: Position, out: &mut Vec<u8>) {
    encode_delta(STREAM_DELTA, delta, out);
    if version == Version::V2 {
        position(at, out);
    }
}

/// Likewise of a `thinking_delta`.
pub fn thinking_delta(delta: &str, version: Version, at: Position, out: &mut Vec<u8>) {
    encode_delta(THINKING_DELTA, delta, out);
    if version == Version::V2 {
        position(at, out);
    }
}

/// Opens the frame at the end of `out` again at its closing brace, and adds where it stands. A frame has a `type`,
/// so there is always a field before.
fn position(at: Position, out: &mut Vec<u8>) {
    out.pop();
    if at.seq_from != at.seq {
        out.extend_from_slice(br#","seq_from":"#);
        append(out, &at.seq_from);
    }
    out.extend_from_slice(br#","seq":"#);
    append(out, &at.seq);
    out.push(b'}');
}

/// Appends `event`; `full` with the fields that version 1 leaves out.
fn message(event: &RunEvent, full: bool, out: &mut Vec<u8>) {
    // Deltas are nearly all there is; they get by without the derived code.
    match event {
        RunEvent::StreamDelta { delta } => encode_delta(STREAM_DELTA, delta, out),
        RunEvent::ThinkingDelta { delta } => encode_delta(THINKING_DELTA, delta, out),
        RunEvent::Custom { name, fields } => encode_custom(name, fields, out),
        RunEvent::StreamStart { run_id, ts } => ServerMessage::StreamStart {
            run_id: full.then_some(*run_id),
            ts: full.then_some(*ts),
        }
        .encode(out),
        RunEvent::ThinkingEnd => ServerMessage::ThinkingEnd {}.encode(out),
        RunEvent::TurnThinking {
            thinking,
            is_subagent,
        } => {
            ServerMessage::TurnThinking {
                thinking,
                is_subagent: *is_subagent,
            }
            .encode(out);
        }
        RunEvent::PlanningStatus {
            phase,
            label,
            is_subagent,
        } => {
            ServerMessage::PlanningStatus {
                phase,
                label,
                is_subagent: *is_subagent,
            }
            .encode(out);
        }
        RunEvent::PlanReady { plan, is_subagent } => {
            ServerMessage::PlanReady {
                plan,
                is_subagent: *is_subagent,
            }
            .encode(out);
        }
        RunEvent::ToolStarted(call) => {
            let is_subagent = call.is_subagent;
            ServerMessage::ToolStarted {
                tool: &call.tool,
                args: &call.args,
                is_subagent,
                call_id: call_id(full, &call.call_id),
                agent: call.agent.as_deref().filter(|_| full),
            }
            .encode(out);
        }
        RunEvent::ToolCall(call) => ServerMessage::ToolCall {
            tool: &call.tool,
            args: &call.args,
            result: &call.result,
            success: call.success,
            is_subagent: call.is_subagent,
            metadata: call.metadata.as_ref(),
            call_id: call_id(full, &call.call_id),
            agent: call.agent.as_deref().filter(|_| full),
        }
        .encode(out),
        RunEvent::ProfileSwitched {
            profile_id,
            profile_name,
        } => {
            ServerMessage::ProfileSwitched {
                profile_id,
                profile_name,
            }
            .encode(out);
        }
        RunEvent::ContextCompressed {
            messages_before,
            messages_after,
            summary,
        } => {
            let (messages_before, messages_after) = (*messages_before, *messages_after);
            ServerMessage::ContextCompressed {
                messages_before,
                messages_after,
                summary,
            }
            .encode(out);
        }
        RunEvent::StreamStopped => ServerMessage::StreamStopped {}.encode(out),
        RunEvent::StreamEnd(end) => ServerMessage::StreamEnd {
            content: &end.content,
            context_tokens: end.context_tokens,
            max_context_tokens: end.max_context_tokens,
            elapsed_seconds: seconds(end.elapsed_seconds),
            tool_call_count: end.tool_call_count,
            token_count: end.token_count,
            status: full.then_some(end.status.as_str()),
        }
        .encode(out),
        RunEvent::Error(failure) => ServerMessage::Error {
            message: &failure.message,
            code: full.then_some(failure.code),
            retryable: full.then_some(failure.code.is_retryable()),
            run_id: full.then_some(failure.run_id),
            id: None,
        }
        .encode(out),
    }
}

/// A number that JSON has and the schema allows, whatever a clock or a stored value says.
fn seconds(elapsed: f64) -> f64 {
    if elapsed.is_finite() {
        elapsed.max(0.0)
    } else {
        0.0
    }
}

fn call_id(full: bool, id: &str) -> Option<&str> {
    (full && !id.is_empty()).then_some(id)
}

fn encode_delta(head: &[u8], delta: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(head);
    append(out, delta);
    out.push(b'}');
}

fn encode_custom(name: &str, fields: &Json, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"type":"#);
    append(out, name);
    if let Some(members) = fields.members().filter(|members| !members.is_empty()) {
        out.push(b',');
        out.extend_from_slice(members.as_bytes());
    }
    out.push(b'}');
}
