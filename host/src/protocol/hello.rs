//! How version 2 greets a client: where the session stands, and what of it the client gets again.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::{Epoch, RunId, RunStatus};

/// The limits that a client should know, those in force when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct HelloLimits {
    /// Bytes of one frame from the client.
    pub frame_bytes: usize,
    /// Images in one message.
    pub images: usize,
    /// Decoded bytes of one image.
    pub image_bytes: usize,
    /// Decoded bytes of a message's images together.
    pub images_total_bytes: usize,
    /// Messages that may wait in the session's queue.
    pub queue: usize,
    /// Milliseconds of silence after which the host sends a heartbeat.
    pub heartbeat_ms: u64,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum RunState {
    /// Its message waits in the queue.
    Queued,
    /// Its message is being saved; it has no event yet.
    Starting,
    /// In progress.
    Running,
    /// In progress, and asked to stop.
    Stopping,
    /// The agent finished.
    Completed,
    /// It was stopped.
    Stopped,
    /// It failed.
    Error,
    /// The host went away in the middle of it.
    Lost,
}

impl From<RunStatus> for RunState {
    fn from(status: RunStatus) -> Self {
        match status {
            RunStatus::Running => Self::Running,
            RunStatus::Completed => Self::Completed,
            RunStatus::Stopped => Self::Stopped,
            RunStatus::Error => Self::Error,
            RunStatus::Lost => Self::Lost,
        }
    }
}

/// The run in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunInfo {
    /// Which.
    pub run_id: RunId,
    /// How it stands.
    pub state: RunState,
}

/// Which events a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Mode {
    /// All after the client's cursor.
    Suffix,
    /// A run from its `stream_start`, and what came after it.
    Full,
    /// None.
    None,
}

/// Why a cursor cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Reason {
    /// The next event is no longer kept.
    Trimmed,
    /// It counts in a numbering that is over, or is none.
    EpochChanged,
    /// It is ahead of the session's latest event.
    CursorAhead,
}

/// Where a client says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nowhere: it has nothing yet.
    Nothing,
    /// It has every event of this numbering up to this position.
    After(Epoch, u64),
    /// It says something that no host has told it.
    Malformed,
}

impl Asked {
    /// Reads the query parameters `epoch` and `after`.
    #[must_use]
    pub fn of(epoch: Option<&str>, after: Option<&str>) -> Self {
        match (epoch, after) {
            (None, None) => Self::Nothing,
            (Some(epoch), Some(after)) => after
                .parse()
                .ok()
                .filter(|_| after.bytes().all(|byte| byte.is_ascii_digit()))
                .map_or(Self::Malformed, |after| {
                    Self::After(Epoch::new(epoch), after)
                }),
            _ => Self::Malformed,
        }
    }

    /// Reads the header `Last-Event-ID`, `EPOCH:SEQ`.
    #[must_use]
    pub fn of_event_id(id: Option<&str>) -> Self {
        match id {
            None => Self::Nothing,
            Some(id) => {
                let (epoch, after) = id.split_once(':').unwrap_or((id, ""));
                Self::of(Some(epoch), Some(after))
            }
        }
    }
}

/// What a session has of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The numbering.
    pub epoch: Epoch,
    /// From here on every event is there; one more than `last_seq` when none is.
    pub first_seq: u64,
    /// Position of the latest event, 0 before the first.
    pub last_seq: u64,
    /// Position of the `stream_start` of the run in progress.
    pub running_from: Option<u64>,
    /// Position of the `stream_start` of the latest run whose `stream_start` is there.
    pub latest_from: Option<u64>,
}

/// What a client gets of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which events.
    pub mode: Mode,
    /// Position of the first of them; one more than the last one for none.
    pub from_seq: u64,
    /// Whether the client, with these, has missed nothing.
    pub recovered: bool,
    /// Why its cursor cannot be used.
    pub reason: Option<Reason>,
}

impl Kept {
    /// Decides what a client gets that `asked`.
    #[must_use]
    pub fn verdict(&self, asked: &Asked) -> Verdict {
        let reason = match asked {
            Asked::Nothing => return self.run(self.running_from, None),
            Asked::Malformed => Reason::EpochChanged,
            Asked::After(epoch, _) if *epoch != self.epoch => Reason::EpochChanged,
            Asked::After(_, after) if *after > self.last_seq => Reason::CursorAhead,
            Asked::After(_, after) if after + 1 < self.first_seq => Reason::Trimmed,
            Asked::After(_, after) => {
                return Verdict {
                    mode: Mode::Suffix,
                    from_seq: after + 1,
                    recovered: true,
                    reason: None,
                };
            }
        };
        self.run(self.latest_from, Some(reason))
    }

    fn run(&self, from: Option<u64>, reason: Option<Reason>) -> Verdict {
        Verdict {
            mode: if from.is_some() {
                Mode::Full
            } else {
                Mode::None
            },
            from_seq: from.unwrap_or(self.last_seq + 1),
            recovered: false,
            reason,
        }
    }
}
