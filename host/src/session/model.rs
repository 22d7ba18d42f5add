//! What is kept: sessions, turns, runs.
//!
//! Times are Unix milliseconds. Counts of tokens and calls above
//! `i64::MAX` are kept as `i64::MAX`.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ids::{Epoch, Owner, RunId, SessionId};
use super::record::TurnRecord;

/// A client's own notes about its session: any JSON object.
pub type Metadata = serde_json::Map<String, Value>;

/// The longest id of a profile, in bytes.
pub const MAX_PROFILE_BYTES: usize = 200;

/// A conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    pub id: SessionId,
    pub owner: Owner,
    /// The agent that answers; None for the configured default.
    pub agent: Option<String>,
    /// The profile under which that agent works; None for its own choice.
    pub profile: Option<String>,
    pub title: Option<String>,
    pub metadata: Metadata,
    pub created_at_ms: u64,
    /// The last change, begin or end of a run.
    pub updated_at_ms: u64,
}

/// A session to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSession {
    pub owner: Owner,
    pub agent: Option<String>,
    pub profile: Option<String>,
    pub title: Option<String>,
    pub metadata: Metadata,
}

impl NewSession {
    /// A session with nothing set.
    #[must_use]
    pub fn of(owner: Owner) -> Self {
        Self {
            owner,
            agent: None,
            profile: None,
            title: None,
            metadata: Metadata::new(),
        }
    }
}

/// A change of a session. None leaves as it is; `Some(None)` clears.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionPatch {
    pub agent: Option<Option<String>>,
    pub profile: Option<Option<String>>,
    pub title: Option<Option<String>>,
    /// Replaces all of it.
    pub metadata: Option<Metadata>,
}

/// How a run stands or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Running,
    /// The agent finished.
    Completed,
    /// It was stopped.
    Stopped,
    /// It failed.
    Error,
    /// The host went away in the middle; what had been saved is there.
    Lost,
}

impl RunStatus {
    /// As in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Error => "error",
            Self::Lost => "lost",
        }
    }
}

/// A text as the agent gave it, and as clients were sent it where a mapper
/// changed it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TwoForms {
    pub emitted: String,
    /// None: as emitted.
    pub sent: Option<String>,
}

impl TwoForms {
    /// What clients were sent.
    #[must_use]
    pub fn sent(&self) -> &str {
        self.sent.as_deref().unwrap_or(&self.emitted)
    }
}

impl From<String> for TwoForms {
    fn from(emitted: String) -> Self {
        Self {
            emitted,
            sent: None,
        }
    }
}

impl From<&str> for TwoForms {
    fn from(emitted: &str) -> Self {
        emitted.to_owned().into()
    }
}

/// The numbers of a run's end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    pub context_tokens: u64,
    pub max_context_tokens: u64,
    pub token_count: u64,
    pub tool_call_count: u64,
    /// Seconds from the run's begin to its end, by the host's clock.
    pub elapsed_seconds: f64,
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFailure<T = String> {
    /// The wire's error code, such as `max_iterations`.
    pub code: String,
    pub text: T,
}

/// A run as listed. Texts are as sent to clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub agent: String,
    pub status: RunStatus,
    /// The number of the assistant turn; the user's is one less.
    pub turn: u64,
    pub started_at_ms: u64,
    /// None while running, and when lost.
    pub ended_at_ms: Option<u64>,
    /// None while running, and when lost.
    pub outcome: Option<Outcome>,
    pub failure: Option<RunFailure>,
    /// Position of its first event.
    pub first_seq: u64,
    /// Position of its last event; while running, and when lost, of the last
    /// one that was saved.
    pub last_seq: u64,
}

/// One turn of a session's history.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// 1, 2, 3 … in the session: odd the user's, even the assistant's.
    pub number: u64,
    /// The run that the turn began, or that answered.
    pub run: RunId,
    pub created_at_ms: u64,
    pub body: TurnBody,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TurnBody {
    User(UserTurn),
    Assistant(AssistantTurn),
}

/// What a user said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserTurn {
    /// What the agent received: the text with the notes about images and files.
    pub content: String,
    /// The client's own text.
    pub user_text: String,
    pub images: Vec<ImageMeta>,
    pub files: Vec<FileRef>,
}

/// What an agent answered.
#[derive(Debug, Clone, PartialEq)]
pub struct AssistantTurn {
    pub agent: String,
    /// The answer. What was streamed, when the run was stopped, failed or lost.
    pub content: String,
    pub status: RunStatus,
    /// None when lost.
    pub outcome: Option<Outcome>,
    pub failure: Option<RunFailure>,
    /// The run's events, folded.
    pub records: Vec<TurnRecord>,
    /// Records were left out, for size.
    pub truncated: bool,
    /// The agent's own data for its next turn. Only in the emitted form.
    pub data: Option<Value>,
}

/// An image of a user's turn, without its bytes. Its place in the turn's list
/// is its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageMeta {
    pub media_type: String,
    /// Size of the image.
    pub bytes: u64,
}

/// An image with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageData {
    pub media_type: String,
    pub bytes: Bytes,
}

/// An uploaded file as a message names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileRef {
    pub name: String,
    /// Absolute, on the host's disk.
    pub path: String,
}

/// An uploaded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub file: FileRef,
    pub bytes: u64,
    pub created_at_ms: u64,
}

/// An agent's stored state under one key.
#[derive(Debug, Clone, PartialEq)]
pub struct StateValue {
    pub value: Value,
    /// 1, 2, 3 … with every write.
    pub version: u64,
}

/// How far a session's events are numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbering {
    /// The numbering's name.
    pub epoch: Epoch,
    /// The last position that is taken; 0 before the first event.
    pub last_seq: u64,
}

/// A run as it is kept, with what clients were sent of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    pub run: RunId,
    pub status: RunStatus,
    pub started_at_ms: u64,
    /// None while running, and when lost.
    pub ended_at_ms: Option<u64>,
    /// Position of its `stream_start`.
    pub first_seq: u64,
    /// Position of its last event; while running, of the last one that was saved.
    pub last_seq: u64,
    /// The answer; what was streamed, when the run did not complete.
    pub content: String,
    /// None while running, and when lost.
    pub outcome: Option<Outcome>,
    pub failure: Option<RunFailure>,
    /// The latest of its events, folded, in order. Neither `stream_start` nor
    /// the last frame is among them.
    pub records: Vec<TurnRecord>,
}
