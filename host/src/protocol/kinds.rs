//! The names and keys that belong to the protocol itself and that no custom event may use.

/// The types that are sent to a client; first the events of a run.
pub const SERVER_TYPES: [&str; 20] = [
    "stream_start",
    "thinking_delta",
    "thinking_end",
    "turn_thinking",
    "stream_delta",
    "planning_status",
    "plan_ready",
    "tool_started",
    "tool_call",
    "profile_switched",
    "context_compressed",
    "stream_stopped",
    "stream_end",
    "error",
    "heartbeat",
    "session_sync",
    "replay_start",
    "replay_end",
    "message_ack",
    "stop_ack",
];

/// Those of them that are events of a run: they have a position, and are replayed.
pub const EVENT_TYPES: &[&str] = SERVER_TYPES.split_at(14).0;

/// The types that a client sends.
pub const CLIENT_TYPES: [&str; 2] = ["message", "stop"];

/// Keys that no custom event may have: they are the host's to set.
pub const RESERVED_KEYS: [&str; 4] = ["seq", "seq_from", "run_id", "epoch"];

/// Whether a custom event may not have this type.
#[must_use]
pub fn is_reserved_type(name: &str) -> bool {
    SERVER_TYPES.contains(&name) || CLIENT_TYPES.contains(&name)
}

/// Whether a custom event may not have this key in its outermost object. `type` is among them since the
/// type is given apart.
#[must_use]
pub fn is_reserved_key(key: &str) -> bool {
    key == "type" || RESERVED_KEYS.contains(&key)
}
