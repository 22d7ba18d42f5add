//! The list of a session's uploads.

use rusqlite::{Connection, params};

use super::columns::Count;
use super::fault::Fault;
use crate::session::model::{FileRef, Upload};

pub(super) fn insert(conn: &Connection, session: i64, upload: &Upload) -> Result<(), Fault> {
    conn.prepare_cached(
        "INSERT INTO uploads (session, name, path, bytes, created_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        session,
        upload.file.name,
        upload.file.path,
        Count(upload.bytes),
        Count(upload.created_at_ms)
    ])?;
    Ok(())
}

pub(super) fn list(conn: &Connection, session: i64) -> Result<Vec<Upload>, Fault> {
    Ok(conn
        .prepare_cached(
            "SELECT name, path, bytes, created_at_ms FROM uploads
             WHERE session = ?1 ORDER BY key",
        )?
        .query_map([session], |row| {
            Ok(Upload {
                file: FileRef {
                    name: row.get(0)?,
                    path: row.get(1)?,
                },
                bytes: row.get::<_, Count>(2)?.0,
                created_at_ms: row.get::<_, Count>(3)?.0,
            })
        })?
        .collect::<Result<_, _>>()?)
}
