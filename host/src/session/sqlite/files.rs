//! The files in the data folder: the database, its lock, who may read them.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::migrations::{MIGRATIONS, MigrationError, migrate};
use crate::session::store::StoreError;
use crate::session::uploads::private_folder;

/// The database's name in the data folder.
pub const DATABASE: &str = "roundhouse.db";
const LOCK: &str = "roundhouse.lock";

/// How long to wait when another program (a backup, say) holds the file.
const BUSY: Duration = Duration::from_secs(5);

/// Why a data folder could not be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data folder {} cannot be made or written to", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the data folder {} is in use by another host{}; stop that one, or set `storage.path` to \
         another folder", path.display(), holder(.pid)
    )]
    InUse {
        path: PathBuf,
        /// The process that holds it, as far as it can be told.
        pid: Option<String>,
    },
    #[error("the database {} cannot be opened", path.display())]
    Database {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("the database {} cannot be used: {source}", path.display())]
    Schema {
        path: PathBuf,
        #[source]
        source: MigrationError,
    },
    #[error("the database {} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: StoreError,
    },
    #[error("the store's thread cannot be started")]
    Thread(#[source] io::Error),
}

fn holder(pid: &Option<String>) -> String {
    pid.as_ref()
        .map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// Held as long as this process uses the data folder. The system lets go of it
/// when the process ends, however that comes about.
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Makes the folder (for the host's user alone; one that exists stays as
    /// it is) and takes its lock.
    pub(super) fn take(folder: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Folder {
            path: folder.to_owned(),
            source,
        };
        private_folder(folder).map_err(failed)?;
        let mut file = open_private(&folder.join(LOCK)).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse {
                    path: folder.to_owned(),
                    pid: read_pid(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // The number is for the message above only.
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn read_pid(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    let pid = text.trim();
    (!pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit())).then(|| pid.to_owned())
}

/// Opens a file for the host's user alone, made if it is missing. SQLite gives
/// the files beside its database the same mode.
fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mut permissions = file.metadata()?.permissions();
        if permissions.mode() & 0o077 != 0 {
            permissions.set_mode(0o600);
            file.set_permissions(permissions)?;
        }
    }
    Ok(file)
}

/// Opens the database for writing, at the present schema.
pub(super) fn open_writer(folder: &Path) -> Result<Connection, OpenError> {
    let path = folder.join(DATABASE);
    open_private(&path).map_err(|source| OpenError::Folder {
        path: folder.to_owned(),
        source,
    })?;
    let failed = |source| OpenError::Database {
        path: path.clone(),
        source,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(&path, flags).map_err(failed)?;
    conn.busy_timeout(BUSY).map_err(failed)?;
    // Before anything is written to a file that may not be ours.
    migrate(&mut conn, MIGRATIONS).map_err(|source| OpenError::Schema {
        path: path.clone(),
        source,
    })?;
    configure_writer(&conn).map_err(failed)?;
    Ok(conn)
}

fn configure_writer(conn: &Connection) -> rusqlite::Result<()> {
    // Readers do not wait for the writer, nor it for them.
    conn.pragma_update(None, "journal_mode", "WAL")?;
    // A sync at every commit. With NORMAL, a power failure could take back a
    // turn whose `stream_start` was seen, and would hand out positions again
    // that clients have seen under the same epoch. Commits are shared by all
    // that is waiting, so there are few.
    conn.pragma_update(None, "synchronous", "FULL")?;
    // Where a sync alone does not reach the disk (macOS).
    conn.pragma_update(None, "fullfsync", true)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    // Savepoints keep what they may undo in memory.
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "cache_size", -16 * 1024)?;
    // After a burst the log is cut back to this.
    conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Opens the database for reading.
pub(super) fn open_reader(folder: &Path) -> Result<Connection, OpenError> {
    let path = folder.join(DATABASE);
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&path, flags)?;
        conn.busy_timeout(BUSY)?;
        conn.set_prepared_statement_cache_capacity(64);
        Ok(conn)
    };
    open().map_err(|source| OpenError::Database {
        path: path.clone(),
        source,
    })
}
