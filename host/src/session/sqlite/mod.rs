//! Sessions in one SQLite file, `roundhouse.db` in the data folder.
//!
//! One thread writes (`writer`), a few connections read (`readers`); SQLite's
//! write-ahead log keeps them out of each other's way. The other files hold the
//! queries, one topic each, as plain functions of a connection.

mod columns;
mod deletion;
mod fault;
mod files;
mod history;
mod lost;
mod migrations;
mod readers;
mod records;
mod runs;
mod sessions;
mod state;
mod uploads;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use rusqlite::Connection;
use serde_json::Value;
use tokio::task::spawn_blocking;

use self::fault::{Fault, storage};
pub use self::files::{DATABASE, OpenError};
use self::files::{FolderLock, open_reader, open_writer};
pub use self::migrations::MigrationError;
use self::readers::Readers;
use self::records::Form;
use self::writer::Writer;
use super::ids::{Owner, RunId, SessionId};
use super::model::{
    FileRef, ImageData, LogMark, NewSession, Run, Session, SessionPatch, StateValue, Upload,
};
use super::page::{Page, PageRequest, TurnPage, TurnPageRequest};
use super::record::{NumberedRecords, RunRecords};
use super::store::{BeginRun, BegunRun, FinishRun, LostRun, SessionStore, StoreError};
use super::uploads::UploadFolders;

/// Connections for reading.
const READERS: usize = 4;

/// How to open a store.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The data folder; made if it is missing.
    pub folder: PathBuf,
    /// How long a call may take, waiting in the queue included.
    pub limit: Duration,
}

impl SqliteOptions {
    /// A data folder, and 30 seconds for a call.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            limit: Duration::from_secs(30),
        }
    }
}

/// Sessions in an SQLite file. Keeps the data folder locked until it is closed
/// or dropped; dropping blocks until what is waiting is written.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    folders: UploadFolders,
    limit: Duration,
    /// Runs that an earlier process left running.
    unfinished: Mutex<Vec<LostRun>>,
}

impl SqliteStore {
    /// Locks the data folder and opens its database, made or migrated as needed.
    ///
    /// # Errors
    /// See [`OpenError`]; each names the folder or file.
    pub async fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        // A migration may take long and cannot be broken off half way.
        spawn_blocking(move || Self::open_blocking(options))
            .await
            .unwrap_or_else(|error| Err(OpenError::Thread(error.into())))
    }

    fn open_blocking(options: SqliteOptions) -> Result<Self, OpenError> {
        let SqliteOptions { folder, limit } = options;
        let lock = FolderLock::take(&folder)?;
        let conn = open_writer(&folder)?;
        let unfinished = lost::running(&conn).map_err(|fault| OpenError::Unreadable {
            path: folder.join(DATABASE),
            source: fault.explain("look for unfinished runs"),
        })?;
        let readers = (0..READERS)
            .map(|_| open_reader(&folder))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            writer: Writer::start(conn, lock, limit).map_err(OpenError::Thread)?,
            readers: Readers::new(readers, limit),
            folders: UploadFolders::in_data_folder(&folder),
            limit,
            unfinished: Mutex::new(unfinished),
        })
    }

    /// Where the uploads of this store's sessions lie.
    #[must_use]
    pub fn upload_folders(&self) -> &UploadFolders {
        &self.folders
    }

    /// Runs a query on a session, which the owner (None: the host) must have.
    async fn read_session<T: Send + 'static>(
        &self,
        doing: &'static str,
        owner: Option<&Owner>,
        id: SessionId,
        query: impl FnOnce(&Connection, i64) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let owner = owner.cloned();
        self.readers
            .call(doing, move |conn| {
                let session = sessions::key(conn, owner.as_ref(), id)?;
                query(conn, session)
            })
            .await
    }

    /// Removes what is left of a session that is hidden already.
    async fn delete_hidden(&self, session: i64, id: SessionId) -> Result<(), StoreError> {
        let doing = "delete a session";
        while self
            .writer
            .call(doing, 0, move |conn| deletion::step(conn, session))
            .await?
        {}
        let folders = self.folders.clone();
        let removed = spawn_blocking(move || folders.remove(id));
        tokio::time::timeout(self.limit, removed)
            .await
            .map_err(|_| StoreError::Timeout(self.limit))?
            .map_err(|panic| storage(doing, panic))?
            .map_err(|error| storage("delete a session's upload folder", error))?;
        // Last, so that a start after a crash finds what is still to be done.
        self.writer
            .call(doing, 0, move |conn| deletion::finish(conn, session))
            .await
    }
}

#[async_trait]
impl SessionStore for SqliteStore {
    async fn create(&self, new: NewSession) -> Result<Session, StoreError> {
        let (id, now) = (SessionId::new(), now_ms());
        self.writer
            .call("create a session", 0, move |conn| {
                sessions::insert(conn, id, &new, now)
            })
            .await
    }

    async fn get(&self, owner: &Owner, id: SessionId) -> Result<Session, StoreError> {
        let owner = owner.clone();
        self.readers
            .call("read a session", move |conn| {
                sessions::select(conn, &owner, id)
            })
            .await
    }

    async fn list(&self, owner: &Owner, page: PageRequest) -> Result<Page<Session>, StoreError> {
        let owner = owner.clone();
        self.readers
            .call("list sessions", move |conn| {
                sessions::list(conn, &owner, page)
            })
            .await
    }

    async fn update(
        &self,
        owner: &Owner,
        id: SessionId,
        patch: SessionPatch,
    ) -> Result<Session, StoreError> {
        let (owner, now) = (owner.clone(), now_ms());
        self.writer
            .call("change a session", 0, move |conn| {
                sessions::update(conn, &owner, id, &patch, now)
            })
            .await
    }

    async fn delete(&self, owner: &Owner, id: SessionId) -> Result<(), StoreError> {
        let owner = owner.clone();
        let session = self
            .writer
            .call("delete a session", 0, move |conn| {
                deletion::hide(conn, &owner, id)
            })
            .await?;
        self.delete_hidden(session, id).await
    }

    async fn begin_run(&self, begin: BeginRun) -> Result<BegunRun, StoreError> {
        let images = begin.turn.images.iter().map(|image| image.bytes.len());
        let bytes = begin.turn.content.len() + images.sum::<usize>();
        self.writer
            .call("save a run's begin", bytes, move |conn| {
                runs::begin(conn, &begin)
            })
            .await
    }

    async fn append_records(&self, runs: Vec<RunRecords>) -> Result<Vec<RunId>, StoreError> {
        let records = runs.iter().map(|run| &run.records);
        let bytes = records.map(NumberedRecords::bytes).sum();
        self.writer
            .call("save records", bytes, move |conn| {
                records::append(conn, &runs)
            })
            .await
    }

    async fn finish_run(&self, finish: FinishRun) -> Result<(), StoreError> {
        let bytes = finish
            .content
            .as_ref()
            .map_or(0, |content| content.emitted.len())
            + finish.records.bytes();
        self.writer
            .call("save a run's end", bytes, move |conn| {
                runs::finish(conn, &finish)
            })
            .await
    }

    async fn history(
        &self,
        owner: &Owner,
        id: SessionId,
        page: TurnPageRequest,
    ) -> Result<TurnPage, StoreError> {
        self.read_session("read history", Some(owner), id, move |conn, session| {
            history::page(conn, session, page, Form::Sent)
        })
        .await
    }

    async fn agent_history(
        &self,
        id: SessionId,
        page: TurnPageRequest,
    ) -> Result<TurnPage, StoreError> {
        self.read_session("read history", None, id, move |conn, session| {
            history::page(conn, session, page, Form::Emitted)
        })
        .await
    }

    async fn image(&self, run: RunId, index: u32) -> Result<ImageData, StoreError> {
        self.readers
            .call("read an image", move |conn| {
                history::image(conn, run, index)
            })
            .await
    }

    async fn runs(
        &self,
        owner: &Owner,
        id: SessionId,
        page: PageRequest,
    ) -> Result<Page<Run>, StoreError> {
        self.read_session("list runs", Some(owner), id, move |conn, session| {
            runs::list(conn, session, page)
        })
        .await
    }

    async fn previous_data(&self, id: SessionId, agent: &str) -> Result<Option<Value>, StoreError> {
        let agent = agent.to_owned();
        self.read_session("read an agent's data", None, id, move |conn, session| {
            history::previous_data(conn, session, &agent)
        })
        .await
    }

    async fn state_get(
        &self,
        id: SessionId,
        agent: &str,
        key: &str,
    ) -> Result<Option<StateValue>, StoreError> {
        let (agent, key) = (agent.to_owned(), key.to_owned());
        self.read_session("read an agent's state", None, id, move |conn, session| {
            state::get(conn, session, &agent, &key)
        })
        .await
    }

    async fn log_mark(&self, id: SessionId) -> Result<LogMark, StoreError> {
        self.read_session("read a session's mark", None, id, sessions::log_mark)
            .await
    }

    async fn add_upload(
        &self,
        owner: &Owner,
        id: SessionId,
        file: FileRef,
        bytes: u64,
    ) -> Result<Upload, StoreError> {
        let owner = owner.clone();
        let upload = Upload {
            file,
            bytes,
            created_at_ms: now_ms(),
        };
        self.writer
            .call("save an upload", 0, move |conn| {
                let session = sessions::key(conn, Some(&owner), id)?;
                uploads::insert(conn, session, &upload)?;
                Ok(upload.clone())
            })
            .await
    }

    async fn uploads(&self, owner: &Owner, id: SessionId) -> Result<Vec<Upload>, StoreError> {
        self.read_session("list uploads", Some(owner), id, uploads::list)
            .await
    }

    async fn recover(&self) -> Result<Vec<LostRun>, StoreError> {
        let lock = || {
            self.unfinished
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let unfinished = lock().clone();
        for LostRun { run, .. } in &unfinished {
            let run = *run;
            self.writer
                .call("mark a run as lost", 0, move |conn| lost::mark(conn, run))
                .await?;
        }
        lock().clear();
        let interrupted = self
            .readers
            .call("look for deleted sessions", deletion::interrupted)
            .await?;
        for (session, id) in interrupted {
            if let Err(error) = self.delete_hidden(session, id).await {
                // It stays hidden, and the next start tries again.
                tracing::warn!(%id, error = ?error, "a deleted session's data could not be removed");
            }
        }
        Ok(unfinished)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.writer.call("answer", 0, |_| Ok(())).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        // Readers first: the last connection to close tidies the files up.
        let readers = self.readers.close().await;
        self.writer.close().await.and(readers)
    }
}

/// Unix milliseconds.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 is as good as none.
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
