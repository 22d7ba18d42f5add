//! A run's begin and end, and the list of runs.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::columns::{Count, Json};
use super::fault::Fault;
use super::records::Form;
use super::{lost, messages, queue, records, state};
use crate::session::ids::RunId;
use crate::session::model::{Outcome, Run, RunFailure, RunStatus, StoredRun, TwoForms};
use crate::session::page::{MAX_PAGE, Page, PageRequest};
use crate::session::store::{BeginRun, BegunRun, Entity, FinishRun, StoreError};

pub(super) fn begin(conn: &Connection, begin: &BeginRun) -> Result<BegunRun, Fault> {
    // Two statements rather than RETURNING, which makes a table in memory for
    // its rows each time.
    let (session, turns): (i64, Count) = conn
        .prepare_cached("SELECT key, turns FROM sessions WHERE id = ?1 AND deleting = 0")?
        .query_row([begin.session], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or(Fault::not_found(Entity::Session))?;
    if let Some(turn) = begun(conn, begin.run)? {
        return Ok(turn);
    }
    if let Some(message) = &begin.message {
        messages::insert(conn, session, message, begin.run, begin.started_at_ms)?;
    }
    queue::remove(conn, session, begin.run)?;
    let (user_turn, assistant_turn) = (turns.0 + 1, turns.0 + 2);
    conn.prepare_cached(
        "UPDATE sessions SET turns = ?2, epoch = ?3, last_seq = ?4, clean = 0, updated_at_ms = ?5
         WHERE key = ?1",
    )?
    .execute(params![
        session,
        Count(assistant_turn),
        begin.epoch,
        Count(begin.first_seq.saturating_sub(1)),
        Count(begin.started_at_ms)
    ])?;

    // The end of the one before could not be saved, or this would not begin.
    let unfinished: Option<RunId> = conn
        .prepare_cached("SELECT id FROM runs WHERE session = ?1 AND status = 'running'")?
        .query_row([session], |row| row.get(0))
        .optional()?;
    if let Some(run) = unfinished {
        lost::mark(conn, run)?;
    }

    conn.prepare_cached(
        "INSERT INTO runs (id, session, turn, agent, status, started_at_ms, first_seq, last_seq)
         VALUES (?1, ?2, ?3, ?4, 'running', ?5, ?6, ?6)",
    )?
    .execute(params![
        begin.run,
        session,
        Count(assistant_turn),
        begin.agent,
        Count(begin.started_at_ms),
        Count(begin.first_seq)
    ])?;
    let run = conn.last_insert_rowid();

    let turn = &begin.turn;
    conn.prepare_cached(
        "INSERT INTO turns (session, number, run, role, created_at_ms, content, user_text, files)
         VALUES (?1, ?2, ?3, 'user', ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        session,
        Count(user_turn),
        run,
        Count(begin.started_at_ms),
        turn.content,
        (turn.user_text != turn.content).then_some(&turn.user_text),
        (!turn.files.is_empty()).then_some(Json(&turn.files)),
    ])?;
    for (position, image) in (0u32..).zip(&turn.images) {
        conn.prepare_cached(
            "INSERT INTO images (run, position, media_type, bytes) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![run, position, image.media_type, &image.bytes[..]])?;
    }
    Ok(BegunRun {
        user_turn,
        assistant_turn,
    })
}

/// The turns of a run that has begun already: its caller repeats a call that got no answer in time.
fn begun(conn: &Connection, run: RunId) -> Result<Option<BegunRun>, Fault> {
    let turn: Option<Count> = conn
        .prepare_cached("SELECT turn FROM runs WHERE id = ?1")?
        .query_row([run], |row| row.get(0))
        .optional()?;
    Ok(turn.map(|Count(assistant_turn)| BegunRun {
        user_turn: assistant_turn - 1,
        assistant_turn,
    }))
}

/// Whether the run was finished so already, likewise.
fn is_finished(conn: &Connection, finish: &FinishRun) -> Result<bool, Fault> {
    let found = conn
        .prepare_cached("SELECT 1 FROM runs WHERE id = ?1 AND status = ?2 AND ended_at_ms = ?3 AND last_seq = ?4")?
        .exists(params![
            finish.run,
            finish.status,
            Count(finish.ended_at_ms),
            Count(finish.last_seq)
        ])?;
    Ok(found)
}

pub(super) fn finish(conn: &Connection, finish: &FinishRun) -> Result<(), Fault> {
    let failure = finish.failure.as_ref();
    let outcome = &finish.outcome;
    let found: Option<(i64, i64, i64)> = conn
        .prepare_cached("SELECT key, session, turn FROM runs WHERE id = ?1 AND status = 'running'")?
        .query_row([finish.run], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((run, session, turn)) = found else {
        if is_finished(conn, finish)? {
            return Ok(());
        }
        return Err(why_not_running(conn, finish.run)?);
    };
    conn.prepare_cached(
        "UPDATE runs SET status = ?2, ended_at_ms = ?3, elapsed_seconds = ?4,
            context_tokens = ?5, max_context_tokens = ?6, token_count = ?7,
            tool_call_count = ?8, error_code = ?9, error_text = ?10, error_text_sent = ?11,
            data = ?12, truncated = ?13, last_seq = ?14
         WHERE key = ?1",
    )?
    .execute(params![
        run,
        finish.status,
        Count(finish.ended_at_ms),
        outcome.elapsed_seconds,
        Count(outcome.context_tokens),
        Count(outcome.max_context_tokens),
        Count(outcome.token_count),
        Count(outcome.tool_call_count),
        failure.map(|failure| &failure.code),
        failure.map(|failure| &failure.text.emitted),
        failure.and_then(|failure| failure.text.sent.as_ref()),
        finish.data.as_ref().map(Json),
        finish.truncated,
        Count(finish.last_seq),
    ])?;
    records::insert(conn, run, &finish.records)?;
    let content = match &finish.content {
        Some(content) => content.clone(),
        None => lost::streamed(conn, run)?,
    };
    insert_answer(
        conn,
        session,
        turn,
        run,
        Count(finish.ended_at_ms),
        &content,
    )?;
    conn.prepare_cached(
        "UPDATE sessions SET last_seq = ?2, clean = 1, updated_at_ms = ?3 WHERE key = ?1",
    )?
    .execute(params![
        session,
        Count(finish.last_seq),
        Count(finish.ended_at_ms)
    ])?;
    for put in &finish.state {
        state::put(conn, session, put)?;
    }
    if let Some(switch) = &finish.profile {
        conn.prepare_cached("UPDATE sessions SET profile = ?2 WHERE key = ?1 AND profile IS ?3")?
            .execute(params![session, switch.to, switch.from])?;
    }
    Ok(())
}

/// Inserts the assistant's turn of a run. `session` and `run` are keys.
pub(super) fn insert_answer(
    conn: &Connection,
    session: i64,
    turn: i64,
    run: i64,
    created_at_ms: Count,
    content: &TwoForms,
) -> Result<(), Fault> {
    conn.prepare_cached(
        "INSERT INTO turns (session, number, run, role, created_at_ms, content, content_sent)
         VALUES (?1, ?2, ?3, 'assistant', ?4, ?5, ?6)",
    )?
    .execute(params![
        session,
        turn,
        run,
        created_at_ms,
        content.emitted,
        content.sent
    ])?;
    Ok(())
}

fn why_not_running(conn: &Connection, run: RunId) -> Result<Fault, Fault> {
    let status: Option<RunStatus> = conn
        .prepare_cached(
            "SELECT runs.status FROM runs JOIN sessions ON sessions.key = runs.session
             WHERE runs.id = ?1 AND sessions.deleting = 0",
        )?
        .query_row([run], |row| row.get(0))
        .optional()?;
    Ok(match status {
        None => Fault::not_found(Entity::Run),
        Some(status) => {
            StoreError::Conflict(format!("run {run} is saved as {} already", status.as_str()))
                .into()
        }
    })
}

/// What [`read`] reads. The position of a running run's last event is that of
/// the last one that was saved.
const COLUMNS: &str = "id, agent, status, turn, started_at_ms, ended_at_ms, first_seq,
    CASE status WHEN 'running' THEN coalesce((SELECT seq FROM records
        WHERE run = runs.key ORDER BY number DESC LIMIT 1), last_seq)
        ELSE last_seq END,
    context_tokens, max_context_tokens, token_count, tool_call_count,
    elapsed_seconds, error_code, coalesce(error_text_sent, error_text)";

pub(super) fn list(conn: &Connection, session: i64, page: PageRequest) -> Result<Page<Run>, Fault> {
    let limit = page.limit.clamp(1, MAX_PAGE);
    let after = page
        .cursor
        .map(|cursor| RunId::from_uuid(cursor.last_read()));
    let items = conn
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM runs
             WHERE session = ?1 AND (?2 IS NULL
                OR turn < (SELECT turn FROM runs WHERE id = ?2 AND session = ?1))
             ORDER BY turn DESC LIMIT ?3",
        ))?
        .query_map(params![session, after, limit + 1], read)?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(items, limit, |last| *last.id.as_uuid()))
}

/// The session's latest run, with the latest of its records.
pub(super) fn latest(
    conn: &Connection,
    session: i64,
    bytes: usize,
) -> Result<Option<StoredRun>, Fault> {
    let found: Option<(Run, i64)> = conn
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, key FROM runs WHERE session = ?1 ORDER BY turn DESC LIMIT 1"
        ))?
        .query_row([session], |row| Ok((read(row)?, row.get(15)?)))
        .optional()?;
    let Some((run, key)) = found else {
        return Ok(None);
    };
    let answer: Option<String> = conn
        .prepare_cached(
            "SELECT coalesce(content_sent, content) FROM turns WHERE session = ?1 AND number = ?2",
        )?
        .query_row(params![session, Count(run.turn)], |row| row.get(0))
        .optional()?;
    let content = match answer {
        Some(answer) => answer,
        // It is running.
        None => lost::answer(conn, key, Form::Sent)?,
    };
    Ok(Some(StoredRun {
        run: run.id,
        status: run.status,
        started_at_ms: run.started_at_ms,
        ended_at_ms: run.ended_at_ms,
        first_seq: run.first_seq,
        last_seq: run.last_seq,
        content,
        outcome: run.outcome,
        failure: run.failure,
        records: records::latest(conn, key, bytes)?,
    }))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Run> {
    let count = |index| Ok::<_, rusqlite::Error>(row.get::<_, Count>(index)?.0);
    Ok(Run {
        id: row.get(0)?,
        agent: row.get(1)?,
        status: row.get(2)?,
        turn: count(3)?,
        started_at_ms: count(4)?,
        ended_at_ms: row.get::<_, Option<Count>>(5)?.map(|at| at.0),
        first_seq: count(6)?,
        last_seq: count(7)?,
        outcome: read_outcome(row, 8)?,
        failure: read_failure(row, 13)?,
    })
}

/// Five columns: four counts and the seconds. All null until a run ended.
pub(super) fn read_outcome(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Outcome>> {
    let Some(context_tokens) = row.get::<_, Option<Count>>(at)? else {
        return Ok(None);
    };
    Ok(Some(Outcome {
        context_tokens: context_tokens.0,
        max_context_tokens: row.get::<_, Count>(at + 1)?.0,
        token_count: row.get::<_, Count>(at + 2)?.0,
        tool_call_count: row.get::<_, Count>(at + 3)?.0,
        // SQLite keeps a NaN as null.
        elapsed_seconds: row.get::<_, Option<f64>>(at + 4)?.unwrap_or_default(),
    }))
}

/// Two columns: code and text.
pub(super) fn read_failure(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<RunFailure>> {
    let Some(code) = row.get(at)? else {
        return Ok(None);
    };
    Ok(Some(RunFailure {
        code,
        text: row.get(at + 1)?,
    }))
}
