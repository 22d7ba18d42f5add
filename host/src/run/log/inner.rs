//! What a log holds, under its lock.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Closed, LogLimits, RunSpan};
use crate::run::budget::{LogBudget, Share};
use crate::run::encode;
use crate::run::record::{Form, Incoming, Record};
use crate::run::window::Window;

#[derive(Debug)]
pub(in crate::run) struct Inner {
    pub(super) limits: LogLimits,
    pub(super) share: Share,
    pub(in crate::run) last_seq: u64,
    pub(super) span: Option<Arc<RunSpan>>,
    /// The run has ended but for its last frame.
    pub(super) sealed: bool,
    /// The current run's `stream_start` once everything else before the records was evicted.
    pub(in crate::run) pinned: Option<Arc<Record>>,
    pub(in crate::run) records: VecDeque<Arc<Record>>,
    pub(in crate::run) open: Option<Record>,
    pub(super) record_bytes: usize,
    pub(super) open_bytes: usize,
    pub(in crate::run) window: Window,
    /// The place of each live cursor, in the window's count of bytes pushed; `None` for a free slot.
    pub(super) readers: Vec<Option<Reader>>,
    pub(super) live: usize,
    /// The place of the reader that is furthest.
    pub(super) furthest: u64,
    pub(super) slow: bool,
    pub(super) unsaved: Unsaved,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    pub(super) next: u64,
    pub(super) place: u64,
}

/// Records on their way to the store.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    pub(super) records: Vec<Arc<Record>>,
    /// How many of the run's records were handed out before `records`, hence the number of the first of them.
    taken: u64,
    /// Bytes.
    pub(super) handed_out: usize,
    /// Up to which position the open record was handed out; 0 when it was not.
    pub(super) open_to: u64,
    pub(super) cut: bool,
}

impl Unsaved {
    /// What there is, with the number of its first.
    fn take(&mut self) -> (u64, Vec<Arc<Record>>) {
        let (first, records) = (self.taken, std::mem::take(&mut self.records));
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
        let mut window = Window::default();
        window.restart(last_seq + 1);
        Self {
            limits,
            share: Share::new(budget),
            last_seq,
            span: None,
            sealed: false,
            pinned: None,
            records: VecDeque::new(),
            open: None,
            record_bytes: 0,
            open_bytes: 0,
            window,
            readers: Vec::new(),
            live: 0,
            furthest: 0,
            slow: false,
            unsaved: Unsaved::default(),
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

    pub(super) fn is_slow(&self) -> bool {
        let behind = self.window.pushed() - self.furthest;
        self.live > 0 && behind > self.limits.window_bytes as u64 / 2
    }

    pub(super) fn push(&mut self, event: Incoming<'_>, form: Form) {
        self.last_seq += 1;
        let seq = self.last_seq;
        if self.live > 0 {
            self.encode(&event);
        }
        if let Incoming::Delta(kind, text) = &event
            && let Some(open) = &mut self.open
            && open.fold(seq, *kind, text, form)
        {
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

    pub(super) fn encode(&mut self, event: &Incoming<'_>) {
        self.window
            .push(self.limits.window_bytes, |out| match event {
                Incoming::Delta(kind, text) => encode::delta(*kind, text, out),
                Incoming::Event(event) => event.encode_v1(out),
            });
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

    /// Evicts the oldest records above the bounds; the current run's `stream_start` is set aside instead.
    pub(super) fn evict(&mut self) {
        let start = self.span.as_ref().map_or(0, |span| span.start);
        loop {
            let start_kept = self.pinned.is_none() && start > 0 && self.oldest() <= start;
            let count =
                self.records.len() + usize::from(self.open.is_some()) - usize::from(start_kept);
            if count <= self.limits.records
                && self.record_bytes + self.open_bytes <= self.limits.record_bytes
            {
                return;
            }
            if !self.evict_oldest(start) {
                return;
            }
        }
    }

    pub(super) fn oldest(&self) -> u64 {
        self.records
            .front()
            .map_or(self.last_seq, |record| record.seq_from)
    }

    pub(super) fn evict_oldest(&mut self, start: u64) -> bool {
        let Some(oldest) = self.records.pop_front() else {
            return false;
        };
        self.record_bytes -= oldest.size();
        if start > 0 && oldest.seq_from == start {
            self.pinned = Some(oldest);
        }
        true
    }

    /// Tells the budget; above it, this log gives up its oldest records at once.
    pub(super) fn settle(&mut self) {
        if self
            .share
            .set(self.record_bytes + self.open_bytes + self.window.bytes())
        {
            let start = self.span.as_ref().map_or(0, |span| span.start);
            let keep = self.record_bytes / 2;
            while self.record_bytes > keep && self.evict_oldest(start) {}
            self.share
                .set(self.record_bytes + self.open_bytes + self.window.bytes());
        }
    }
}
