//! What agents keep in a session.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::columns::{Count, Json};
use super::fault::Fault;
use crate::session::model::StateValue;
use crate::session::store::{StatePut, StoreError};

pub(super) fn get(
    conn: &Connection,
    session: i64,
    agent: &str,
    key: &str,
) -> Result<Option<StateValue>, Fault> {
    Ok(conn
        .prepare_cached(
            "SELECT value, version FROM state WHERE session = ?1 AND agent = ?2 AND name = ?3",
        )?
        .query_row(params![session, agent, key], |row| {
            Ok(StateValue {
                value: row.get::<_, Json<_>>(0)?.0,
                version: row.get::<_, Count>(1)?.0,
            })
        })
        .optional()?)
}

pub(super) fn put(conn: &Connection, session: i64, put: &StatePut) -> Result<(), Fault> {
    let found = conn
        .prepare_cached(
            "SELECT version FROM state WHERE session = ?1 AND agent = ?2 AND name = ?3",
        )?
        .query_row(params![session, put.agent, put.key], |row| {
            row.get::<_, Count>(0)
        })
        .optional()?
        .map_or(0, |version| version.0);
    let version = match put.expected {
        None => put.version.max(found.saturating_add(1)),
        Some(expected) if expected == found => put.version,
        Some(expected) => {
            return Err(StoreError::Conflict(format!(
                "the state {:?} of agent {:?} has version {found}, not {expected}",
                put.key, put.agent
            ))
            .into());
        }
    };
    conn.prepare_cached(
        "INSERT INTO state (session, agent, name, value, version) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (session, agent, name)
         DO UPDATE SET value = excluded.value, version = excluded.version",
    )?
    .execute(params![
        session,
        put.agent,
        put.key,
        Json(&put.value),
        Count(version)
    ])?;
    Ok(())
}
