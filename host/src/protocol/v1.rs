//! The messages of version 1. Frames and published schema are both made from [`ServerMessage`], so they
//! cannot differ.

use schemars::JsonSchema;
use serde::Serialize;

use super::event::RunEvent;
use super::json::Json;

/// What a client gets.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schemars(
    title = "Server message",
    description = "What a client gets, version 1 of the protocol: one JSON object in one text frame, `type` \
        its first key. A client ignores fields and types that it does not know: optional fields may be added \
        to any message."
)]
pub enum ServerMessage<'a> {
    /// A run begins. What follows, up to its last frame, belongs to it.
    #[schemars(extend("examples" = [{"type": "stream_start"}]))]
    StreamStart {},
    /// A piece of the agent's thinking. Pieces are concatenated as they are.
    #[schemars(extend("examples" = [{"type": "thinking_delta", "delta": "The user wants"}]))]
    ThinkingDelta {
        /// The piece.
        delta: &'a str,
    },
    /// The thinking that was streamed is complete.
    #[schemars(extend("examples" = [{"type": "thinking_end"}]))]
    ThinkingEnd {},
    /// The thinking of a whole turn in one piece.
    #[schemars(extend("examples" = [
        {"type": "turn_thinking", "thinking": "The user wants a date.", "is_subagent": false}
    ]))]
    TurnThinking {
        /// All of it.
        thinking: &'a str,
        /// Whether it is a subagent's.
        is_subagent: bool,
    },
    /// A piece of the answer. Pieces are concatenated as they are.
    #[schemars(extend("examples" = [{"type": "stream_delta", "delta": "Hello "}]))]
    StreamDelta {
        /// The piece.
        delta: &'a str,
    },
    /// What the agent is doing while it plans.
    #[schemars(extend("examples" = [
        {"type": "planning_status", "phase": "research", "label": "Reading the files", "is_subagent": false}
    ]))]
    PlanningStatus {
        /// The phase, for programs.
        phase: &'a str,
        /// The phase, for people.
        label: &'a str,
        /// Whether it is a subagent's.
        is_subagent: bool,
    },
    /// A plan is ready.
    #[schemars(extend("examples" = [
        {"type": "plan_ready", "plan": [{"step": "Read the files"}, {"step": "Answer"}], "is_subagent": false}
    ]))]
    PlanReady {
        /// The plan, any JSON; usually a list of steps.
        plan: &'a Json,
        /// Whether it is a subagent's.
        is_subagent: bool,
    },
    /// A tool call begins.
    #[schemars(extend("examples" = [
        {"type": "tool_started", "tool": "calculator", "args": {"expression": "6*7"}, "is_subagent": false}
    ]))]
    ToolStarted {
        /// The tool's name.
        tool: &'a str,
        /// The arguments, usually an object.
        args: &'a Json,
        /// Whether a subagent calls it.
        is_subagent: bool,
    },
    /// A tool call has ended.
    #[schemars(extend("examples" = [{
        "type": "tool_call", "tool": "calculator", "args": {"expression": "6*7"}, "result": "42",
        "success": true, "is_subagent": false, "metadata": null
    }]))]
    ToolCall {
        /// The tool's name.
        tool: &'a str,
        /// The arguments, usually an object.
        args: &'a Json,
        /// The result, or what went wrong, as text.
        result: &'a str,
        /// Whether it succeeded.
        success: bool,
        /// Whether a subagent called it.
        is_subagent: bool,
        /// More about the call, or null.
        #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
        metadata: Option<&'a Json>,
    },
    /// The agent goes on under another profile.
    #[schemars(extend("examples" = [
        {"type": "profile_switched", "profile_id": "careful", "profile_name": "Careful"}
    ]))]
    ProfileSwitched {
        /// The profile, for programs.
        profile_id: &'a str,
        /// The profile, for people.
        profile_name: &'a str,
    },
    /// The agent has shortened its context.
    #[schemars(extend("examples" = [{
        "type": "context_compressed", "messages_before": 40, "messages_after": 6,
        "summary": "The user plans a journey."
    }]))]
    ContextCompressed {
        /// Messages in the context before.
        messages_before: u64,
        /// Messages in the context after.
        messages_after: u64,
        /// What stands for those that were taken out.
        summary: &'a str,
    },
    /// The run was stopped. Nothing of it follows.
    #[schemars(extend("examples" = [{"type": "stream_stopped"}]))]
    StreamStopped {},
    /// The agent finished. Nothing of the run follows.
    #[schemars(extend("examples" = [{
        "type": "stream_end", "content": "Hello world ", "context_tokens": 120, "max_context_tokens": 8192,
        "elapsed_seconds": 1.25, "tool_call_count": 0, "token_count": 2
    }]))]
    StreamEnd {
        /// The whole answer.
        content: &'a str,
        /// Tokens in the context, 0 when the agent does not say.
        context_tokens: u64,
        /// Tokens that the context can hold, 0 when the agent does not say.
        max_context_tokens: u64,
        /// Seconds since the run began.
        #[schemars(range(min = 0))]
        elapsed_seconds: f64,
        /// Tool calls in the run.
        tool_call_count: u64,
        /// Tokens of the answer, 0 when the agent does not say.
        token_count: u64,
    },
    /// Within a run: it failed, and nothing of it follows. Otherwise the answer to a frame that was refused;
    /// the connection stays usable.
    #[schemars(extend("examples" = [
        {"type": "error", "message": "Agent is already running for this session."}
    ]))]
    Error {
        /// What is wrong.
        message: &'a str,
    },
    /// Nothing else was sent for the heartbeat's interval. Never inside a replay.
    #[schemars(extend("examples" = [{"type": "heartbeat"}]))]
    Heartbeat {},
    /// No run is in progress: reload the history.
    #[schemars(extend("examples" = [{"type": "session_sync"}]))]
    SessionSync {},
    /// The events of the run in progress that came before this connection follow, exactly `count`.
    #[schemars(extend("examples" = [{"type": "replay_start", "count": 2}]))]
    ReplayStart {
        /// Frames until `replay_end`.
        count: u64,
    },
    /// The replay is complete; live events follow.
    #[schemars(extend("examples" = [{"type": "replay_end"}]))]
    ReplayEnd {},
}

impl ServerMessage<'_> {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        append(out, self);
    }
}

/// Appends `event` as a frame to `out`.
pub(super) fn encode(event: &RunEvent, out: &mut Vec<u8>) {
    // Deltas are nearly all there is; they get by without the derived code.
    match event {
        RunEvent::StreamDelta { delta } => encode_stream_delta(delta, out),
        RunEvent::ThinkingDelta { delta } => {
            encode_thinking_delta(delta, out);
        }
        RunEvent::Custom { name, fields } => encode_custom(name, fields, out),
        RunEvent::StreamStart { .. } => ServerMessage::StreamStart {}.encode(out),
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
        }
        .encode(out),
        RunEvent::Error(failure) => ServerMessage::Error {
            message: &failure.message,
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

/// Appends the frame of a `stream_delta` to `out`, without an event being made of the text.
pub fn encode_stream_delta(delta: &str, out: &mut Vec<u8>) {
    encode_delta(br#"{"type":"stream_delta","delta":"#, delta, out);
}

/// Likewise for a `thinking_delta`.
pub fn encode_thinking_delta(delta: &str, out: &mut Vec<u8>) {
    encode_delta(br#"{"type":"thinking_delta","delta":"#, delta, out);
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

fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Writing to a `Vec` does not fail, and no message has a map with keys other than strings.
    let written = serde_json::to_writer(out, value);
    debug_assert!(
        written.is_ok(),
        "a message that cannot be encoded: {written:?}"
    );
}
