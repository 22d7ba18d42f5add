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

/// Closed records of a run, in their order. A run's records are numbered 0, 1, 2 …; what has a number that is
/// saved already is not saved again, so that whoever does not know whether a call took effect may repeat it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NumberedRecords {
    /// The number of the first of `records`.
    pub first: u64,
    pub records: Vec<StoredRecord>,
}

impl NumberedRecords {
    /// Bytes of the JSON.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.forms.len()).sum()
    }
}

/// Closed records and the run that they are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecords {
    pub run: RunId,
    pub records: NumberedRecords,
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
