//! Where a client goes on, case by case, in what was kept and in what was read back.

use std::sync::Arc;

use super::{Stage, messages};
use crate::protocol::hello::{Asked, Mode, Reason};
use crate::run::budget::LogBudget;
use crate::run::cursor::{Cursor, Resumed};
use crate::run::log::{EventLog, LogLimits, RestoredRun};
use crate::run::record::{Delta, Incoming};
use crate::session::{Epoch, RunId, RunStatus, StoredRun, TurnRecord};

fn stage(texts: &[&str]) -> Stage {
    let limits = LogLimits {
        records: 500,
        record_bytes: 1 << 20,
        window_bytes: 1 << 20,
        history_bytes: 0,
    };
    let mut stage = Stage::new(limits);
    stage.begin();
    for text in texts {
        stage.emit(Incoming::Delta(Delta::Stream, text));
    }
    stage
}

fn frames(resumed: Resumed) -> Vec<String> {
    let messages = messages(resumed.replay).into_iter();
    messages
        .map(|(_, message)| String::from_utf8(message).unwrap())
        .collect()
}

#[test]
fn a_suffix_is_cut_inside_a_folded_record() {
    let stage = stage(&["a", "b", "c", "d"]);
    let resumed = Cursor::resume(&stage.log, &Asked::After(Epoch::new("e"), 3));
    assert_eq!(
        frames(resumed),
        [r#"{"type":"stream_delta","delta":"cd","seq_from":4,"seq":5}"#]
    );
    let resumed = Cursor::resume(&stage.log, &Asked::After(Epoch::new("e"), 4));
    assert_eq!(
        frames(resumed),
        [r#"{"type":"stream_delta","delta":"d","seq":5}"#]
    );
    let resumed = Cursor::resume(&stage.log, &Asked::After(Epoch::new("e"), 5));
    assert!(resumed.verdict.recovered && resumed.replay.is_empty());
}

#[test]
fn a_cursor_that_cannot_be_used_is_told_why_and_gets_the_latest_run() {
    let mut stage = stage(&["a"]);
    stage.end(true);
    for (asked, reason) in [
        (Asked::After(Epoch::new("other"), 1), Reason::EpochChanged),
        (Asked::Malformed, Reason::EpochChanged),
        (Asked::After(Epoch::new("e"), 99), Reason::CursorAhead),
    ] {
        let resumed = Cursor::resume(&stage.log, &asked);
        assert_eq!(resumed.verdict.reason, Some(reason));
        assert_eq!((resumed.verdict.mode, resumed.complete), (Mode::Full, true));
        assert_eq!(resumed.replay.len(), 4, "start, text, two ends");
    }
    let nothing = Cursor::resume(&stage.log, &Asked::Nothing);
    assert_eq!(nothing.verdict.mode, Mode::None);
    stage.log.forget();
    let trimmed = Cursor::resume(&stage.log, &Asked::After(Epoch::new("e"), 1));
    assert_eq!(trimmed.verdict.reason, Some(Reason::Trimmed));
    assert_eq!(trimmed.verdict.mode, Mode::None);
}

#[test]
fn a_run_of_which_only_the_start_is_left_is_not_complete() {
    let limits = LogLimits {
        records: 500,
        record_bytes: usize::MAX,
        window_bytes: 1 << 20,
        history_bytes: 0,
    };
    let mut stage = Stage::with_budget(limits, 100_000);
    stage.begin();
    // Over the budget, which gives up all that it can once the event was sent.
    stage.emit(Incoming::Delta(Delta::Stream, &"x".repeat(200_000)));
    stage.end(false);
    stage.log.trim();
    let resumed = Cursor::resume(&stage.log, &Asked::Malformed);
    assert_eq!(resumed.verdict.mode, Mode::Full);
    assert!(!resumed.complete);
    assert!(frames(resumed)[0].contains("stream_start"));
}

fn stored(records: Vec<TurnRecord>, last_seq: u64) -> StoredRun {
    StoredRun {
        run: RunId::new(),
        status: RunStatus::Stopped,
        started_at_ms: 7,
        ended_at_ms: Some(8),
        first_seq: 1,
        last_seq,
        content: String::new(),
        outcome: None,
        failure: None,
        records,
    }
}

fn delta(seq_from: u64, parts: &[&str]) -> TurnRecord {
    let mut end = 0;
    let bounds = parts.iter().map(|part| {
        end += u32::try_from(part.len()).unwrap();
        end
    });
    let bounds: Vec<u32> = bounds.collect();
    TurnRecord {
        seq_from,
        seq: seq_from + parts.len() as u64 - 1,
        kind: "stream_delta".into(),
        json: serde_json::json!({"type": "stream_delta", "delta": parts.concat()}).to_string(),
        bounds: (parts.len() > 1).then_some(bounds),
    }
}

fn restored(run: &StoredRun) -> Arc<EventLog> {
    let limits = LogLimits {
        records: 500,
        record_bytes: 1 << 20,
        window_bytes: 1 << 20,
        history_bytes: 0,
    };
    let budget = Arc::new(LogBudget::new(usize::MAX));
    let log = EventLog::new(limits, budget, Epoch::new("e"), run.last_seq);
    assert!(log.restore(&RestoredRun::of(run)));
    Arc::new(log)
}

#[test]
fn a_restored_run_is_resumed_like_one_that_was_kept() {
    let run = stored(vec![delta(2, &["a", "b"]), delta(4, &["c"])], 6);
    let log = restored(&run);
    let resumed = Cursor::resume(&log, &Asked::After(Epoch::new("e"), 2));
    assert!(resumed.verdict.recovered);
    let frames = frames(resumed);
    assert_eq!(frames.len(), 4, "{frames:?}");
    assert_eq!(frames[0], r#"{"type":"stream_delta","delta":"b","seq":3}"#);
    assert_eq!(frames[2], r#"{"type":"stream_stopped","seq":5}"#);
}

#[test]
fn a_gap_in_what_was_stored_is_told() {
    let parts = |from| delta(from, &["x"]);
    for (records, first) in [
        // The rest was cut off for size.
        (vec![parts(2), parts(3)], 8),
        // The oldest were left out, or one in the middle.
        (vec![parts(5), parts(6), parts(7)], 5),
        (vec![parts(2), parts(3), parts(5), parts(6), parts(7)], 5),
        (Vec::new(), 8),
    ] {
        let log = restored(&stored(records, 9));
        let asked = Asked::After(Epoch::new("e"), 2);
        let resumed = Cursor::resume(&log, &asked);
        assert_eq!(resumed.kept.first_seq, first);
        assert_eq!(resumed.verdict.reason, Some(Reason::Trimmed));
        assert_eq!(
            (resumed.verdict.mode, resumed.complete),
            (Mode::Full, false)
        );
        let frames = frames(resumed);
        assert!(frames[0].contains("stream_start") && !frames[1].contains("stream_start"));
        // What is behind the gap is exact.
        let resumed = Cursor::resume(&log, &Asked::After(Epoch::new("e"), first - 1));
        assert!(resumed.verdict.recovered);
    }
}

#[test]
fn a_run_is_not_restored_twice_nor_where_it_does_not_belong() {
    let run = stored(vec![delta(2, &["a"])], 4);
    let log = restored(&run);
    assert!(!log.restore(&RestoredRun::of(&run)));
    log.begin(RunId::new(), 0);
    assert!(!log.restore(&RestoredRun::of(&run)));
}
