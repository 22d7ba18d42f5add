//! The interface to whatever keeps sessions.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::ids::{Epoch, MessageId, Owner, RunId, SessionId};
use super::memory::{MemoryEntry, MemoryPut};
use super::message::{KnownMessage, MessageKey, NewQueued, SessionQueue};
use super::model::{
    FileRef, ImageData, NewSession, Numbering, Outcome, Run, RunFailure, RunStatus, Session,
    SessionPatch, StateValue, StoredRun, TwoForms, Upload,
};
use super::page::{Page, PageRequest, TurnPage, TurnPageRequest};
use super::record::{NumberedRecords, RunRecords};

/// Keeps sessions, turns and runs.
///
/// Where an [`Owner`] is asked for, a session of another owner does not exist.
/// Operations without one are for a session that was looked up before.
///
/// When a call has returned `Ok`, what it wrote survives the end of the process
/// and of the machine.
///
/// # Cancel safety
/// No future here leaves anything half written. One that is dropped, or ends in
/// [`StoreError::Timeout`], may still take effect.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Makes a session, with a numbering of its own in which nothing is counted yet.
    async fn create(&self, new: NewSession) -> Result<Session, StoreError>;

    /// One session.
    async fn get(&self, owner: &Owner, id: SessionId) -> Result<Session, StoreError>;

    /// The owner's sessions, newest first. A session that exists all the while
    /// is on exactly one page, whatever else comes and goes.
    async fn list(&self, owner: &Owner, page: PageRequest) -> Result<Page<Session>, StoreError>;

    /// Changes a session and returns it as it is then.
    async fn update(
        &self,
        owner: &Owner,
        id: SessionId,
        patch: SessionPatch,
    ) -> Result<Session, StoreError>;

    /// Deletes a session with everything in it, its upload folder included. It
    /// is gone for everybody at once, its runs take no more records; the call
    /// returns when all rows are gone. One that was interrupted is completed by
    /// the next start.
    async fn delete(&self, owner: &Owner, id: SessionId) -> Result<(), StoreError>;

    /// Saves the user's turn, the message's id and the run as running, in one
    /// transaction. A message that waited to become this run leaves the queue.
    ///
    /// A run of the session that still counts as running becomes lost: this
    /// process could not save its end. The numbering is left as it is, since it
    /// goes on in this process's memory.
    ///
    /// # Errors
    /// `KnownMessage` when the message's id is known from another run; nothing
    /// is saved then.
    ///
    /// A second call for the same run does nothing and answers the same, so one
    /// that ended in [`StoreError::Timeout`] can be repeated. So can those of
    /// [`enqueue`](Self::enqueue) and [`finish_run`](Self::finish_run).
    async fn begin_run(&self, run: BeginRun) -> Result<BegunRun, StoreError>;

    /// What is known at `now_ms` of a message that was begun or queued in the
    /// session before. None when it is unknown, or was accepted more than
    /// [`MESSAGE_ID_KEPT_MS`](super::message::MESSAGE_ID_KEPT_MS) ago.
    async fn message(
        &self,
        id: SessionId,
        owner: &Owner,
        message: MessageId,
        now_ms: u64,
    ) -> Result<Option<KnownMessage>, StoreError>;

    /// Queues a message, and saves its id, in one transaction.
    ///
    /// # Errors
    /// `KnownMessage` when its id is known, `QueueFull` when there is no room;
    /// nothing is saved then.
    async fn enqueue(&self, message: NewQueued) -> Result<(), StoreError>;

    /// The message that waits to become this run; None when none does.
    async fn queued(&self, run: RunId) -> Result<Option<NewUserTurn>, StoreError>;

    /// All sessions in which messages wait. For the start of the host.
    async fn queues(&self) -> Result<Vec<SessionQueue>, StoreError>;

    /// Appends records to any number of runs in one transaction. Returns the
    /// runs that took none because they are no longer running, or never were.
    /// Records with numbers that are saved already are passed over: a call that
    /// failed or timed out may be repeated, even if it takes effect later.
    async fn append_records(&self, runs: Vec<RunRecords>) -> Result<Vec<RunId>, StoreError>;

    /// Saves a run's end: the assistant's turn, the last records, the agent's
    /// state, in one transaction.
    ///
    /// # Errors
    /// `NotFound` when the session was deleted, `Conflict` when the run is no
    /// longer running or a state's version is not the expected one; nothing is
    /// saved then.
    async fn finish_run(&self, run: FinishRun) -> Result<(), StoreError>;

    /// A page of history with records, as clients were sent it.
    async fn history(
        &self,
        owner: &Owner,
        id: SessionId,
        page: TurnPageRequest,
    ) -> Result<TurnPage, StoreError>;

    /// A page of history as the agents emitted it, with their data.
    async fn agent_history(
        &self,
        id: SessionId,
        page: TurnPageRequest,
    ) -> Result<TurnPage, StoreError>;

    /// An image of a user's turn, by its index in the turn's list.
    async fn image(&self, run: RunId, index: u32) -> Result<ImageData, StoreError>;

    /// The session's runs, newest first.
    async fn runs(
        &self,
        owner: &Owner,
        id: SessionId,
        page: PageRequest,
    ) -> Result<Page<Run>, StoreError>;

    /// The data of this agent's latest run in the session that left any.
    async fn previous_data(&self, id: SessionId, agent: &str) -> Result<Option<Value>, StoreError>;

    /// What this agent keeps in the session under a key. Written by
    /// [`finish_run`](Self::finish_run).
    async fn state_get(
        &self,
        id: SessionId,
        agent: &str,
        key: &str,
    ) -> Result<Option<StateValue>, StoreError>;

    /// Remembers something for an owner. Whether it is a new entry, and not
    /// another text for one that was there.
    ///
    /// # Errors
    /// `MemoryFull` when the owner has as many as there may be.
    async fn memory_put(&self, put: MemoryPut) -> Result<bool, StoreError>;

    /// What is remembered for an owner under this key.
    async fn memory_get(&self, owner: &Owner, key: &str)
    -> Result<Option<MemoryEntry>, StoreError>;

    /// At most `limit` entries of an owner that have any of the query's words
    /// in their key or text, the best first. A query without words finds all,
    /// the latest first.
    async fn memory_search(
        &self,
        owner: &Owner,
        query: &str,
        limit: u32,
    ) -> Result<Vec<MemoryEntry>, StoreError>;

    /// Forgets an entry. Whether there was one.
    async fn memory_delete(&self, owner: &Owner, key: &str) -> Result<bool, StoreError>;

    /// Where the session's count of events goes on. To be asked only when no
    /// run of the session is in progress.
    ///
    /// A run that counts as running all the same becomes lost, and begins a new
    /// numbering, since clients may have seen more of it than was saved: its
    /// `stream_start` is position 1, what was saved follows in the same order
    /// and width, and one position after that is the end that is sent for it.
    async fn numbering(&self, id: SessionId) -> Result<Numbering, StoreError>;

    /// The session's latest run, with the latest of its records that together
    /// have at most `bytes` of JSON. None when there was no run.
    async fn latest_run(
        &self,
        id: SessionId,
        bytes: usize,
    ) -> Result<Option<StoredRun>, StoreError>;

    /// Records an upload. The file lies in the session's folder already.
    async fn add_upload(
        &self,
        owner: &Owner,
        id: SessionId,
        file: FileRef,
        bytes: u64,
    ) -> Result<Upload, StoreError>;

    /// The session's uploads, oldest first.
    async fn uploads(&self, owner: &Owner, id: SessionId) -> Result<Vec<Upload>, StoreError>;

    /// Marks the runs as lost that an earlier process left running, each with
    /// an assistant turn of what had been saved and as the beginning of a new
    /// [`numbering`](Self::numbering), and returns them. Runs begun by this
    /// process are left alone. To be called once, at the start.
    async fn recover(&self) -> Result<Vec<LostRun>, StoreError>;

    /// Is the store able to answer? For readiness.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Writes what is waiting and closes. Later calls give
    /// [`StoreError::Closed`]; a second close does nothing.
    async fn close(&self) -> Result<(), StoreError>;
}

/// A run's begin.
#[derive(Debug, Clone, PartialEq)]
pub struct BeginRun {
    pub session: SessionId,
    pub run: RunId,
    /// The agent's configured name.
    pub agent: String,
    pub started_at_ms: u64,
    /// The numbering that the run's events are counted in.
    pub epoch: Epoch,
    /// The position its first event will have.
    pub first_seq: u64,
    pub turn: NewUserTurn,
    /// The id that its client gave the message. The time it is kept for counts
    /// from `started_at_ms`, or from when it was queued.
    pub message: Option<MessageKey>,
}

/// A user's turn to be saved.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewUserTurn {
    /// What the agent receives: the text with the notes.
    pub content: String,
    /// The client's own text.
    pub user_text: String,
    pub images: Vec<ImageData>,
    pub files: Vec<FileRef>,
}

impl NewUserTurn {
    /// Bytes of the text and the images.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let images = self.images.iter().map(|image| image.bytes.len());
        self.content.len() + images.sum::<usize>()
    }
}

/// What a begun run was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BegunRun {
    /// The number of the user's turn. The run's history is what lies before it.
    pub user_turn: u64,
    /// The number its answer will have.
    pub assistant_turn: u64,
}

/// A run's end.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishRun {
    pub run: RunId,
    /// Anything but `Running`.
    pub status: RunStatus,
    pub ended_at_ms: u64,
    /// The answer. None: it is what was streamed, which is put together from the records.
    pub content: Option<TwoForms>,
    pub outcome: Outcome,
    /// With the status `Error`: why.
    pub failure: Option<RunFailure<TwoForms>>,
    /// The agent's data for its next turn; None keeps the older one in force.
    pub data: Option<Value>,
    /// Records were left out, for size.
    pub truncated: bool,
    /// Records not appended yet.
    pub records: NumberedRecords,
    pub state: Vec<StatePut>,
    /// The profile that the agent has gone over to. None: it stays as it is.
    pub profile: Option<ProfileSwitch>,
    /// The largest position any client can see until the next run begins: that
    /// of the last frame, though it is sent only after this is saved.
    pub last_seq: u64,
}

/// Another profile of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileSwitch {
    /// The one that the run began with. When it is another by now, its client
    /// has chosen meanwhile, and that choice stays.
    pub from: Option<String>,
    pub to: String,
}

/// One write of an agent's state.
#[derive(Debug, Clone, PartialEq)]
pub struct StatePut {
    pub agent: String,
    pub key: String,
    pub value: Value,
    /// The version that the run found, 0 if there was none. None: whatever is
    /// there is replaced, and counted on from.
    pub expected: Option<u64>,
    /// The version that it has been told; larger than the one it found.
    pub version: u64,
}

/// A run that was found unfinished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRun {
    pub session: SessionId,
    pub run: RunId,
    pub agent: String,
    pub started_at_ms: u64,
}

/// What was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entity {
    Session,
    Run,
    Image,
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "session",
            Self::Run => "run",
            Self::Image => "image",
        })
    }
}

/// Why a store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("{0} not found")]
    NotFound(Entity),
    /// What is stored is not what the caller expected.
    #[error("{0}")]
    Conflict(String),
    /// A message with this id was accepted before.
    #[error("the message's id is that of run {} already", .0.run)]
    KnownMessage(KnownMessage),
    #[error("too many messages wait in the session")]
    QueueFull,
    #[error("no more can be remembered for this owner")]
    MemoryFull,
    #[error("the disk or the quota is full")]
    Full,
    #[error("the data folder can only be read")]
    ReadOnly,
    #[error("the store did not answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("the store is closed")]
    Closed,
    /// Anything else; the source says what.
    #[error("the store failed to {doing}")]
    Storage {
        doing: &'static str,
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
}
