//! The events of a run as they are kept: folded, in up to two forms.

use super::ids::RunId;

/// The JSON of an event (`{"type":…}`), as the agent emitted it and as clients
/// were sent it. They differ only where an event mapper stepped in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forms {
    /// Sent as emitted.
    Same(String),
    /// A mapper changed it.
    Mapped { emitted: String, sent: String },
    /// A mapper added it; the agent did not emit it.
    Inserted(String),
    /// A mapper dropped it; no client saw it.
    Dropped(String),
}

impl Forms {
    /// What clients were sent.
    #[must_use]
    pub fn sent(&self) -> Option<&str> {
        match self {
            Self::Same(json) | Self::Inserted(json) => Some(json),
            Self::Mapped { sent, .. } => Some(sent),
            Self::Dropped(_) => None,
        }
    }

    /// What the agent emitted.
    #[must_use]
    pub fn emitted(&self) -> Option<&str> {
        match self {
            Self::Same(json) | Self::Dropped(json) => Some(json),
            Self::Mapped { emitted, .. } => Some(emitted),
            Self::Inserted(_) => None,
        }
    }

    /// Bytes of both forms.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sent().map_or(0, str::len)
            + match self {
                Self::Mapped { emitted, .. } | Self::Dropped(emitted) => emitted.len(),
                Self::Same(_) | Self::Inserted(_) => 0,
            }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One closed record of a run's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Position of the first event folded into this record. For a dropped
    /// event, which has no position of its own, both are the last one before it.
    pub seq_from: u64,
    /// Position of the last event folded into this record.
    pub seq: u64,
    /// The wire type, such as `stream_delta`. Records of that kind hold the
    /// answer's text in the key `delta`.
    pub kind: String,
    pub forms: Forms,
    /// Where the folded deltas of the sent form end; None for a single event.
    /// The store keeps the numbers without reading a meaning into them.
    pub bounds: Option<Vec<u32>>,
}

/// Closed records of one run, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecords {
    pub run: RunId,
    pub records: Vec<StoredRecord>,
}

/// One record of a turn as read back, in the form that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnRecord {
    pub seq_from: u64,
    pub seq: u64,
    pub kind: String,
    /// The event's JSON object.
    pub json: String,
    /// As in [`StoredRecord::bounds`]; None in the emitted form.
    pub bounds: Option<Vec<u32>>,
}
