//! The frames of version 1 around a run's events: they belong to a connection, not to a run, and are never replayed.

use std::borrow::Cow;

use bytes::Bytes;

use super::messages::ServerMessage;

/// The frame of a heartbeat.
pub const HEARTBEAT: &str = r#"{"type":"heartbeat"}"#;

/// The frame that tells a client to reload the history.
pub const SESSION_SYNC: &str = r#"{"type":"session_sync"}"#;

/// The frame that ends a replay.
pub const REPLAY_END: &str = r#"{"type":"replay_end"}"#;

/// A frame of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlFrame {
    /// Nothing was sent for the interval.
    Heartbeat,
    /// No run is in progress; the client reloads the history.
    SessionSync,
    /// Exactly `count` events follow, then [`ControlFrame::ReplayEnd`].
    ReplayStart {
        /// How many.
        count: u64,
    },
    /// The replay is complete.
    ReplayEnd,
    /// The answer to a frame that was refused. The texts are in [`errors`](super::errors).
    Error {
        /// What is wrong.
        message: String,
    },
}

impl ControlFrame {
    /// The frame as version 1 has it, ready to be sent. Constant frames are not copied.
    #[must_use]
    pub fn frame_v1(&self) -> Bytes {
        match self.encode_v1() {
            Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        }
    }

    /// The frame as version 1 has it. Constant frames are not copied.
    #[must_use]
    pub fn encode_v1(&self) -> Cow<'static, str> {
        match self {
            Self::Heartbeat => Cow::Borrowed(HEARTBEAT),
            Self::SessionSync => Cow::Borrowed(SESSION_SYNC),
            Self::ReplayEnd => Cow::Borrowed(REPLAY_END),
            Self::ReplayStart { count } => Cow::Owned(text(&ServerMessage::ReplayStart {
                count: *count,
                mode: None,
                recovered: None,
                reason: None,
                complete: None,
                from_seq: None,
                to_seq: None,
            })),
            Self::Error { message } => Cow::Owned(text(&ServerMessage::Error {
                message,
                code: None,
                retryable: None,
                run_id: None,
                id: None,
            })),
        }
    }
}

fn text(message: &ServerMessage<'_>) -> String {
    // A control frame holds a number or a string: it always has a text.
    serde_json::to_string(message).unwrap_or_default()
}
