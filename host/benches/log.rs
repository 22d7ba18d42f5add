//! What the event log costs: an append that nobody watches, one that is encoded for a watcher, and attaching.
//!
//! `cargo bench -p roundhouse-host --bench log`

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use roundhouse_host::protocol::RunEvent;
use roundhouse_host::protocol::frames::Frames;
use roundhouse_host::run::log::{Appended, EventLog, LogLimits, RunSpan};
use roundhouse_host::run::record::{Delta, Form, Incoming};
use roundhouse_host::run::{Cursor, LogBudget};
use roundhouse_host::session::{Epoch, RunId};

/// The limits that a host has unless configured.
const LIMITS: LogLimits = LogLimits {
    records: 500,
    record_bytes: 8 * 1024 * 1024,
    window_bytes: 1024 * 1024,
    history_bytes: 16 * 1024 * 1024,
};

/// After how many events a watcher reads: a few thousand are what a socket takes at once.
const BATCH: u64 = 1000;

fn begun() -> (Arc<EventLog>, Arc<RunSpan>, Cursor) {
    let log = Arc::new(EventLog::new(
        LIMITS,
        Arc::new(LogBudget::new(512 * 1024 * 1024)),
        Epoch::random(),
        0,
    ));
    let (span, cursor) = Cursor::begin(&log, RunId::new(), 0);
    (log, span, cursor)
}

fn append(log: &EventLog, span: &RunSpan) {
    let delta = Incoming::Delta(Delta::Stream, black_box("token "));
    assert_ne!(log.append(span, delta, Form::AsEmitted), Appended::Over);
}

fn benches(criterion: &mut Criterion) {
    criterion.bench_function("append, nobody watching", |bencher| {
        let (log, span, cursor) = begun();
        drop(cursor);
        bencher.iter(|| append(&log, &span));
    });
    criterion.bench_function("append, one watcher that reads", |bencher| {
        let (log, span, mut cursor) = begun();
        bencher.iter_custom(|events| {
            let start = Instant::now();
            for event in 0..events {
                append(&log, &span);
                if event % BATCH == 0 {
                    cursor.read(&mut Frames::default()).unwrap();
                }
            }
            start.elapsed()
        });
    });
    criterion.bench_function("attach, 500 records", |bencher| {
        let (log, span, _cursor) = begun();
        for index in 0..500 {
            let event = RunEvent::PlanningStatus {
                phase: "research".to_owned(),
                label: format!("Reading file {index}"),
                is_subagent: false,
            };
            log.append(&span, Incoming::Event(event), Form::AsEmitted);
        }
        bencher.iter(|| {
            let attachment = Cursor::attach(&log).unwrap();
            assert_eq!(attachment.replay.len(), 500);
            attachment
        });
    });
}

criterion_group!(all, benches);
criterion_main!(all);
