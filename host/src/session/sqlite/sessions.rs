//! Sessions as rows.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::columns::{Count, Json};
use super::fault::Fault;
use crate::session::ids::{Epoch, Owner, SessionId};
use crate::session::model::{NewSession, Numbering, Session, SessionPatch};
use crate::session::page::{MAX_PAGE, Page, PageRequest};
use crate::session::store::Entity;

pub(super) fn insert(
    conn: &Connection,
    id: SessionId,
    new: &NewSession,
    now_ms: u64,
) -> Result<Session, Fault> {
    conn.prepare_cached(
        "INSERT INTO sessions (id, owner, agent, title, created_at_ms, updated_at_ms, metadata, epoch, profile)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        id,
        new.owner,
        new.agent,
        new.title,
        Count(now_ms),
        Json(&new.metadata),
        Epoch::random(),
        new.profile
    ])?;
    Ok(Session {
        id,
        owner: new.owner.clone(),
        agent: new.agent.clone(),
        profile: new.profile.clone(),
        title: new.title.clone(),
        metadata: new.metadata.clone(),
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
    })
}

pub(super) fn select(conn: &Connection, owner: &Owner, id: SessionId) -> Result<Session, Fault> {
    conn.prepare_cached(
        "SELECT id, owner, agent, title, created_at_ms, updated_at_ms, metadata, profile FROM sessions
         WHERE id = ?1 AND owner = ?2 AND deleting = 0",
    )?
    .query_row(params![id, owner], read)
    .optional()?
    .ok_or(Fault::not_found(Entity::Session))
}

pub(super) fn list(
    conn: &Connection,
    owner: &Owner,
    page: PageRequest,
) -> Result<Page<Session>, Fault> {
    let limit = page.limit.clamp(1, MAX_PAGE);
    let before = page
        .cursor
        .map(|cursor| SessionId::from_uuid(cursor.last_read()));
    // Ids grow with time, and so does their text; none reaches a `g`.
    let items = conn
        .prepare_cached(
            "SELECT id, owner, agent, title, created_at_ms, updated_at_ms, metadata, profile FROM sessions
             WHERE owner = ?1 AND deleting = 0 AND id < coalesce(?2, 'g')
             ORDER BY id DESC LIMIT ?3",
        )?
        .query_map(params![owner, before, limit + 1], read)?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(items, limit, |last| *last.id.as_uuid()))
}

pub(super) fn update(
    conn: &Connection,
    owner: &Owner,
    id: SessionId,
    patch: &SessionPatch,
    now_ms: u64,
) -> Result<Session, Fault> {
    conn.prepare_cached(
        "UPDATE sessions SET
            agent = CASE WHEN ?3 THEN ?4 ELSE agent END,
            title = CASE WHEN ?5 THEN ?6 ELSE title END,
            metadata = coalesce(?7, metadata),
            updated_at_ms = ?8,
            profile = CASE WHEN ?9 THEN ?10 ELSE profile END
         WHERE id = ?1 AND owner = ?2 AND deleting = 0
         RETURNING id, owner, agent, title, created_at_ms, updated_at_ms, metadata, profile",
    )?
    .query_row(
        params![
            id,
            owner,
            patch.agent.is_some(),
            patch.agent.as_ref().and_then(Option::as_ref),
            patch.title.is_some(),
            patch.title.as_ref().and_then(Option::as_ref),
            patch.metadata.as_ref().map(Json),
            Count(now_ms),
            patch.profile.is_some(),
            patch.profile.as_ref().and_then(Option::as_ref),
        ],
        read,
    )
    .optional()?
    .ok_or(Fault::not_found(Entity::Session))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        owner: row.get(1)?,
        agent: row.get(2)?,
        title: row.get(3)?,
        created_at_ms: row.get::<_, Count>(4)?.0,
        updated_at_ms: row.get::<_, Count>(5)?.0,
        metadata: row.get::<_, Json<_>>(6)?.0,
        profile: row.get(7)?,
    })
}

/// The row number of a session, for its owner or (None) for the host itself.
pub(super) fn key(conn: &Connection, owner: Option<&Owner>, id: SessionId) -> Result<i64, Fault> {
    conn.prepare_cached(
        "SELECT key FROM sessions
         WHERE id = ?1 AND deleting = 0 AND (?2 IS NULL OR owner = ?2)",
    )?
    .query_row(params![id, owner], |row| row.get(0))
    .optional()?
    .ok_or(Fault::not_found(Entity::Session))
}

/// The session's numbering, and whether it is clean: no run is open, so that
/// nobody can have seen anything after it.
pub(super) fn numbering(conn: &Connection, session: i64) -> Result<(Numbering, bool), Fault> {
    Ok(conn
        .prepare_cached("SELECT epoch, last_seq, clean FROM sessions WHERE key = ?1")?
        .query_row([session], |row| {
            let numbering = Numbering {
                epoch: row.get(0)?,
                last_seq: row.get::<_, Count>(1)?.0,
            };
            Ok((numbering, row.get(2)?))
        })?)
}

/// Sets a clean numbering.
pub(super) fn set_numbering(
    conn: &Connection,
    session: i64,
    numbering: &Numbering,
) -> Result<(), Fault> {
    conn.prepare_cached("UPDATE sessions SET epoch = ?2, last_seq = ?3, clean = 1 WHERE key = ?1")?
        .execute(params![session, numbering.epoch, Count(numbering.last_seq)])?;
    Ok(())
}
