//! Records as rows.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::columns::{Count, Numbers, NumbersRef};
use super::fault::Fault;
use crate::session::ids::RunId;
use crate::session::record::{Forms, NumberedRecords, RunRecords, TurnRecord};

/// Which of the two forms to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As clients were sent it.
    Sent,
    /// As the agent emitted it.
    Emitted,
}

/// Appends records to runs; returns the runs that are not running.
pub(super) fn append(conn: &Connection, runs: &[RunRecords]) -> Result<Vec<RunId>, Fault> {
    let mut refused = Vec::new();
    for run in runs {
        let key: Option<i64> = conn
            .prepare_cached("SELECT key FROM runs WHERE id = ?1 AND status = 'running'")?
            .query_row([run.run], |row| row.get(0))
            .optional()?;
        match key {
            Some(key) => insert(conn, key, &run.records)?,
            None => refused.push(run.run),
        }
    }
    Ok(refused)
}

/// Saves records of a run, but for those that it has by their numbers.
pub(super) fn insert(conn: &Connection, run: i64, records: &NumberedRecords) -> Result<(), Fault> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO records (run, number, seq_from, seq, kind, form, sent, emitted, bounds)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (run, number) DO NOTHING",
    )?;
    for (number, record) in (records.first..).zip(&records.records) {
        let (form, sent, emitted) = match &record.forms {
            Forms::Same(json) => ("same", Some(json), None),
            Forms::Mapped { emitted, sent } => ("mapped", Some(sent), Some(emitted)),
            Forms::Inserted(sent) => ("inserted", Some(sent), None),
            Forms::Dropped(emitted) => ("dropped", None, Some(emitted)),
        };
        statement.execute(params![
            run,
            Count(number),
            Count(record.seq_from),
            Count(record.seq),
            record.kind,
            form,
            sent,
            emitted,
            record.bounds.as_deref().map(NumbersRef)
        ])?;
    }
    Ok(())
}

/// Reads a run's records of one form, in order.
pub(super) fn for_each(
    conn: &Connection,
    run: i64,
    form: Form,
    mut take: impl FnMut(TurnRecord),
) -> Result<(), Fault> {
    let mut statement = conn.prepare_cached(match form {
        Form::Sent => {
            "SELECT seq_from, seq, kind, sent, bounds FROM records
             WHERE run = ?1 AND sent IS NOT NULL ORDER BY number"
        }
        Form::Emitted => {
            "SELECT seq_from, seq, kind, coalesce(emitted, sent), NULL FROM records
             WHERE run = ?1 AND form <> 'inserted' ORDER BY number"
        }
    })?;
    let mut rows = statement.query([run])?;
    while let Some(row) = rows.next()? {
        take(read(row)?);
    }
    Ok(())
}

/// Reads the latest records in the sent form, in order: as many as have at most
/// so many bytes of JSON together.
pub(super) fn latest(conn: &Connection, run: i64, bytes: usize) -> Result<Vec<TurnRecord>, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT seq_from, seq, kind, sent, bounds FROM records
         WHERE run = ?1 AND sent IS NOT NULL ORDER BY number DESC",
    )?;
    let mut rows = statement.query([run])?;
    let mut left = bytes;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let record = read(row)?;
        let Some(rest) = left.checked_sub(record.json.len()) else {
            break;
        };
        left = rest;
        records.push(record);
    }
    records.reverse();
    Ok(records)
}

/// Moves the positions of a run's records down by `by`; none falls below 1,
/// where it could not be read any more.
pub(super) fn shift(conn: &Connection, run: i64, by: u64) -> Result<(), Fault> {
    conn.prepare_cached(
        "UPDATE records SET seq_from = max(seq_from - ?2, 1), seq = max(seq - ?2, 1)
         WHERE run = ?1",
    )?
    .execute(params![run, Count(by)])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<TurnRecord> {
    Ok(TurnRecord {
        seq_from: row.get::<_, Count>(0)?.0,
        seq: row.get::<_, Count>(1)?.0,
        kind: row.get(2)?,
        json: row.get(3)?,
        bounds: row.get::<_, Option<Numbers>>(4)?.map(|numbers| numbers.0),
    })
}
