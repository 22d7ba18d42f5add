//! What a client hands to its caller, and the frames that it is made of.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::fault::Fault;

/// What happened in the session, or to the connection.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Item {
    /// There is a connection again, and nothing was missed: the stream goes on where it was.
    Recovered(Greeting),
    /// There is a connection, and what came before it is not known: the caller forgets the run that it was watching, and
    /// what it wants to know of the past is in the history. So begins the first connection too, unless
    /// [`Options::resume`](super::Options::resume) said where.
    ///
    /// The events that follow are those of the greeting's run from its `stream_start`, or whatever happens next.
    Reload(Greeting),
    /// An event. Each begins one after the one before it, but after a [`Item::Reload`].
    Event(Event),
    /// A message was taken.
    Ack(Ack),
    /// A stop was answered.
    StopAck(StopAck),
    /// A message was refused; it will not be sent again.
    Refused(Refused),
    /// The connection is lost. The next [`Session::next`](super::Session::next) waits and connects again.
    Disconnected {
        /// Why.
        fault: Fault,
        /// How long it will wait.
        pause: Duration,
    },
}

/// Where a session stands when a connection to it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The name of the numbering.
    pub epoch: String,
    /// Position of the session's latest event.
    pub last_seq: u64,
    /// The run in progress.
    pub run: Option<RunningRun>,
    /// The limits in force.
    pub limits: Limits,
    /// Why the position could not be used, if there was one.
    pub reason: Option<String>,
    /// False when the run that follows has lost its middle: the event after its `stream_start` begins later.
    pub complete: bool,
    /// Position of the first event that follows.
    pub from_seq: u64,
}

/// The run in progress.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct RunningRun {
    /// Which.
    pub run_id: String,
    /// `starting`, `running` or `stopping`.
    pub state: String,
}

/// Those of the host's limits that a client keeps to.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one frame from the client.
    pub frame_bytes: usize,
    /// Milliseconds of silence after which the host sends a heartbeat.
    pub heartbeat_ms: u64,
}

/// An event of the session.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Position of the first of the events that are folded into this one; `seq` for a single one.
    pub seq_from: u64,
    /// Its position.
    pub seq: u64,
    /// The frame.
    pub value: Value,
}

impl Event {
    /// Its `type`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text("type").unwrap_or_default()
    }

    /// A field that is a text.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        self.value.get(field)?.as_str()
    }
}

/// The answer to a message that was taken.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Ack {
    /// The message.
    pub id: Option<String>,
    /// The run that it began, or will begin.
    pub run_id: String,
    /// `accepted`, `queued` or `duplicate`.
    pub status: String,
    /// With `duplicate`: how that run stands.
    pub state: Option<String>,
}

/// The answer to a stop.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct StopAck {
    /// Whether a run was asked to stop.
    pub ok: bool,
    /// Which, or which other one is in progress.
    pub run_id: Option<String>,
    /// Why none was.
    pub reason: Option<String>,
}

/// The answer to a message that was not taken.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Refused {
    /// The message, if it is known.
    pub id: Option<String>,
    /// Why, for programs.
    #[serde(default)]
    pub code: String,
    /// Why, for people.
    pub message: String,
    /// Whether the same may succeed later.
    #[serde(default)]
    pub retryable: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Hello {
    pub(super) epoch: String,
    pub(super) last_seq: u64,
    pub(super) run: Option<RunningRun>,
    pub(super) limits: Limits,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ReplayStart {
    pub(super) recovered: bool,
    pub(super) reason: Option<String>,
    pub(super) complete: Option<bool>,
    pub(super) from_seq: u64,
}

#[derive(Deserialize)]
struct Heartbeat {
    last_seq: u64,
}

/// A frame of the host.
#[derive(Debug)]
pub(super) enum Frame {
    Hello(Hello),
    ReplayStart(ReplayStart),
    ReplayEnd,
    Heartbeat(u64),
    Event(Event),
    Ack(Ack),
    StopAck(StopAck),
    Refused(Refused),
    /// Of a newer host.
    Unknown,
}

impl Frame {
    /// Reads a frame.
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        fn of<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, Fault> {
            serde_json::from_value(value).map_err(|error| Fault::Protocol(error.to_string()))
        }
        let value: Value =
            serde_json::from_str(text).map_err(|error| Fault::Protocol(error.to_string()))?;
        // Whatever its type, what has a position is an event.
        if let Some(seq) = value.get("seq").and_then(Value::as_u64) {
            let seq_from = value.get("seq_from").and_then(Value::as_u64);
            return Ok(Self::Event(Event {
                seq_from: seq_from.unwrap_or(seq),
                seq,
                value,
            }));
        }
        let kind = value.get("type").and_then(Value::as_str);
        Ok(match kind.unwrap_or_default() {
            "session_sync" => Self::Hello(of(value)?),
            "replay_start" => Self::ReplayStart(of(value)?),
            "replay_end" => Self::ReplayEnd,
            "heartbeat" => Self::Heartbeat(of::<Heartbeat>(value)?.last_seq),
            "message_ack" => Self::Ack(of(value)?),
            "stop_ack" => Self::StopAck(of(value)?),
            "error" => Self::Refused(of(value)?),
            _ => Self::Unknown,
        })
    }
}
