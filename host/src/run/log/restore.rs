//! Filling an empty log with a run that was stored, so that a client that comes back after its log was given up, or
//! after the host was started again, gets what it missed.

use std::sync::Arc;

use super::EventLog;
use crate::protocol::{ErrorCode, Position, RunEvent, RunFailure, StreamEnd, read_stored};
use crate::run::record::{Form, Record};
use crate::session::{Outcome, RunStatus, StoredRun, TurnRecord};

impl EventLog {
    /// Takes the records of the session's latest run, unless the log has events of its own by now or goes on
    /// somewhere else. Answers whether it took them.
    pub fn restore(&self, run: &RestoredRun) -> bool {
        let mut inner = self.lock();
        let is_empty = inner.span.is_none() && inner.first_seq() > inner.last_seq;
        let goes_on = |last: &Arc<Record>| last.seq == inner.last_seq;
        if !is_empty || !run.records.last().is_some_and(goes_on) {
            return false;
        }
        inner.pinned = None;
        inner.latest = run.first_seq;
        for record in &run.records {
            inner.restore(Arc::clone(record));
        }
        inner.evict();
        inner.settle();
        true
    }

    /// Whether nothing of its events is there although there were some.
    pub fn is_blank(&self) -> bool {
        let inner = self.lock();
        inner.last_seq > 0 && inner.span.is_none() && inner.first_seq() > inner.last_seq
    }
}

/// A stored run's events, as a log has them.
#[derive(Debug)]
pub struct RestoredRun {
    first_seq: u64,
    records: Vec<Arc<Record>>,
}

impl RestoredRun {
    /// Reads what was stored.
    pub fn of(run: &StoredRun) -> Self {
        Self {
            first_seq: run.first_seq,
            records: records(run).into_iter().map(Arc::new).collect(),
        }
    }
}

/// The run's events as clients had them, `stream_start` and the last ones included. Where some were not stored, those
/// before the gap are left out but for `stream_start`: what a log has is without gaps behind it.
fn records(run: &StoredRun) -> Vec<Record> {
    let ends = last_events(run);
    let count = ends.len() as u64;
    let mut records = vec![Record::new(
        run.first_seq,
        RunEvent::StreamStart {
            run_id: run.run,
            ts: run.started_at_ms,
        },
        Form::AsEmitted,
    )];
    let mut next = run.first_seq + 1;
    for stored in &run.records {
        if stored.seq_from != next {
            records.truncate(1);
        }
        match restored(stored) {
            Some(record) => records.push(record),
            // What cannot be read is a gap.
            None => records.truncate(1),
        }
        next = stored.seq + 1;
    }
    let first_end = (run.last_seq + 1).saturating_sub(count);
    if first_end > next {
        records.truncate(1);
    }
    for (seq, event) in (first_end..).zip(ends).filter(|(seq, _)| *seq >= next) {
        records.push(Record::new(seq, event, Form::AsEmitted));
    }
    records
}

fn restored(stored: &TurnRecord) -> Option<Record> {
    let event = read_stored(&stored.kind, &stored.json)?;
    let bounds = stored.bounds.clone().unwrap_or_default();
    let width = stored.seq.checked_sub(stored.seq_from)?;
    let text = event.delta().map_or(0, str::len);
    // A fold that does not add up could not be cut where a client was.
    let adds_up = match bounds.last() {
        None => width == 0,
        Some(end) => bounds.len() as u64 == width + 1 && usize::try_from(*end) == Ok(text),
    };
    let at = Position {
        seq_from: stored.seq_from,
        seq: stored.seq,
    };
    adds_up.then(|| Record::restored(at, event, bounds))
}

/// How the run ended, for clients.
fn last_events(run: &StoredRun) -> Vec<RunEvent> {
    let outcome = run.outcome.unwrap_or_default();
    let end = |content: String| RunEvent::StreamEnd(end(content, &outcome, run.status));
    match run.status {
        // It has no last event yet.
        RunStatus::Running => Vec::new(),
        RunStatus::Completed => vec![end(run.content.clone())],
        RunStatus::Stopped => vec![RunEvent::StreamStopped, end(String::new())],
        RunStatus::Lost => vec![end(String::new())],
        RunStatus::Error => {
            let failure = run.failure.as_ref();
            let code = failure.map_or("internal", |failure| failure.code.as_str());
            let error = RunEvent::Error(RunFailure {
                message: failure.map_or_else(String::new, |failure| failure.text.clone()),
                code: ErrorCode::of(code).unwrap_or(ErrorCode::Internal),
                run_id: run.run,
            });
            vec![error, end(String::new())]
        }
    }
}

fn end(content: String, outcome: &Outcome, status: RunStatus) -> StreamEnd {
    StreamEnd {
        content,
        context_tokens: outcome.context_tokens,
        max_context_tokens: outcome.max_context_tokens,
        elapsed_seconds: outcome.elapsed_seconds,
        tool_call_count: outcome.tool_call_count,
        token_count: outcome.token_count,
        status,
    }
}
