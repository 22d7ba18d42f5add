//! Deleting a session: hidden at once, its rows then removed a few at a time,
//! so that a long history does not keep everybody else from writing.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Fault;
use crate::session::ids::{Owner, SessionId};
use crate::session::store::Entity;

/// Rows that one step removes.
const ROWS: u32 = 1000;
/// Images can be large each.
const IMAGES: u32 = 8;

/// Hides a session from everybody and ends its runs. Returns its row number.
pub(super) fn hide(conn: &Connection, owner: &Owner, id: SessionId) -> Result<i64, Fault> {
    let key = conn
        .prepare_cached(
            "UPDATE sessions SET deleting = 1 WHERE id = ?1 AND owner = ?2 AND deleting = 0
             RETURNING key",
        )?
        .query_row(params![id, owner], |row| row.get(0))
        .optional()?
        .ok_or(Fault::not_found(Entity::Session))?;
    // They take no records from here on.
    conn.prepare_cached(
        "UPDATE runs SET status = 'lost' WHERE session = ?1 AND status = 'running'",
    )?
    .execute([key])?;
    Ok(key)
}

/// Sessions that were hidden, and whose deletion was then interrupted.
pub(super) fn interrupted(conn: &Connection) -> Result<Vec<(i64, SessionId)>, Fault> {
    Ok(conn
        .prepare_cached("SELECT key, id FROM sessions WHERE deleting = 1")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?)
}

/// Removes some rows of a hidden session; false when only the session's own is
/// left.
pub(super) fn step(conn: &Connection, session: i64) -> Result<bool, Fault> {
    for (sql, rows) in [
        (
            "DELETE FROM records WHERE key IN (SELECT records.key FROM runs
                 JOIN records ON records.run = runs.key WHERE runs.session = ?1 LIMIT ?2)",
            ROWS,
        ),
        (
            "DELETE FROM images WHERE key IN (SELECT images.key FROM runs
                 JOIN images ON images.run = runs.key WHERE runs.session = ?1 LIMIT ?2)",
            IMAGES,
        ),
        (
            "DELETE FROM turns WHERE key IN
                 (SELECT key FROM turns WHERE session = ?1 LIMIT ?2)",
            ROWS,
        ),
        (
            "DELETE FROM runs WHERE key IN
                 (SELECT key FROM runs WHERE session = ?1 LIMIT ?2)",
            ROWS,
        ),
        (
            "DELETE FROM queue_images WHERE key IN (SELECT queue_images.key FROM queue
                 JOIN queue_images ON queue_images.message = queue.key
                 WHERE queue.session = ?1 LIMIT ?2)",
            IMAGES,
        ),
        (
            "DELETE FROM queue WHERE key IN
                 (SELECT key FROM queue WHERE session = ?1 LIMIT ?2)",
            ROWS,
        ),
        (
            "DELETE FROM messages WHERE key IN
                 (SELECT key FROM messages WHERE session = ?1 LIMIT ?2)",
            ROWS,
        ),
        (
            "DELETE FROM state WHERE key IN
                 (SELECT key FROM state WHERE session = ?1 LIMIT ?2)",
            ROWS,
        ),
        (
            "DELETE FROM uploads WHERE key IN
                 (SELECT key FROM uploads WHERE session = ?1 LIMIT ?2)",
            ROWS,
        ),
    ] {
        if conn.prepare_cached(sql)?.execute(params![session, rows])? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes the session's own row, when nothing else is left of it.
pub(super) fn finish(conn: &Connection, session: i64) -> Result<(), Fault> {
    conn.prepare_cached("DELETE FROM sessions WHERE key = ?1 AND deleting = 1")?
        .execute([session])?;
    Ok(())
}
