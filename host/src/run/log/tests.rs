//! The log's promise as a property: whatever is appended, whoever attaches and reads whenever, each reader's
//! frames concatenate to what was emitted, or it is told that they do not.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::{Appended, Closed, EventLog, LogLimits, RunSpan};
use crate::protocol::frames::Frames;
use crate::protocol::{Position, RunEvent, Version};
use crate::run::budget::LogBudget;
use crate::run::cursor::{Attachment, Cursor, Progress};
use crate::run::record::{Delta, Form, Incoming, Record};
use crate::session::{Epoch, RunId};

/// One step of a schedule; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Text(String),
    Thinking(String),
    ThinkingEnd,
    Label(String),
    Attach,
    Read(usize),
    Leave(usize),
    Trim,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => "\\PC{0,12}".prop_map(Step::Text),
        2 => "[a-z]{0,300}".prop_map(Step::Text),
        3 => "\\PC{0,12}".prop_map(Step::Thinking),
        1 => Just(Step::ThinkingEnd),
        1 => "[a-z]{0,8}".prop_map(Step::Label),
        2 => Just(Step::Attach),
        4 => any::<usize>().prop_map(Step::Read),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => Just(Step::Trim),
    ]
}

struct Reader {
    cursor: Cursor,
    frames: Frames,
    lost: bool,
    ended: bool,
}

impl Reader {
    fn attach(log: &Arc<EventLog>) -> Option<Self> {
        let Attachment {
            start,
            mut replay,
            cursor,
        } = Cursor::attach(log)?;
        let mut frames = Frames::default();
        frames.push(&start);
        while replay.pump(1000, &mut frames) {}
        Some(Self {
            cursor,
            frames,
            lost: false,
            ended: false,
        })
    }

    fn read(&mut self) -> Progress {
        match self.cursor.read(&mut self.frames) {
            Ok(progress) => {
                self.ended |= progress == Progress::Ended;
                progress
            }
            Err(_) => {
                self.lost = true;
                Progress::Ended
            }
        }
    }
}

/// Frames with adjacent deltas of one kind concatenated: what a client shows.
fn folded(frames: impl IntoIterator<Item = Bytes>) -> Vec<Value> {
    let mut folded: Vec<Value> = Vec::new();
    for frame in frames {
        let value: Value = serde_json::from_slice(&frame).unwrap();
        if let (Some(last), Some(delta)) = (folded.last_mut(), value["delta"].as_str())
            && last["type"] == value["type"]
        {
            let text = last["delta"].as_str().unwrap().to_owned() + delta;
            last["delta"] = text.into();
        } else {
            folded.push(value);
        }
    }
    folded
}

fn empty(limits: LogLimits) -> Arc<EventLog> {
    Arc::new(EventLog::new(
        limits,
        Arc::new(LogBudget::new(usize::MAX)),
        Epoch::new("e"),
        0,
    ))
}

fn log(limits: LogLimits) -> (Arc<EventLog>, Arc<RunSpan>) {
    let log = empty(limits);
    let span = begin(&log);
    (log, span)
}

fn begin(log: &EventLog) -> Arc<RunSpan> {
    log.begin(RunId::new(), 0)
}

fn frame(event: &RunEvent) -> Bytes {
    event.frame(Version::V1, Position::of(1))
}

fn run(limits: LogLimits, steps: Vec<Step>) -> Result<usize, TestCaseError> {
    let log = empty(limits);
    let (span, cursor) = Cursor::begin(&log, RunId::new(), 0);
    let mut emitted = vec![Bytes::from(r#"{"type":"stream_start"}"#)];
    let mut readers = vec![Reader {
        cursor,
        frames: Frames::default(),
        lost: false,
        ended: false,
    }];
    let append = |event: RunEvent, emitted: &mut Vec<Bytes>| {
        emitted.push(frame(&event));
        match Delta::of(&event) {
            Some((kind, text)) => log.append(&span, Incoming::Delta(kind, text), Form::AsEmitted),
            None => log.append(&span, Incoming::Event(event), Form::AsEmitted),
        }
    };
    for step in steps {
        match step {
            Step::Text(delta) => _ = append(RunEvent::StreamDelta { delta }, &mut emitted),
            Step::Thinking(delta) => _ = append(RunEvent::ThinkingDelta { delta }, &mut emitted),
            Step::ThinkingEnd => _ = append(RunEvent::ThinkingEnd, &mut emitted),
            Step::Label(label) => {
                let event = RunEvent::PlanningStatus {
                    phase: String::new(),
                    label,
                    is_subagent: false,
                };
                append(event, &mut emitted);
            }
            Step::Attach => {
                let reader = Reader::attach(&log).unwrap();
                // A replay may begin later than the run when its oldest records were evicted.
                let complete =
                    folded(reader.frames.clone().into_messages()) == folded(emitted.clone());
                prop_assert!(complete || limits.records < 1000);
                if complete {
                    readers.push(reader);
                }
            }
            Step::Read(index) if !readers.is_empty() => {
                let count = readers.len();
                readers[index % count].read();
            }
            Step::Leave(index) if readers.len() > 1 => {
                let count = readers.len();
                readers.swap_remove(index % count);
            }
            Step::Trim => log.trim(),
            Step::Read(_) | Step::Leave(_) => {}
        }
    }
    emitted.push(frame(&RunEvent::StreamStopped));
    log.finish(&span, [RunEvent::StreamStopped]);
    // A run that follows must not leak into the readers of this one.
    begin(&log);
    let expected = folded(emitted);
    let mut lost = 0;
    for mut reader in readers {
        while !reader.ended && !reader.lost {
            prop_assert!(reader.read() != Progress::CaughtUp, "a reader hangs");
        }
        lost += usize::from(reader.lost);
        let got = folded(reader.frames.into_messages());
        if reader.lost {
            prop_assert!(got.len() <= expected.len());
        } else {
            prop_assert_eq!(&got, &expected);
        }
    }
    Ok(lost)
}

proptest! {
    #[test]
    fn every_reader_gets_every_character(steps in prop::collection::vec(step(), 0..120)) {
        let limits = LogLimits { records: 100_000, record_bytes: usize::MAX, window_bytes: 150, history_bytes: 0 };
        prop_assert_eq!(run(limits, steps)?, 0);
    }

    #[test]
    fn a_reader_is_exact_or_told(steps in prop::collection::vec(step(), 0..120)) {
        let limits = LogLimits { records: 5, record_bytes: 4000, window_bytes: 150, history_bytes: 0 };
        run(limits, steps)?;
    }
}

fn wide() -> LogLimits {
    LogLimits {
        records: 500,
        record_bytes: 1 << 20,
        window_bytes: 1 << 20,
        history_bytes: 1 << 20,
    }
}

#[test]
fn who_starts_a_run_gets_every_event_as_its_own_frame() {
    let log = empty(wide());
    let (span, cursor) = Cursor::begin(&log, RunId::new(), 0);
    let mut reader = Reader {
        cursor,
        frames: Frames::default(),
        lost: false,
        ended: false,
    };
    for text in ["a", "b", "c"] {
        log.append(&span, Incoming::Delta(Delta::Stream, text), Form::AsEmitted);
    }
    assert_eq!(reader.read(), Progress::CaughtUp);
    assert_eq!(reader.frames.count(), 4);
}

#[test]
fn what_a_finished_run_still_emits_changes_nothing() {
    let (log, span) = log(wide());
    log.finish(&span, [RunEvent::StreamStopped]);
    let last = log.last_seq();
    let late = Incoming::Delta(Delta::Stream, "late");
    assert_eq!(log.append(&span, late, Form::AsEmitted), Appended::Over);
    let next = begin(&log);
    assert_eq!(
        log.append(
            &span,
            Incoming::Delta(Delta::Stream, "late"),
            Form::AsEmitted
        ),
        Appended::Over
    );
    assert_eq!((next.start, log.last_seq()), (last + 1, last + 1));
}

#[test]
fn a_sealed_run_takes_only_its_end() {
    let (log, span) = log(wide());
    log.append(&span, Incoming::Delta(Delta::Stream, "a"), Form::AsEmitted);
    let closed = log.seal(&span);
    assert_eq!(closed.records.len(), 1);
    let late = Incoming::Delta(Delta::Stream, "b");
    assert_eq!(log.append(&span, late, Form::AsEmitted), Appended::Over);
    log.finish(&span, [RunEvent::StreamStopped]);
    assert_eq!(span.end(), 3);
}

#[test]
fn stream_start_outlives_what_is_evicted() {
    let limits = LogLimits {
        records: 3,
        ..wide()
    };
    let (log, span) = log(limits);
    for _ in 0..10 {
        log.append(
            &span,
            Incoming::Event(RunEvent::ThinkingEnd),
            Form::AsEmitted,
        );
    }
    let found = Cursor::attach(&log).unwrap();
    assert_eq!(found.start, r#"{"type":"stream_start"}"#);
    assert_eq!(found.replay.len(), 3);
}

#[test]
fn what_is_saved_is_bounded_and_says_so() {
    let limits = LogLimits {
        history_bytes: 20_000,
        ..wide()
    };
    let (log, span) = log(limits);
    for _ in 0..10_000 {
        log.append(
            &span,
            Incoming::Event(RunEvent::ThinkingEnd),
            Form::AsEmitted,
        );
    }
    let closed = log.take_unsaved();
    assert!(closed.cut);
    assert!(closed.records.len() < 1000);
    let count = closed.records.len();
    log.put_back(closed);
    assert_eq!(log.seal(&span).records.len(), count);
}

#[test]
fn text_that_comes_slowly_is_handed_out_for_saving_once() {
    let (log, span) = log(wide());
    let mut saved = Vec::new();
    let mut save = |records: Vec<Arc<Record>>| {
        let next = saved
            .last()
            .map_or(span.start + 1, |record: &Arc<Record>| record.seq + 1);
        assert!(records.iter().all(|record| record.seq_from >= next));
        saved.extend(records);
    };
    for text in ["a", "b", "c", "d"] {
        log.append(&span, Incoming::Delta(Delta::Stream, text), Form::AsEmitted);
        if text != "c" {
            save(log.take_unsaved().records);
            assert!(log.take_unsaved().records.is_empty());
        }
    }
    log.append(&span, Incoming::Delta(Delta::Stream, "e"), Form::AsEmitted);
    save(log.seal(&span).records);
    let texts = saved
        .iter()
        .filter_map(|record| Delta::of(&record.event))
        .map(|(_, text)| text);
    assert_eq!(texts.collect::<String>(), "abcde");
    // Who attaches still gets the text in one piece.
    assert_eq!(Cursor::attach(&log).unwrap().replay.len(), 1);
}

#[test]
fn what_is_put_back_is_handed_out_again_under_its_numbers() {
    let (log, span) = log(wide());
    let end = || Incoming::Event(RunEvent::ThinkingEnd);
    let delta = |text| Incoming::Delta(Delta::Stream, text);
    for event in [end(), delta("a")] {
        log.append(&span, event, Form::AsEmitted);
    }
    assert_eq!(log.take_unsaved().first, 0);
    for event in [delta("b"), end()] {
        log.append(&span, event, Form::AsEmitted);
    }
    let seqs = |closed: &Closed| {
        let own = closed.records.iter().map(|own| (own.seq_from, own.seq));
        (closed.first, own.collect::<Vec<_>>())
    };
    let failed = log.take_unsaved();
    let found = (2, vec![(4, 4), (5, 5)]);
    assert_eq!(seqs(&failed), found);
    log.append(&span, end(), Form::AsEmitted);
    log.put_back(failed);
    let again = log.seal(&span);
    assert_eq!(seqs(&again), (2, vec![(4, 4), (5, 5), (6, 6)]));

    // Too late for the run after it.
    log.finish(&span, [RunEvent::StreamStopped]);
    let next = begin(&log);
    log.put_back(again);
    let closed = log.seal(&next);
    assert_eq!(seqs(&closed), (0, vec![]));
}

#[test]
fn an_agent_is_slowed_by_the_furthest_watcher_alone() {
    let limits = LogLimits {
        window_bytes: 1000,
        ..wide()
    };
    let (log, span) = log(limits);
    let append =
        |text: &str| log.append(&span, Incoming::Delta(Delta::Stream, text), Form::AsEmitted);
    assert_eq!(
        append(&"x".repeat(5000)),
        Appended::Accepted,
        "nobody watches"
    );
    let mut fast = Reader::attach(&log).unwrap();
    let slow = Reader::attach(&log).unwrap();
    assert_eq!(append(&"x".repeat(600)), Appended::Slow);
    while fast.read() == Progress::More {}
    assert_eq!(append("x"), Appended::Accepted);
    drop(fast);
    assert_eq!(
        append("x"),
        Appended::Slow,
        "the one that is left is behind"
    );
    drop(slow);
    assert_eq!(append(&"x".repeat(5000)), Appended::Accepted);
}
