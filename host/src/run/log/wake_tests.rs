//! Readers that sleep are woken: with real threads, since what could go wrong is between two of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{Appended, EventLog, LogLimits};
use crate::protocol::frames::Frames;
use crate::run::budget::LogBudget;
use crate::run::cursor::{Cursor, Progress};
use crate::run::record::{Delta, Form, Incoming};
use crate::session::{Epoch, RunId};

const EVENTS: u64 = 50_000;

/// Reads to the end of the run; answers how many frames there were.
async fn read_all(mut cursor: Cursor) -> u64 {
    let mut read = 0;
    loop {
        let mut frames = Frames::default();
        let progress = cursor.read(&mut frames).unwrap();
        read += frames.count();
        match progress {
            Progress::More => {}
            Progress::CaughtUp => cursor.ready().await,
            Progress::Ended => return read,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_reader_sleeps_while_there_is_something_to_read() {
    let limits = LogLimits {
        records: 500,
        record_bytes: 1 << 23,
        // Nobody falls behind it, so that every event is a frame.
        window_bytes: 1 << 26,
        history_bytes: 1 << 20,
    };
    let budget = Arc::new(LogBudget::new(usize::MAX));
    let log = Arc::new(EventLog::new(limits, budget, Epoch::new("e"), 0));
    let (span, first) = Cursor::begin(&log, RunId::new(), 0);
    let mut readers = vec![tokio::spawn(read_all(first))];
    for _ in 0..3 {
        let attached = Cursor::attach(&log).unwrap();
        readers.push(tokio::spawn(read_all(attached.cursor)));
    }
    let writer = std::thread::spawn(move || {
        for index in 0..EVENTS {
            let delta = Incoming::Delta(Delta::Stream, "x");
            assert_ne!(log.append(&span, delta, Form::AsEmitted), Appended::Over);
            // Now and then readers fall asleep, at a different point each time.
            if index % 61 == 0 {
                std::thread::yield_now();
            }
        }
        log.finish(&span, []);
    });
    let begun = [EVENTS + 1, EVENTS, EVENTS, EVENTS];
    for (reader, expected) in readers.into_iter().zip(begun) {
        let read = timeout(Duration::from_secs(60), reader).await;
        let read = read.expect("a reader is never woken").unwrap();
        assert_eq!(read, expected);
    }
    writer.join().unwrap();
}
