//! The ids that clients gave their messages.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::columns::Count;
use super::fault::Fault;
use crate::session::ids::{MessageId, Owner, RunId};
use crate::session::message::{KnownMessage, MESSAGE_ID_KEPT_MS, MessageKey, MessageState};
use crate::session::store::StoreError;

/// Old ids that are deleted when one is added: more than one, so that none
/// pile up; few, so that nobody waits.
const OLD_DELETED: u32 = 64;

/// What is known of a message at a time, if anything still is.
pub(super) fn find(
    conn: &Connection,
    session: i64,
    owner: &Owner,
    id: MessageId,
    now_ms: u64,
) -> Result<Option<KnownMessage>, Fault> {
    Ok(conn
        .prepare_cached(
            "SELECT messages.digest, messages.run, runs.status FROM messages
             LEFT JOIN runs ON runs.id = messages.run
             WHERE messages.session = ?1 AND messages.owner = ?2 AND messages.id = ?3
                AND messages.created_at_ms >= ?4",
        )?
        .query_row(params![session, owner, id, oldest(now_ms)], |row| {
            Ok(KnownMessage {
                digest: row.get(0)?,
                run: row.get(1)?,
                state: row
                    .get::<_, Option<_>>(2)?
                    .map_or(MessageState::Queued, MessageState::Run),
            })
        })
        .optional()?)
}

/// Stores a message's id for its run. It may be stored already for the same
/// run, which waited in the queue; for another, the message is a known one.
pub(super) fn insert(
    conn: &Connection,
    session: i64,
    message: &MessageKey,
    run: RunId,
    now_ms: u64,
) -> Result<(), Fault> {
    match find(conn, session, &message.owner, message.id, now_ms)? {
        Some(known) if known.run == run => return Ok(()),
        Some(known) => return Err(StoreError::KnownMessage(known).into()),
        None => {}
    }
    conn.prepare_cached(
        "DELETE FROM messages WHERE key IN
            (SELECT key FROM messages WHERE created_at_ms < ?1 ORDER BY created_at_ms LIMIT ?2)",
    )?
    .execute(params![oldest(now_ms), OLD_DELETED])?;
    // One that is too old to be known may still be there.
    conn.prepare_cached(
        "INSERT INTO messages (session, owner, id, digest, run, created_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (session, owner, id) DO UPDATE SET
            digest = excluded.digest, run = excluded.run, created_at_ms = excluded.created_at_ms",
    )?
    .execute(params![
        session,
        message.owner,
        message.id,
        message.digest,
        run,
        Count(now_ms)
    ])?;
    Ok(())
}

/// When the oldest id was stored that is still known.
fn oldest(now_ms: u64) -> Count {
    Count(now_ms.saturating_sub(MESSAGE_ID_KEPT_MS))
}
