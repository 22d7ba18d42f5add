//! From SQLite's errors to the store's.

use std::error::Error;
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::session::store::{Entity, StoreError};

/// Why an operation on a connection failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The answer is no.
    Store(StoreError),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Fault {
    pub(super) fn not_found(entity: Entity) -> Self {
        Self::Store(StoreError::NotFound(entity))
    }

    /// As the store's caller sees it; `doing` completes "the store failed to".
    pub(super) fn explain(self, doing: &'static str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sqlite(error) => explain(doing, Arc::new(error)),
        }
    }
}

/// An error of SQLite, as the store's caller sees it.
pub(super) fn explain(doing: &'static str, error: Arc<rusqlite::Error>) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly,
        _ => StoreError::Storage {
            doing,
            source: error,
        },
    }
}

/// Anything else that went wrong.
pub(super) fn storage(
    doing: &'static str,
    source: impl Error + Send + Sync + 'static,
) -> StoreError {
    StoreError::Storage {
        doing,
        source: Arc::new(source),
    }
}
