//! Messages that wait for their run to begin.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::columns::{Count, Json};
use super::fault::Fault;
use super::{messages, sessions};
use crate::session::ids::{RunId, SessionId};
use crate::session::message::{NewQueued, SessionQueue};
use crate::session::model::ImageData;
use crate::session::store::{NewUserTurn, StoreError};

pub(super) fn insert(conn: &Connection, new: &NewQueued) -> Result<(), Fault> {
    let session = sessions::key(conn, None, new.session)?;
    let is_queued = conn
        .prepare_cached("SELECT 1 FROM queue WHERE run = ?1")?
        .exists([new.run])?;
    if is_queued {
        return Ok(());
    }
    // Before the room is looked at: a repetition takes none.
    if let Some(message) = &new.message {
        messages::insert(conn, session, message, new.run, new.created_at_ms)?;
    }
    let (waiting, first, last): (Count, Option<i64>, Option<i64>) = conn
        .prepare_cached(
            "SELECT count(*), min(position), max(position) FROM queue WHERE session = ?1",
        )?
        .query_row([session], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    if waiting.0 >= new.limit as u64 {
        return Err(StoreError::QueueFull.into());
    }
    let position = if new.at_head {
        first.unwrap_or(0) - 1
    } else {
        last.unwrap_or(0) + 1
    };
    let turn = &new.turn;
    conn.prepare_cached(
        "INSERT INTO queue (session, position, run, created_at_ms, content, user_text, files)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        session,
        position,
        new.run,
        Count(new.created_at_ms),
        turn.content,
        (turn.user_text != turn.content).then_some(&turn.user_text),
        (!turn.files.is_empty()).then_some(Json(&turn.files)),
    ])?;
    let key = conn.last_insert_rowid();
    for (position, image) in (0u32..).zip(&turn.images) {
        conn.prepare_cached(
            "INSERT INTO queue_images (message, position, media_type, bytes)
             VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![key, position, image.media_type, &image.bytes[..]])?;
    }
    Ok(())
}

/// Takes a run's message out of the queue, if it is there.
pub(super) fn remove(conn: &Connection, session: i64, run: RunId) -> Result<(), Fault> {
    let key: Option<i64> = conn
        .prepare_cached("SELECT key FROM queue WHERE run = ?1 AND session = ?2")?
        .query_row(params![run, session], |row| row.get(0))
        .optional()?;
    if let Some(key) = key {
        conn.prepare_cached("DELETE FROM queue_images WHERE message = ?1")?
            .execute([key])?;
        conn.prepare_cached("DELETE FROM queue WHERE key = ?1")?
            .execute([key])?;
    }
    Ok(())
}

/// The message that waits to become this run.
pub(super) fn read(conn: &Connection, run: RunId) -> Result<Option<NewUserTurn>, Fault> {
    let found: Option<(i64, NewUserTurn)> = conn
        .prepare_cached(
            "SELECT queue.key, queue.content, coalesce(queue.user_text, queue.content), queue.files
             FROM queue JOIN sessions ON sessions.key = queue.session AND sessions.deleting = 0
             WHERE queue.run = ?1",
        )?
        .query_row([run], |row| {
            let turn = NewUserTurn {
                content: row.get(1)?,
                user_text: row.get(2)?,
                images: Vec::new(),
                files: row
                    .get::<_, Option<Json<_>>>(3)?
                    .map_or_else(Vec::new, |files| files.0),
            };
            Ok((row.get(0)?, turn))
        })
        .optional()?;
    let Some((key, mut turn)) = found else {
        return Ok(None);
    };
    turn.images = conn
        .prepare_cached(
            "SELECT media_type, bytes FROM queue_images WHERE message = ?1 ORDER BY position",
        )?
        .query_map([key], |row| {
            Ok(ImageData {
                media_type: row.get(0)?,
                bytes: row.get::<_, Vec<u8>>(1)?.into(),
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(Some(turn))
}

/// All queues that are not empty.
pub(super) fn list(conn: &Connection) -> Result<Vec<SessionQueue>, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT sessions.id, sessions.owner, queue.run FROM queue
         JOIN sessions ON sessions.key = queue.session AND sessions.deleting = 0
         ORDER BY queue.session, queue.position",
    )?;
    let mut rows = statement.query([])?;
    let mut queues: Vec<SessionQueue> = Vec::new();
    while let Some(row) = rows.next()? {
        let session: SessionId = row.get(0)?;
        let run = row.get(2)?;
        match queues.last_mut() {
            Some(queue) if queue.session == session => queue.runs.push(run),
            _ => queues.push(SessionQueue {
                session,
                owner: row.get(1)?,
                runs: vec![run],
            }),
        }
    }
    Ok(queues)
}
