//! Version 2's promise as a property: whatever runs emit, whenever connections are cut, resumed or slow, and whatever
//! is evicted meanwhile, a client's events add up to what was emitted from where it began, or it was told that they
//! do not (`recovered` was not true). `examples`: single cases of it.

mod examples;

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::{EventLog, LogLimits, RunSpan};
use crate::protocol::hello::{Asked, Mode};
use crate::protocol::{RunEvent, StreamEnd};
use crate::run::budget::LogBudget;
use crate::run::cursor::{Cursor, Progress, Resumed};
use crate::run::record::{Delta, Form, Incoming};
use crate::run::replay::Replay;
use crate::session::{Epoch, RunId, RunStatus};

#[derive(Clone, Debug)]
enum Step {
    Text(String),
    Thinking(String),
    Label,
    End(bool),
    Begin,
    Join,
    Read(usize),
    Cut(usize),
    Resume(usize),
    Trim,
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => "\\PC{0,6}".prop_map(Step::Text),
        3 => "\\PC{0,6}".prop_map(Step::Thinking),
        2 => Just(Step::Label),
        1 => any::<bool>().prop_map(Step::End),
        2 => Just(Step::Begin),
        1 => Just(Step::Join),
        4 => any::<usize>().prop_map(Step::Read),
        3 => any::<usize>().prop_map(Step::Cut),
        5 => any::<usize>().prop_map(Step::Resume),
        1 => Just(Step::Trim),
        1 => Just(Step::Forget),
    ]
}

/// A client: what it has since it last had to reload, and where it is.
struct Client {
    cursor: Option<Cursor>,
    frames: Vec<Value>,
    /// Position of the first event that it has.
    base: u64,
    /// Position of the last one.
    at: u64,
    told: usize,
}

impl Client {
    fn join(log: &Arc<EventLog>) -> Result<Self, TestCaseError> {
        let mut client = Self {
            cursor: None,
            frames: Vec::new(),
            base: 1,
            at: 0,
            told: 0,
        };
        client.connect(log, &Asked::Nothing)?;
        Ok(client)
    }

    fn connect(&mut self, log: &Arc<EventLog>, asked: &Asked) -> Result<(), TestCaseError> {
        let Resumed {
            kept,
            verdict,
            complete,
            replay,
            cursor,
            ..
        } = Cursor::resume(log, asked);
        let replay = messages(replay);
        if verdict.recovered {
            prop_assert_eq!((verdict.mode, verdict.reason), (Mode::Suffix, None));
            prop_assert_eq!(verdict.from_seq, self.at + 1);
        } else {
            self.told += 1;
            prop_assert_eq!(verdict.reason.is_none(), *asked == Asked::Nothing);
            // It reloads: all that it had is the history's now.
            self.frames.clear();
            self.base = verdict.from_seq;
            self.at = verdict.from_seq - 1;
        }
        if verdict.mode == Mode::None {
            prop_assert!(replay.is_empty());
            prop_assert_eq!(verdict.from_seq, kept.last_seq + 1);
        }
        if verdict.mode == Mode::Full {
            let first: Value = serde_json::from_slice(&replay[0].1).unwrap();
            prop_assert_eq!(&first["type"], "stream_start");
        }
        for (index, (seq, frame)) in replay.iter().enumerate() {
            if index == 1 && !complete {
                // The middle is gone, and it was told so.
                let next: Value = serde_json::from_slice(frame).unwrap();
                let next = next["seq_from"].as_u64().unwrap_or(*seq);
                prop_assert!(next > self.at + 1);
                self.frames.clear();
                self.base = next;
                self.at = next - 1;
            }
            self.take(*seq, frame)?;
        }
        prop_assert_eq!(self.at, kept.last_seq);
        self.cursor = Some(cursor);
        Ok(())
    }

    fn take(&mut self, seq: u64, frame: &[u8]) -> Result<(), TestCaseError> {
        let value: Value = serde_json::from_slice(frame).unwrap();
        prop_assert_eq!(&value["seq"], seq);
        let from = value["seq_from"].as_u64().unwrap_or(seq);
        prop_assert_eq!(from, self.at + 1, "a gap or a double");
        self.at = seq;
        self.frames.push(value);
        Ok(())
    }

    /// Reads once; a client that has fallen too far behind is cut.
    fn read(&mut self) -> Result<Progress, TestCaseError> {
        let Some(cursor) = &mut self.cursor else {
            return Ok(Progress::CaughtUp);
        };
        let mut got = Vec::new();
        let progress = cursor.read_each(|seq, frame| got.push((seq, frame.to_vec())));
        for (seq, frame) in got {
            self.take(seq, &frame)?;
        }
        if progress.is_err() {
            self.cursor = None;
        }
        Ok(progress.unwrap_or(Progress::CaughtUp))
    }

    fn resume(&mut self, log: &Arc<EventLog>) -> Result<(), TestCaseError> {
        self.cursor = None;
        let asked = Asked::After(log.epoch().clone(), self.at);
        self.connect(log, &asked)
    }
}

/// What a client shows: neighbouring deltas together, positions left out.
fn folded<'a>(frames: impl IntoIterator<Item = &'a Value>) -> Vec<Value> {
    let mut folded: Vec<Value> = Vec::new();
    for frame in frames {
        let mut frame = frame.clone();
        let fields = frame.as_object_mut().unwrap();
        fields.shift_remove("seq");
        fields.shift_remove("seq_from");
        match (folded.last_mut(), frame["delta"].as_str()) {
            (Some(last), Some(delta)) if last["type"] == frame["type"] => {
                last["delta"] = format!("{}{delta}", last["delta"].as_str().unwrap()).into();
            }
            _ => folded.push(frame),
        }
    }
    folded
}

struct Stage {
    log: Arc<EventLog>,
    span: Option<Arc<RunSpan>>,
    /// Reads all the time, so it is never folded: what was emitted.
    witness: Vec<Value>,
    witness_cursor: Cursor,
}

impl Stage {
    fn new(limits: LogLimits) -> Self {
        Self::with_budget(limits, usize::MAX)
    }

    fn with_budget(limits: LogLimits, bytes: usize) -> Self {
        let budget = Arc::new(LogBudget::new(bytes));
        let log = Arc::new(EventLog::new(limits, budget, Epoch::new("e"), 0));
        let witness_cursor = Cursor::resume(&log, &Asked::Nothing).cursor;
        Self {
            log,
            span: None,
            witness: Vec::new(),
            witness_cursor,
        }
    }

    fn emit(&mut self, event: Incoming<'_>) {
        if let Some(span) = &self.span {
            self.log.append(span, event, Form::AsEmitted);
        }
        self.note();
    }

    fn begin(&mut self) {
        if self.span.is_none() {
            self.span = Some(self.log.begin(RunId::new(), 7));
        }
        self.note();
    }

    fn end(&mut self, stopped: bool) {
        let end = |status| {
            RunEvent::StreamEnd(StreamEnd {
                content: String::new(),
                context_tokens: 0,
                max_context_tokens: 0,
                elapsed_seconds: 0.0,
                tool_call_count: 0,
                token_count: 0,
                status,
            })
        };
        if let Some(span) = self.span.take() {
            if stopped {
                let last = [RunEvent::StreamStopped, end(RunStatus::Stopped)];
                self.log.finish(&span, last);
            } else {
                self.log.finish(&span, [end(RunStatus::Completed)]);
            }
        }
        self.note();
    }

    fn note(&mut self) {
        let witness = &mut self.witness;
        let read = self
            .witness_cursor
            .read_each(|_, frame| witness.push(serde_json::from_slice(frame).unwrap()));
        assert!(read.is_ok());
    }
}

fn check(limits: LogLimits, steps: Vec<Step>) -> Result<usize, TestCaseError> {
    let mut stage = Stage::new(limits);
    stage.begin();
    let mut clients = vec![Client::join(&stage.log)?];
    for step in steps {
        let count = clients.len();
        match step {
            Step::Text(text) => stage.emit(Incoming::Delta(Delta::Stream, &text)),
            Step::Thinking(text) => stage.emit(Incoming::Delta(Delta::Thinking, &text)),
            Step::Label => stage.emit(Incoming::Event(RunEvent::ThinkingEnd)),
            Step::End(stopped) => stage.end(stopped),
            Step::Begin => stage.begin(),
            Step::Join => clients.push(Client::join(&stage.log)?),
            Step::Read(index) => _ = clients[index % count].read()?,
            Step::Cut(index) => clients[index % count].cursor = None,
            Step::Resume(index) => clients[index % count].resume(&stage.log)?,
            Step::Trim => stage.log.trim(),
            Step::Forget => _ = stage.log.forget(),
        }
    }
    let mut told = 0;
    for client in &mut clients {
        if client.cursor.is_none() {
            client.resume(&stage.log)?;
        }
        while client.read()? == Progress::More {}
        if client.cursor.is_none() {
            client.resume(&stage.log)?;
        }
        prop_assert_eq!(client.at, stage.log.last_seq());
        let expected = stage
            .witness
            .iter()
            .filter(|frame| frame["seq"].as_u64().unwrap() >= client.base);
        prop_assert_eq!(folded(&client.frames), folded(expected));
        told += client.told;
    }
    Ok(told)
}

/// What a replay holds, each message with its position.
fn messages(mut replay: Replay) -> Vec<(u64, Vec<u8>)> {
    let mut message = Vec::new();
    std::iter::from_fn(|| {
        let seq = replay.encode_next(&mut message)?;
        Some((seq, std::mem::take(&mut message)))
    })
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_a_client_has_adds_up_or_it_was_told(steps in prop::collection::vec(step(), 0..80)) {
        let limits = LogLimits { records: 6, record_bytes: 4000, window_bytes: 300, history_bytes: 0 };
        check(limits, steps)?;
    }

    #[test]
    fn with_room_for_everything_only_joining_is_no_recovery(
        steps in prop::collection::vec(step(), 0..80).prop_map(|mut steps| {
            steps.retain(|step| !matches!(step, Step::Forget | Step::Join));
            steps
        })
    ) {
        let limits = LogLimits { records: 100_000, record_bytes: usize::MAX, window_bytes: 300, history_bytes: 0 };
        prop_assert_eq!(check(limits, steps)?, 1);
    }
}
