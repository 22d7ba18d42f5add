//! The event log of a session: one place that runs append to and any number of cursors read from.
//!
//! It has two parts. The *records* are typed events, adjacent deltas folded, bounded in number and bytes: they
//! serve whoever attaches or has fallen behind. The *window* holds the frames of the latest events as they go
//! over the wire, encoded once, and only while somebody watches. No subscriber has a queue of its own, so one
//! that reads slowly costs nothing and holds nobody up.
//!
//! The log takes events of one run at a time, named by a [`RunSpan`]: what a finished run still emits finds
//! its span closed and changes nothing.

mod inner;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

pub(super) use self::inner::Inner;
use self::inner::{Reader, Unsaved};
use super::budget::LogBudget;
use super::record::{Form, Incoming, Record};
use crate::protocol::RunEvent;

/// Bounds of one log.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// Records kept, the current run's `stream_start` apart.
    pub records: usize,
    /// Bytes of records kept.
    pub record_bytes: usize,
    /// Bytes of encoded frames kept for live cursors.
    pub window_bytes: usize,
    /// Bytes of a run's records that are handed out for saving.
    pub history_bytes: usize,
}

/// The positions of one run in its session's log.
#[derive(Debug)]
pub struct RunSpan {
    /// Position of its `stream_start`.
    pub start: u64,
    end: AtomicU64,
}

impl RunSpan {
    /// Position of its last frame; `u64::MAX` while it runs.
    pub fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It has its position.
    Accepted,
    /// Likewise, and every live watcher is half of the window behind: whoever emits should wait for
    /// [`EventLog::paced`].
    Slow,
    /// The run is over; nothing was changed.
    Over,
}

/// See the module.
#[derive(Debug)]
pub struct EventLog {
    inner: Mutex<Inner>,
    last_seq: AtomicU64,
    wake: Notify,
    paced: Notify,
}

/// What a run has to save.
#[derive(Debug, Default)]
pub struct Closed {
    /// The run whose they are; None when there is none.
    span: Option<Arc<RunSpan>>,
    /// The number of the first of `records`: how many of the run were handed out before.
    pub first: u64,
    /// Records that will not change any more, oldest first.
    pub records: Vec<Arc<Record>>,
    /// Whether some were left out because the turn is over `history_bytes`.
    pub cut: bool,
}

impl EventLog {
    /// An empty log that goes on after position `last_seq`.
    pub fn new(limits: LogLimits, budget: Arc<LogBudget>, last_seq: u64) -> Self {
        Self {
            inner: Mutex::new(Inner::new(limits, budget, last_seq)),
            last_seq: AtomicU64::new(last_seq),
            wake: Notify::new(),
            paced: Notify::new(),
        }
    }

    /// A panic while the lock was held leaves at worst one event half noted; going on beats taking every
    /// session of the host down with it.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Position of the latest event; 0 when there is none.
    pub fn last_seq(&self) -> u64 {
        self.last_seq.load(Ordering::Acquire)
    }

    pub(super) fn appended(&self) -> Notified<'_> {
        self.wake.notified()
    }

    /// Waits until the furthest reader has caught up after [`Appended::Slow`]. Cancel safe; it may return
    /// without need.
    pub async fn paced(&self) {
        self.paced.notified().await;
    }

    /// Whether somebody reads.
    pub fn is_watched(&self) -> bool {
        self.lock().live > 0
    }

    /// Begins a run with its `stream_start`. The run before it must have ended.
    pub fn begin(&self, start: RunEvent) -> Arc<RunSpan> {
        let mut inner = self.lock();
        inner.pinned = None;
        inner.sealed = false;
        inner.unsaved = Unsaved::default();
        let span = Arc::new(RunSpan {
            start: inner.last_seq + 1,
            end: AtomicU64::new(u64::MAX),
        });
        // Closed before the run counts as begun: the store has the run's start already.
        inner.push(Incoming::Event(start), Form::AsEmitted);
        inner.close_open();
        inner.span = Some(Arc::clone(&span));
        self.publish(inner);
        span
    }

    /// Appends an event of the run that is `span`.
    pub fn append(&self, span: &RunSpan, event: Incoming<'_>, form: Form) -> Appended {
        let mut inner = self.lock();
        if !inner.is_running(span) || inner.sealed {
            return Appended::Over;
        }
        inner.push(event, form);
        let slow = inner.is_slow();
        inner.slow = slow;
        self.publish(inner);
        if slow {
            Appended::Slow
        } else {
            Appended::Accepted
        }
    }

    /// Ends the run that is `span` with its last events, sealed or not.
    pub fn finish(&self, span: &RunSpan, last: impl IntoIterator<Item = RunEvent>) {
        let mut inner = self.lock();
        if !inner.is_running(span) {
            return;
        }
        inner.close_open();
        for event in last {
            inner.push(Incoming::Event(event), Form::AsEmitted);
        }
        inner.span = None;
        inner.close_open();
        inner.unsaved = Unsaved::default();
        span.end.store(inner.last_seq, Ordering::Release);
        self.publish(inner);
    }

    /// Ends the run in progress, whichever it is, with `last`.
    pub fn break_off(&self, last: RunEvent) {
        let span = self.lock().span.clone();
        if let Some(span) = span {
            self.finish(&span, [last]);
        }
    }

    /// From now on the run emits nothing; its last events may still come with [`EventLog::finish`]. Answers
    /// what is left to save.
    pub fn seal(&self, span: &RunSpan) -> Closed {
        let mut inner = self.lock();
        if inner.is_running(span) {
            inner.close_open();
            inner.sealed = true;
        }
        inner.take_unsaved()
    }

    /// What came since the last call and is to be saved. A record that is still open is answered as far as it
    /// is, and what is folded into it later by a later call: text that comes slowly is not kept waiting.
    pub fn take_unsaved(&self) -> Closed {
        self.lock().take_unsaved()
    }

    /// Hands back what the latest `take_unsaved` answered, because it could not be saved or nobody knows whether
    /// it was; the next call answers it first, under the same numbers. Dropped when its run is over.
    pub fn put_back(&self, closed: Closed) {
        let mut inner = self.lock();
        if closed.span.is_some_and(|span| inner.is_running(&span)) {
            inner.unsaved.put_back(closed.first, closed.records);
        }
    }

    /// Keeps records for saving that clients never see: what an agent emitted and a mapper changed.
    pub fn keep_unsent(&self, span: &RunSpan, record: Record) {
        let mut inner = self.lock();
        if inner.is_running(span) && !inner.sealed {
            inner.close_open();
            inner.unsaved_push(Arc::new(record));
        }
    }

    /// Drops frames that every reader has read.
    pub fn trim(&self) {
        let mut inner = self.lock();
        let next = inner.last_seq + 1;
        let least = inner
            .readers
            .iter()
            .flatten()
            .map(|reader| reader.next)
            .min()
            .unwrap_or(next);
        inner.window.trim(least);
        inner.settle();
    }

    fn publish(&self, inner: MutexGuard<'_, Inner>) {
        self.last_seq.store(inner.last_seq, Ordering::Release);
        drop(inner);
        self.wake.notify_waiters();
    }

    /// Registers a reader whose next event is `next`; frames are encoded from now on.
    pub(super) fn join(&self, inner: &mut Inner, next: u64) -> usize {
        if inner.live == 0 {
            let following = inner.last_seq + 1;
            inner.window.restart(following);
            inner.furthest = inner.window.pushed();
        }
        inner.live += 1;
        let reader = Some(Reader {
            next,
            place: inner.window.pushed(),
        });
        inner.furthest = inner.furthest.max(inner.window.pushed());
        match inner.readers.iter().position(Option::is_none) {
            Some(slot) => {
                inner.readers[slot] = reader;
                slot
            }
            None => {
                inner.readers.push(reader);
                inner.readers.len() - 1
            }
        }
    }

    pub(super) fn moved(&self, inner: &mut Inner, slot: usize, next: u64, place: u64) {
        if let Some(reader) = inner.readers.get_mut(slot) {
            *reader = Some(Reader { next, place });
        }
        inner.furthest = inner.furthest.max(place);
        self.release(inner);
    }

    pub(super) fn leave(&self, slot: usize) {
        let mut inner = self.lock();
        if let Some(reader) = inner.readers.get_mut(slot) {
            *reader = None;
        }
        inner.live -= 1;
        if inner.live == 0 {
            let next = inner.last_seq + 1;
            inner.window.restart(next);
            inner.readers = Vec::new();
            inner.settle();
        }
        inner.furthest = inner
            .readers
            .iter()
            .flatten()
            .map(|reader| reader.place)
            .max()
            .unwrap_or(inner.window.pushed());
        self.release(&mut inner);
    }

    fn release(&self, inner: &mut Inner) {
        if inner.slow && !inner.is_slow() {
            inner.slow = false;
            self.paced.notify_one();
        }
    }
}
