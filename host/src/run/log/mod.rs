//! The event log of a session: one place that runs append to and any number of cursors read from.
//!
//! It has two parts. The *records* are typed events, adjacent deltas folded, bounded in number and bytes: they
//! serve whoever attaches, resumes or has fallen behind. The *window* holds the frames of the latest events as they
//! go over the wire, encoded once for each version of the protocol, and only while somebody watches who speaks it. No subscriber has a queue of its own, so one
//! that reads slowly costs nothing and holds nobody up.
//!
//! The log takes events of one run at a time, named by a [`RunSpan`]: what a finished run still emits finds
//! its span closed and changes nothing.

mod inner;
mod lane;
mod restore;
#[cfg(test)]
mod resume_tests;
mod sampling;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wake_tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

pub(super) use self::inner::Inner;
use self::inner::Unsaved;
pub use self::restore::RestoredRun;
use self::sampling::Sampling;
use super::budget::LogBudget;
use super::record::{Form, Incoming, Record};
use crate::protocol::hello::Kept;
use crate::protocol::{RunEvent, Version};
use crate::session::{Epoch, RunId};

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
    /// The run.
    pub run_id: RunId,
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
    epoch: Epoch,
    inner: Mutex<Inner>,
    last_seq: AtomicU64,
    paced: Notify,
    sampling: Sampling,
}

/// What a log has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// Events.
    pub events: u64,
    /// Those of them that were folded into the record before them.
    pub folds: u64,
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
    /// An empty log that goes on after position `last_seq` of the numbering `epoch`.
    pub fn new(limits: LogLimits, budget: Arc<LogBudget>, epoch: Epoch, last_seq: u64) -> Self {
        Self {
            epoch,
            inner: Mutex::new(Inner::new(limits, budget, last_seq)),
            last_seq: AtomicU64::new(last_seq),
            paced: Notify::new(),
            sampling: Sampling::new(),
        }
    }

    /// A panic while the lock was held leaves at worst one event half noted; going on beats taking every
    /// session of the host down with it.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbering that it counts in.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// What of the session's events is there.
    pub(super) fn kept(&self, inner: &Inner) -> Kept {
        Kept {
            epoch: self.epoch.clone(),
            first_seq: inner.first_seq(),
            last_seq: inner.last_seq,
            running_from: inner.span().map(|span| span.start),
            latest_from: inner.latest_from(),
        }
    }

    /// Position of the latest event; 0 when there is none.
    pub fn last_seq(&self) -> u64 {
        self.last_seq.load(Ordering::Acquire)
    }

    /// Waits until the furthest reader has caught up after [`Appended::Slow`]. Cancel safe; it may return
    /// without need.
    pub async fn paced(&self) {
        self.paced.notified().await;
    }

    /// Whether somebody reads.
    pub fn is_watched(&self) -> bool {
        self.lock().is_watched()
    }

    /// Begins the run `run_id` with its `stream_start`. The run before it must have ended.
    pub fn begin(&self, run_id: RunId, ts: u64) -> Arc<RunSpan> {
        let mut inner = self.lock();
        inner.pinned = None;
        inner.latest = inner.last_seq + 1;
        inner.sealed = false;
        inner.unsaved = Unsaved::default();
        let span = Arc::new(RunSpan {
            run_id,
            start: inner.last_seq + 1,
            end: AtomicU64::new(u64::MAX),
        });
        // Closed before the run counts as begun: the store has the run's start already.
        let start = RunEvent::StreamStart { run_id, ts };
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
        self.sampling.appended(inner.last_seq);
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
        self.last_seq.store(inner.last_seq, Ordering::Release);
        // Whatever they wait for: that the run is over is what some of them do.
        Self::wake(inner, u64::MAX);
    }

    /// Ends the run in progress, whichever it is, with `last`.
    pub fn break_off(&self, last: impl IntoIterator<Item = RunEvent>) {
        let span = self.lock().span.clone();
        if let Some(span) = span {
            self.finish(&span, last);
        }
    }

    /// Gives up all events, if no run is in progress and every reader has read them. Answers whether it did.
    pub fn forget(&self) -> bool {
        let mut inner = self.lock();
        let next = inner.last_seq + 1;
        let done = inner.span.is_none() && inner.lanes.iter().all(|lane| lane.is_read_up(next));
        if done {
            for lane in &mut inner.lanes {
                lane.trim(next);
            }
            inner.forget();
        }
        done
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
        for lane in &mut inner.lanes {
            lane.trim(next);
        }
        inner.settle();
    }

    /// What came since the last call.
    pub fn take_counts(&self) -> LogCounts {
        let mut inner = self.lock();
        let now = LogCounts {
            events: inner.last_seq,
            folds: inner.folds,
        };
        let before = std::mem::replace(&mut inner.counted, now);
        LogCounts {
            events: now.events - before.events,
            folds: now.folds - before.folds,
        }
    }

    /// By how many events its furthest reader is behind, and how many read from the records because of that.
    pub fn lag(&self) -> (u64, usize) {
        let inner = self.lock();
        let lags = inner.lanes.iter().map(|lane| lane.lag(inner.last_seq));
        lags.fold((0, 0), |(most, lagging), (its, those)| {
            (most.max(its), lagging + those)
        })
    }

    /// A reader has written the events from `from` up to `next`; answers how long a sampled one of them took.
    pub(super) fn written(&self, from: u64, next: u64, now: Instant) -> Option<Duration> {
        self.sampling.written(from, next, now)
    }

    #[inline]
    fn publish(&self, inner: MutexGuard<'_, Inner>) {
        self.last_seq.store(inner.last_seq, Ordering::Release);
        let last = inner.last_seq;
        if inner.lanes.iter().any(|lane| lane.is_awaited(last)) {
            Self::wake(inner, last);
        }
    }

    /// Wakes whoever waits for the event at position `last` or one before it, once the lock is given back.
    fn wake(mut inner: MutexGuard<'_, Inner>, last: u64) {
        let (mut one, mut others) = (None, Vec::new());
        for lane in &mut inner.lanes {
            lane.take_waiting(last, |waker| match one {
                None => one = Some(waker),
                Some(_) => others.push(waker),
            });
        }
        drop(inner);
        one.into_iter().chain(others).for_each(Waker::wake);
    }

    /// Has a reader woken by the event at position `want`; false when it is there already.
    pub(super) fn wait(&self, version: Version, slot: usize, want: u64, waker: &Waker) -> bool {
        let mut inner = self.lock();
        let must_wait = inner.last_seq < want;
        if must_wait {
            inner.lanes[version.index()].wait(slot, want, waker);
        }
        must_wait
    }

    pub(super) fn moved(
        &self,
        inner: &mut Inner,
        version: Version,
        slot: usize,
        next: u64,
        place: u64,
    ) {
        inner.lanes[version.index()].moved(slot, next, place);
        self.release(inner);
    }

    pub(super) fn leave(&self, version: Version, slot: usize) {
        let mut inner = self.lock();
        let following = inner.last_seq + 1;
        inner.lanes[version.index()].leave(slot, following);
        inner.settle();
        self.release(&mut inner);
    }

    fn release(&self, inner: &mut Inner) {
        if inner.slow && !inner.is_slow() {
            inner.slow = false;
            self.paced.notify_one();
        }
    }
}
