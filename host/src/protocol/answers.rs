//! What version 2 answers a client's frames with.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::RunId;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum AckStatus {
    /// Its run begins.
    Accepted,
    /// Its run begins after those before it.
    Queued,
    /// It was taken before, under the same id; nothing was done.
    Duplicate,
}

/// What a stop came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct StopAnswer {
    /// Whether a run was asked to stop.
    pub ok: bool,
    /// The run that was, or with `other run` the one in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// Why none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<StopRefusal>,
}

impl StopAnswer {
    /// Nothing was done.
    #[must_use]
    pub const fn refused(reason: StopRefusal, run_id: Option<RunId>) -> Self {
        Self {
            ok: false,
            run_id,
            reason: Some(reason),
        }
    }
}

/// Why a stop did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum StopRefusal {
    /// No run is in progress in the session.
    #[serde(rename = "no active run")]
    NoActiveRun,
    /// Another run than the one that was named is in progress.
    #[serde(rename = "other run")]
    OtherRun,
}
