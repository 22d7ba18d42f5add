//! What a log holds, under its lock.

use std::collections::VecDeque;
use std::sync::Arc;

use super::lane::Lane;
use super::{Closed, LogCounts, LogLimits, RunSpan};
use crate::protocol::Version;
use crate::run::budget::{LogBudget, Share};
use crate::run::encode;
use crate::run::record::{Form, Incoming, Record};

#[derive(Debug)]
pub(in crate::run) struct Inner {
    pub(super) limits: LogLimits,
    pub(super) share: Share,
    pub(in crate::run) last_seq: u64,
    pub(super) span: Option<Arc<RunSpan>>,
    /// The run has ended but for its last frame.
    pub(super) sealed: bool,
    /// Position of the latest run's `stream_start`, whether it is in progress or not; 0 when there is none.
    pub(super) latest: u64,
    /// The latest run's `stream_start` once it was evicted.
    pub(in crate::run) pinned: Option<Arc<Record>>,
    pub(in crate::run) records: VecDeque<Arc<Record>>,
    pub(in crate::run) open: Option<Record>,
    pub(super) record_bytes: usize,
    pub(super) open_bytes: usize,
    /// One for each version of the protocol.
    pub(in crate::run) lanes: [Lane; 2],
    pub(super) slow: bool,
    pub(super) unsaved: Unsaved,
    /// Deltas folded so far.
    pub(super) folds: u64,
    /// What was told of all that.
    pub(super) counted: LogCounts,
}

/// How many bytes a log collects for saving before it asks for that, rather than for the next second: what waits is in
/// memory, and all of it is written at once.
const MUCH: usize = 2 * 1024 * 1024;

/// Records on their way to the store.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    pub(super) records: Vec<Arc<Record>>,
    /// How many of the run's records were handed out before `records`, hence the number of the first of them.
    taken: u64,
    /// Bytes.
    pub(super) handed_out: usize,
    /// Bytes of `records`, but for what was put back.
    waiting: usize,
    /// Up to which position the open record was handed out; 0 when it was not.
    pub(super) open_to: u64,
    pub(super) cut: bool,
}

impl Unsaved {
    /// What there is, with the number of its first.
    fn take(&mut self) -> (u64, Vec<Arc<Record>>) {
        let (first, records) = (self.taken, std::mem::take(&mut self.records));
        self.waiting = 0;
        self.taken += records.len() as u64;
        (first, records)
    }

    /// Undoes the latest [`take`](Self::take).
    pub(super) fn put_back(&mut self, first: u64, mut records: Vec<Arc<Record>>) {
        debug_assert_eq!(first + records.len() as u64, self.taken);
        records.append(&mut self.records);
        self.records = records;
        self.taken = first;
    }
}

impl Inner {
    pub(super) fn new(limits: LogLimits, budget: Arc<LogBudget>, last_seq: u64) -> Self {
        Self {
            limits,
            share: Share::new(budget),
            last_seq,
            span: None,
            sealed: false,
            latest: 0,
            pinned: None,
            records: VecDeque::new(),
            open: None,
            record_bytes: 0,
            open_bytes: 0,
            lanes: [Lane::new(last_seq + 1), Lane::new(last_seq + 1)],
            slow: false,
            unsaved: Unsaved::default(),
            folds: 0,
            counted: LogCounts {
                events: last_seq,
                folds: 0,
            },
        }
    }

    pub(super) fn is_running(&self, span: &RunSpan) -> bool {
        self.span
            .as_ref()
            .is_some_and(|own| std::ptr::eq(Arc::as_ptr(own), span))
    }

    /// The run in progress.
    pub(in crate::run) fn span(&self) -> Option<&Arc<RunSpan>> {
        self.span.as_ref()
    }

    /// Whether somebody reads.
    pub(super) fn is_watched(&self) -> bool {
        self.lanes.iter().any(Lane::is_live)
    }

    /// Whether every live reader is half of the window behind. Not without one.
    pub(super) fn is_slow(&self) -> bool {
        let limit = self.limits.window_bytes;
        let [old, new] = &self.lanes;
        match (old.is_live(), new.is_live()) {
            (true, true) => old.is_behind(limit) && new.is_behind(limit),
            _ => old.is_behind(limit) || new.is_behind(limit),
        }
    }

    /// Bytes of the encoded frames that are kept.
    fn window_bytes(&self) -> usize {
        self.lanes.iter().map(|lane| lane.window.bytes()).sum()
    }

    /// Bytes that the log keeps.
    fn held(&self) -> usize {
        self.record_bytes + self.open_bytes + self.window_bytes()
    }

    pub(super) fn push(&mut self, event: Incoming<'_>, form: Form) {
        self.last_seq += 1;
        let seq = self.last_seq;
        self.encode(&event, seq);
        if let Incoming::Delta(kind, text) = &event
            && let Some(open) = &mut self.open
            && open.fold(seq, *kind, text, form)
        {
            self.folds += 1;
            self.open_bytes += text.len() + size_of::<u32>();
        } else {
            self.close_open();
            let record = Record::new(seq, event.into_event(), form);
            self.open_bytes = record.size();
            self.open = Some(record);
        }
        self.evict();
        self.settle();
    }

    fn encode(&mut self, event: &Incoming<'_>, seq: u64) {
        for version in Version::ALL {
            let lane = &mut self.lanes[version.index()];
            if lane.is_live() {
                lane.window.push(self.limits.window_bytes, |out| {
                    encode::incoming(event, version, seq, out);
                });
            }
        }
    }

    /// Takes a record that was stored, in order, as a closed one. A `stream_start` with a gap behind it is set aside, as
    /// if what followed had been evicted: the records themselves have no gaps.
    pub(super) fn restore(&mut self, record: Arc<Record>) {
        if let Some(last) = self.records.back()
            && last.seq + 1 != record.seq_from
        {
            self.pinned = self.records.pop_front();
            self.records.clear();
            self.record_bytes = 0;
        }
        self.record_bytes += record.size();
        self.records.push_back(record);
    }

    /// Moves the open record to the closed ones.
    pub(super) fn close_open(&mut self) {
        if let Some(record) = self.open.take() {
            let record = Arc::new(record);
            self.record_bytes += record.size();
            self.open_bytes = 0;
            let saved = std::mem::take(&mut self.unsaved.open_to);
            if self.span.is_some() {
                self.push_after(saved, &record);
            }
            self.records.push_back(record);
        }
    }

    /// Keeps what of `record` lies after position `saved` for saving.
    fn push_after(&mut self, saved: u64, record: &Arc<Record>) {
        if saved < record.seq_from {
            self.unsaved_push(Arc::clone(record));
        } else if let Some(rest) = record.after(saved) {
            self.unsaved_push(Arc::new(rest));
        }
    }

    pub(super) fn unsaved_push(&mut self, record: Arc<Record>) {
        if self.unsaved.cut {
            return;
        }
        let size = record.size();
        if self.unsaved.handed_out + size > self.limits.history_bytes {
            self.unsaved.cut = true;
            return;
        }
        self.unsaved.handed_out += size;
        self.unsaved.records.push(record);
        let waited = self.unsaved.waiting;
        self.unsaved.waiting += size;
        if waited < MUCH && self.unsaved.waiting >= MUCH {
            self.share.call();
        }
    }

    /// What is to be saved since the last time, the open record as far as it is.
    pub(super) fn take_unsaved(&mut self) -> Closed {
        if self.span.is_some()
            && let Some(open) = &self.open
            && open.seq > self.unsaved.open_to
        {
            let (saved, open) = (self.unsaved.open_to, Arc::new(open.clone()));
            self.unsaved.open_to = open.seq;
            self.push_after(saved, &open);
        }
        let (first, records) = self.unsaved.take();
        Closed {
            span: self.span.clone(),
            first,
            records,
            cut: self.unsaved.cut,
        }
    }

    /// Evicts the oldest records above the bounds; the latest run's `stream_start` is set aside instead.
    pub(super) fn evict(&mut self) {
        let start = self.latest;
        loop {
            let start_kept = self.pinned.is_none() && start > 0 && self.oldest() <= start;
            let count =
                self.records.len() + usize::from(self.open.is_some()) - usize::from(start_kept);
            if count <= self.limits.records
                && self.record_bytes + self.open_bytes <= self.limits.record_bytes
            {
                return;
            }
            if !self.evict_oldest() {
                return;
            }
        }
    }

    pub(super) fn oldest(&self) -> u64 {
        self.records
            .front()
            .map_or(self.last_seq, |record| record.seq_from)
    }

    fn evict_oldest(&mut self) -> bool {
        let Some(oldest) = self.records.pop_front() else {
            return false;
        };
        self.record_bytes -= oldest.size();
        if self.latest > 0 && oldest.seq_from == self.latest {
            self.pinned = Some(oldest);
        }
        true
    }

    /// Tells the budget; above it, this log gives up its oldest records at once.
    pub(super) fn settle(&mut self) {
        if self.share.set(self.held()) {
            let keep = self.record_bytes / 2;
            while self.record_bytes > keep && self.evict_oldest() {}
            self.share.set(self.held());
        }
    }

    /// Gives up all records.
    pub(super) fn forget(&mut self) {
        self.close_open();
        self.records = VecDeque::new();
        self.record_bytes = 0;
        self.pinned = None;
        self.latest = 0;
        self.settle();
    }

    /// From here on every event is there; one more than the last one's position when none is.
    pub(super) fn first_seq(&self) -> u64 {
        let first = self.records.front().map(|record| record.seq_from);
        let first = first
            .or(self.open.as_ref().map(|open| open.seq_from))
            .unwrap_or(self.last_seq + 1);
        match &self.pinned {
            Some(pinned) if pinned.seq + 1 == first => pinned.seq_from,
            _ => first,
        }
    }

    /// Position of the latest run's `stream_start`, if it is there.
    pub(super) fn latest_from(&self) -> Option<u64> {
        (self.latest > 0 && (self.pinned.is_some() || self.first_seq() <= self.latest))
            .then_some(self.latest)
    }
}
