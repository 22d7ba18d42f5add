//! Sessions and what was said in them, behind [`SessionStore`].
//!
//! In reading order: [`ids`] (who is who), [`model`] (what is kept), [`message`] (ids of
//! messages, and those that wait), [`memory`] (what is remembered for an owner), [`record`]
//! (the folded events of a run), [`page`] (reading in pages), [`store`] (the
//! trait and its errors), [`uploads`] (where uploaded files lie), [`sqlite`] (the
//! store that is used).
//!
//! A **run** is one answer of an agent. It takes two **turns** of its session:
//! the user's, saved when the run begins, and the assistant's, saved when it
//! ends. While it runs, its closed records are appended in batches, so that a
//! host that was killed still has what was streamed.

pub mod ids;
pub mod memory;
pub mod message;
pub mod model;
pub mod page;
pub mod record;
pub mod sqlite;
pub mod store;
pub mod uploads;

pub use ids::{Epoch, MessageId, Owner, RunId, SessionId};
pub use memory::{MemoryEntry, MemoryPut};
pub use message::{
    KnownMessage, MESSAGE_ID_KEPT_MS, MessageKey, MessageState, NewQueued, SessionQueue,
};
pub use model::{
    AssistantTurn, FileRef, ImageData, ImageMeta, Metadata, NewSession, Numbering, Outcome, Run,
    RunFailure, RunStatus, Session, SessionPatch, StateValue, StoredRun, Turn, TurnBody, TwoForms,
    Upload, UserTurn,
};
pub use page::{Cursor, InvalidCursor, Page, PageRequest, TurnPage, TurnPageRequest};
pub use record::{Forms, NumberedRecords, RunRecords, StoredRecord, TurnRecord};
pub use sqlite::{OpenError, SqliteOptions, SqliteStore};
pub use store::{
    BeginRun, BegunRun, Entity, FinishRun, LostRun, NewUserTurn, ProfileSwitch, SessionStore,
    StatePut, StoreError,
};
pub use uploads::UploadFolders;
