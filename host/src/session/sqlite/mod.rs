//! Sessions in one SQLite file, `roundhouse.db` in the data folder.
//!
//! One thread writes (`writer`), a few connections read (`readers`); SQLite's
//! write-ahead log keeps them out of each other's way. `operations` has the
//! trait's methods; the other files hold the queries, one topic each, as plain
//! functions of a connection.

mod columns;
mod deletion;
mod fault;
mod files;
mod history;
mod lost;
mod memory;
mod messages;
mod migrations;
mod operations;
mod queue;
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
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::Connection;
use tokio::task::spawn_blocking;

use self::fault::{Fault, storage};
pub use self::files::{DATABASE, OpenError};
use self::files::{FolderLock, open_reader, open_writer};
pub use self::migrations::MigrationError;
use self::readers::Readers;
use self::writer::Writer;
use super::ids::{Owner, SessionId};
use super::store::{LostRun, StoreError};
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
