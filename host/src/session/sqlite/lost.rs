//! Runs whose end was never saved.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::columns::Count;
use super::fault::Fault;
use super::records::{self, Form};
use super::{runs, sessions};
use crate::session::ids::{Epoch, RunId};
use crate::session::model::{Numbering, TwoForms};
use crate::session::store::LostRun;

/// The wire type of the records that hold the answer's text.
const ANSWER: &str = "stream_delta";

/// The runs that count as running.
pub(super) fn running(conn: &Connection) -> Result<Vec<LostRun>, Fault> {
    Ok(conn
        .prepare_cached(
            "SELECT sessions.id, runs.id, runs.agent, runs.started_at_ms FROM runs
             JOIN sessions ON sessions.key = runs.session
             WHERE runs.status = 'running' ORDER BY runs.key",
        )?
        .query_map([], |row| {
            Ok(LostRun {
                session: row.get(0)?,
                run: row.get(1)?,
                agent: row.get(2)?,
                started_at_ms: row.get::<_, Count>(3)?.0,
            })
        })?
        .collect::<Result<_, _>>()?)
}

/// Marks a running run as lost and begins a new numbering of its session with
/// it. One that is not running is left alone.
pub(super) fn recover(conn: &Connection, run: RunId) -> Result<(), Fault> {
    let session: Option<i64> = conn
        .prepare_cached("SELECT session FROM runs WHERE id = ?1 AND status = 'running'")?
        .query_row([run], |row| row.get(0))
        .optional()?;
    if let Some(session) = session {
        settle(conn, session)?;
    }
    Ok(())
}

/// Makes a session's numbering one that can be continued. One with an open run
/// cannot, as clients may have seen more of that run than was saved: it is lost
/// then and renumbered from 1 in a new epoch.
pub(super) fn settle(conn: &Connection, session: i64) -> Result<Numbering, Fault> {
    let (numbering, clean) = sessions::numbering(conn, session)?;
    if clean {
        return Ok(numbering);
    }
    let (key, run, first_seq): (i64, RunId, Count) = conn
        .prepare_cached(
            "SELECT key, id, first_seq FROM runs WHERE session = ?1 ORDER BY turn DESC LIMIT 1",
        )?
        .query_row([session], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    mark(conn, run)?;
    let by = first_seq.0.saturating_sub(1);
    records::shift(conn, key, by)?;
    // The last one that was saved, and the end that is sent for it.
    let last_seq: Count = conn
        .prepare_cached(
            "UPDATE runs SET first_seq = 1, last_seq = max(last_seq - ?2, 1) + 1 WHERE key = ?1
             RETURNING last_seq",
        )?
        .query_row(params![key, Count(by)], |row| row.get(0))?;
    let numbering = Numbering {
        epoch: Epoch::random(),
        last_seq: last_seq.0,
    };
    sessions::set_numbering(conn, session, &numbering)?;
    Ok(numbering)
}

/// Marks a running run as lost and gives it an assistant turn of what was
/// saved. One that is not running is left alone.
pub(super) fn mark(conn: &Connection, run: RunId) -> Result<(), Fault> {
    let found = conn
        .prepare_cached(
            "UPDATE runs SET status = 'lost', last_seq = coalesce(
                (SELECT seq FROM records WHERE run = runs.key ORDER BY number DESC LIMIT 1), last_seq)
             WHERE id = ?1 AND status = 'running' RETURNING key, session, turn, started_at_ms",
        )?
        .query_row([run], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, Count>(3)?,
            ))
        });
    let (key, session, turn, started_at_ms) = match found {
        Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(()),
        found => found?,
    };
    let streamed = streamed(conn, key)?;
    runs::insert_answer(conn, session, turn, key, started_at_ms, &streamed)
}

/// The answer as far as it was streamed and saved, in both forms.
pub(super) fn streamed(conn: &Connection, run: i64) -> Result<TwoForms, Fault> {
    let emitted = answer(conn, run, Form::Emitted)?;
    let sent = answer(conn, run, Form::Sent)?;
    let sent = (sent != emitted).then_some(sent);
    Ok(TwoForms { emitted, sent })
}

/// The answer's text, as far as it was saved.
pub(super) fn answer(conn: &Connection, run: i64, form: Form) -> Result<String, Fault> {
    #[derive(serde::Deserialize)]
    struct Delta {
        #[serde(default)]
        delta: String,
    }
    let mut text = String::new();
    records::for_each(conn, run, form, |record| {
        if record.kind == ANSWER
            // A record that reads otherwise holds no text.
            && let Ok(Delta { delta }) = serde_json::from_str(&record.json)
        {
            text.push_str(&delta);
        }
    })?;
    Ok(text)
}
