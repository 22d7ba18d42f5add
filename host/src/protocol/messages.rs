//! The messages that a client gets. Frames and published schema are both made from [`ServerMessage`], so they
//! cannot differ. What version 2 adds is optional, and left out for version 1.

use bytes::Bytes;
use schemars::{JsonSchema, Schema, json_schema};
use serde::Serialize;
use serde_json::{Value, json};

use super::answers::{AckStatus, StopAnswer};
use super::errors::ErrorCode;
use super::hello::{HelloLimits, Mode, Reason, RunInfo, RunState};
use super::json::Json;
use super::kinds;
use crate::session::RunId;

/// What a client gets.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schemars(
    title = "Server message",
    description = "What a client gets: one JSON object in one text frame, `type` its first key. A client ignores \
        fields and types that it does not know: optional fields may be added to any message. Fields and types that \
        are said to be of version 2 go to connections that asked for it, and are always there unless it is said \
        when not.",
    transform = add_position
)]
pub enum ServerMessage<'a> {
    /// A run begins. What follows, up to its last frame, belongs to it.
    #[schemars(extend("examples" = [
        {"type": "stream_start"},
        {"type": "stream_start", "run_id": "0199c3a2-5b7e-7cc0-8f35-6f1c1d2c9a10", "ts": 1_790_000_000_000_u64, "seq": 1}
    ]))]
    StreamStart {
        /// Version 2: the run.
        #[serde(skip_serializing_if = "Option::is_none")]
        run_id: Option<RunId>,
        /// Version 2: when it began, in Unix milliseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        ts: Option<u64>,
    },
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
        /// Version 2: the call's id, the same in `tool_started` and `tool_call`; left out when the agent gives none.
        #[serde(skip_serializing_if = "Option::is_none")]
        call_id: Option<&'a str>,
        /// Version 2: the subagent that calls; left out for the session's own agent.
        #[serde(skip_serializing_if = "Option::is_none")]
        agent: Option<&'a str>,
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
        /// Version 2: the call's id, the same in `tool_started` and `tool_call`; left out when the agent gives none.
        #[serde(skip_serializing_if = "Option::is_none")]
        call_id: Option<&'a str>,
        /// Version 2: the subagent that calls; left out for the session's own agent.
        #[serde(skip_serializing_if = "Option::is_none")]
        agent: Option<&'a str>,
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
    /// The run was stopped. Nothing of it follows, but for version 2's `stream_end`.
    #[schemars(extend("examples" = [{"type": "stream_stopped"}]))]
    StreamStopped {},
    /// The run is over; nothing of it follows. In version 1 the agent finished; in version 2 it comes as well after
    /// `stream_stopped` and after the `error` that ends a run, and says in `status` how the run ended.
    #[schemars(extend("examples" = [
        {
            "type": "stream_end", "content": "Hello world ", "context_tokens": 120, "max_context_tokens": 8192,
            "elapsed_seconds": 1.25, "tool_call_count": 0, "token_count": 2
        },
        {
            "type": "stream_end", "content": "", "context_tokens": 0, "max_context_tokens": 0,
            "elapsed_seconds": 4.5, "tool_call_count": 0, "token_count": 0, "status": "stopped", "seq": 7
        }
    ]))]
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
        /// Version 2: how the run ended. `lost`: the host went away in the middle of it.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(schema_with = "end_status")]
        status: Option<&'static str>,
    },
    /// Within a run: it failed, and nothing of it follows. Otherwise the answer to a frame that was refused;
    /// the connection stays usable.
    #[schemars(extend("examples" = [
        {"type": "error", "message": "Agent is already running for this session."},
        {
            "type": "error", "message": "Agent is already running for this session.", "code": "busy",
            "retryable": true, "id": "5e2f3a52-0c1b-4b60-9d43-1d7a3e1f7a11"
        },
        {
            "type": "error", "message": "Run exceeded 3600 seconds.", "code": "run_timeout", "retryable": true,
            "run_id": "0199c3a2-5b7e-7cc0-8f35-6f1c1d2c9a10", "seq": 12
        }
    ]))]
    Error {
        /// What is wrong.
        message: &'a str,
        /// Version 2: the same for programs.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<ErrorCode>,
        /// Version 2: whether the same may succeed later.
        #[serde(skip_serializing_if = "Option::is_none")]
        retryable: Option<bool>,
        /// Version 2: the run that failed, or that the answer is about, if there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        run_id: Option<RunId>,
        /// Version 2: the id of the message that is answered, as the client sent it, if it had one.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
    },
    /// Nothing else was sent for the heartbeat's interval. Never inside a replay.
    #[schemars(extend("examples" = [{"type": "heartbeat"}, {"type": "heartbeat", "last_seq": 42}]))]
    Heartbeat {
        /// Version 2: the position of the last event that the client was sent. One that has not got it has lost something.
        #[serde(skip_serializing_if = "Option::is_none")]
        last_seq: Option<u64>,
    },
    /// Version 1: no run is in progress, reload the history. Version 2: the first message of a connection, and only
    /// that; reload the history unless the `replay_start` that follows says `recovered`.
    #[schemars(extend("examples" = [
        {"type": "session_sync"},
        {
            "type": "session_sync", "epoch": "6f1c1d2c9a104b609d431d7a3e1f7a11", "first_seq": 1, "last_seq": 42,
            "run": {"run_id": "0199c3a2-5b7e-7cc0-8f35-6f1c1d2c9a10", "state": "running"}, "protocol": 2,
            "limits": {
                "frame_bytes": 33_554_432, "images": 10, "image_bytes": 5_242_880, "images_total_bytes": 20_971_520,
                "queue": 16, "heartbeat_ms": 20_000
            }
        }
    ]))]
    SessionSync {
        /// Version 2: the name of the numbering that `seq` counts in. It changes when the host cannot go on with an
        /// old one.
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<&'a str>,
        /// Version 2: the oldest position from which on every event can be replayed; one more than `last_seq`
        /// when none can.
        #[serde(skip_serializing_if = "Option::is_none")]
        first_seq: Option<u64>,
        /// Version 2: the position of the session's latest event, 0 before the first.
        #[serde(skip_serializing_if = "Option::is_none")]
        last_seq: Option<u64>,
        /// Version 2: the run in progress, or null.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<RunInfo>")]
        run: Option<Option<RunInfo>>,
        /// Version 2: always 2.
        #[serde(skip_serializing_if = "Option::is_none")]
        protocol: Option<u32>,
        /// Version 2: the limits in force.
        #[serde(skip_serializing_if = "Option::is_none")]
        limits: Option<HelloLimits>,
    },
    /// Events follow that came before this connection, exactly `count`; then `replay_end`. In version 2 this always
    /// follows `session_sync`.
    #[schemars(extend("examples" = [
        {"type": "replay_start", "count": 2},
        {"type": "replay_start", "count": 3, "mode": "suffix", "recovered": true, "from_seq": 40, "to_seq": 42},
        {
            "type": "replay_start", "count": 9, "mode": "full", "recovered": false, "reason": "epoch_changed",
            "complete": true, "from_seq": 1, "to_seq": 42
        },
        {"type": "replay_start", "count": 0, "mode": "none", "recovered": false, "from_seq": 43, "to_seq": 42}
    ]))]
    ReplayStart {
        /// Frames until `replay_end`.
        count: u64,
        /// Version 2: which events follow. `suffix`: all after the cursor that the client sent. `full`: a whole run, from
        /// its `stream_start`, and what came after it. `none`: none.
        #[serde(skip_serializing_if = "Option::is_none")]
        mode: Option<Mode>,
        /// Version 2: whether the client has missed nothing, together with what follows. False too when it sent no
        /// cursor.
        #[serde(skip_serializing_if = "Option::is_none")]
        recovered: Option<bool>,
        /// Version 2: why the cursor could not be used; left out when there was none, or it could.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
        /// Version 2, of `full`: false when the middle of the run is gone.
        #[serde(skip_serializing_if = "Option::is_none")]
        complete: Option<bool>,
        /// Version 2: position of the first event that follows; one more than `to_seq` when none does.
        #[serde(skip_serializing_if = "Option::is_none")]
        from_seq: Option<u64>,
        /// Version 2: position of the last event that follows.
        #[serde(skip_serializing_if = "Option::is_none")]
        to_seq: Option<u64>,
    },
    /// The replay is complete; live events follow.
    #[schemars(extend("examples" = [{"type": "replay_end"}]))]
    ReplayEnd {},
    /// Version 2: the answer to a message that was taken.
    #[schemars(extend("examples" = [
        {
            "type": "message_ack", "id": "5e2f3a52-0c1b-4b60-9d43-1d7a3e1f7a11",
            "run_id": "0199c3a2-5b7e-7cc0-8f35-6f1c1d2c9a10", "status": "accepted"
        },
        {
            "type": "message_ack", "id": "5e2f3a52-0c1b-4b60-9d43-1d7a3e1f7a11",
            "run_id": "0199c3a2-5b7e-7cc0-8f35-6f1c1d2c9a10", "status": "duplicate", "state": "completed"
        }
    ]))]
    MessageAck {
        /// The message's id, as the client sent it; left out when it had none.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        /// The run that the message began, or will begin.
        run_id: RunId,
        /// What became of it.
        status: AckStatus,
        /// With `duplicate`: how the run stands that the message began before.
        #[serde(skip_serializing_if = "Option::is_none")]
        state: Option<RunState>,
    },
    /// Version 2: the answer to a `stop`.
    #[schemars(extend("examples" = [
        {"type": "stop_ack", "ok": true, "run_id": "0199c3a2-5b7e-7cc0-8f35-6f1c1d2c9a10"},
        {"type": "stop_ack", "ok": false, "reason": "no active run"}
    ]))]
    StopAck(StopAnswer),
}

impl ServerMessage<'_> {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        append(out, self);
    }

    /// The frame.
    #[must_use]
    pub fn frame(&self) -> Bytes {
        let mut out = Vec::with_capacity(128);
        self.encode(&mut out);
        out.into()
    }
}

fn end_status(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["completed", "stopped", "error", "lost"]})
}

/// Adds the position to the types that are events of a run. The encoder writes it behind the others' fields.
fn add_position(schema: &mut Schema) {
    let Some(alternatives) = schema.get_mut("oneOf").and_then(Value::as_array_mut) else {
        return;
    };
    for alternative in alternatives {
        let kind = alternative
            .pointer("/properties/type/const")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !kinds::EVENT_TYPES.contains(&kind) {
            continue;
        }
        if let Some(Value::Object(properties)) = alternative.get_mut("properties") {
            properties.insert("seq".into(), seq_schema());
            properties.insert("seq_from".into(), seq_from_schema());
        }
    }
}

pub(super) fn seq_schema() -> Value {
    json!({
        "description": "Version 2: the event's position in the session, or the last one's of those that are folded into \
            this frame. An `error` that answers a frame has none.",
        "type": "integer",
        "minimum": 1
    })
}

pub(super) fn seq_from_schema() -> Value {
    json!({
        "description": "Version 2: the position of the first of several events that are folded into this frame; left \
            out for a single one.",
        "type": "integer",
        "minimum": 1
    })
}

/// Appends a value as JSON.
pub(super) fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Writing to a `Vec` does not fail, and no message has a map with keys other than strings.
    let written = serde_json::to_writer(out, value);
    debug_assert!(
        written.is_ok(),
        "a message that cannot be encoded: {written:?}"
    );
}
