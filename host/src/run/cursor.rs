//! A reader's place in an event log. Attaching is reading from an earlier place, so replay and live are one
//! mechanism, and no event can fall between them or come twice.

use std::sync::Arc;

use bytes::Bytes;

use super::encode;
use super::log::{EventLog, Inner, RunSpan};
use super::record::Record;
use crate::protocol::RunEvent;

/// How much one [`Cursor::read`] takes at the most, in bytes: enough to fill a write, little enough that a
/// reader does not hold the log's lock for long.
const READ_BYTES: usize = 64 * 1024;

/// How many records a lagging reader takes at once.
const READ_RECORDS: usize = 64;

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to read at once.
    More,
    /// All was read; wait for [`Cursor::ready`].
    CaughtUp,
    /// The run's last frame was read; nothing more will come.
    Ended,
}

/// The cursor fell so far behind that a record it had not read was evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {next} was evicted before it was read")]
pub struct Trimmed {
    /// The position that is gone.
    pub next: u64,
}

/// A place in one run of a log. While it exists, new events are encoded into the log's window.
#[derive(Debug)]
pub struct Cursor {
    log: Arc<EventLog>,
    span: Arc<RunSpan>,
    next: u64,
    place: u64,
    slot: usize,
}

/// What an attach to a run in progress finds.
#[derive(Debug)]
pub struct Attachment {
    /// The frame of its `stream_start`.
    pub start: Bytes,
    /// The frames of what came since, deltas folded.
    pub replay: Vec<Bytes>,
    /// Reads on from there.
    pub cursor: Cursor,
}

impl Cursor {
    /// Begins a run with its `stream_start`, and a cursor that reads it from there on. The cursor is there first,
    /// so that the run's frames are encoded for it from the very first one.
    ///
    /// The run before must have ended, and no other may begin at the same time.
    pub fn begin(log: &Arc<EventLog>, start: RunEvent) -> (Arc<RunSpan>, Self) {
        let (slot, next, place) = {
            let mut inner = log.lock();
            let next = inner.last_seq + 1;
            (log.join(&mut inner, next), next, inner.window.pushed())
        };
        let span = log.begin(start);
        let cursor = Self {
            log: Arc::clone(log),
            span: Arc::clone(&span),
            next,
            place,
            slot,
        };
        (span, cursor)
    }

    /// Attaches to the run in progress; `None` when there is none.
    pub fn attach(log: &Arc<EventLog>) -> Option<Attachment> {
        let (records, cursor) = {
            let mut inner = log.lock();
            let span = Arc::clone(inner.span()?);
            let records: Vec<_> = inner.since(span.start, usize::MAX);
            let next = inner.last_seq + 1;
            (records, Self::join(log, &mut inner, &span, next))
        };
        let mut frames = records.iter().map(|record| encode::event(&record.event));
        let start = frames.next()?;
        Some(Attachment {
            start,
            replay: frames.collect(),
            cursor,
        })
    }

    fn join(log: &Arc<EventLog>, inner: &mut Inner, span: &Arc<RunSpan>, next: u64) -> Self {
        let slot = log.join(inner, next);
        Self {
            log: Arc::clone(log),
            span: Arc::clone(span),
            next,
            place: inner.window.pushed(),
            slot,
        }
    }

    /// Appends the frames that are ready to `out`: shared ones where the window has them, folded ones
    /// otherwise.
    ///
    /// # Errors
    ///
    /// [`Trimmed`] when the next event is gone; the reader must be told, for it has a gap.
    pub fn read(&mut self, out: &mut Vec<Bytes>) -> Result<Progress, Trimmed> {
        let log = Arc::clone(&self.log);
        let mut inner = log.lock();
        let end = self.span.end();
        if self.next > end {
            return Ok(Progress::Ended);
        }
        let last = inner.last_seq.min(end);
        if self.next > last {
            return Ok(Progress::CaughtUp);
        }
        let mut behind = Vec::new();
        if let Some(frames) = inner.window.from(self.next) {
            let mut bytes = 0;
            for frame in frames.take(usize::try_from(last - self.next + 1).unwrap_or(usize::MAX)) {
                bytes += frame.len();
                self.next += 1;
                out.push(frame.clone());
                if bytes >= READ_BYTES {
                    break;
                }
            }
            self.place += bytes as u64;
        } else {
            behind = inner.since(self.next, READ_RECORDS);
            if behind
                .first()
                .is_none_or(|record| record.seq_from > self.next)
            {
                return Err(Trimmed { next: self.next });
            }
            // Records after the run's end belong to the next run; after a gap comes what the next read
            // reports as trimmed.
            let mut follows = self.next;
            behind.retain(|record| {
                let keep = record.seq_from <= follows && record.seq_from <= end;
                follows = if keep { record.seq + 1 } else { 0 };
                keep
            });
            self.place = inner.window.pushed() - inner.window.bytes() as u64;
        }
        let from = self.next;
        if let Some(record) = behind.last() {
            self.next = record.seq + 1;
        }
        if self.next > inner.last_seq {
            self.place = inner.window.pushed();
        }
        log.moved(&mut inner, self.slot, self.next, self.place);
        let progress = if self.next > end {
            Progress::Ended
        } else if self.next > inner.last_seq {
            Progress::CaughtUp
        } else {
            Progress::More
        };
        drop(inner);
        out.extend(
            behind
                .iter()
                .enumerate()
                .map(|(index, record)| match index {
                    0 => encode::rest(record, from),
                    _ => encode::event(&record.event),
                }),
        );
        Ok(progress)
    }

    /// Waits until there is something to read. Cancel safe.
    pub async fn ready(&self) {
        loop {
            // Made before the look, so an append in between is not missed.
            let appended = self.log.appended();
            if self.log.last_seq() >= self.next || self.span.end() < self.next {
                return;
            }
            appended.await;
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.log.leave(self.slot);
    }
}

impl Inner {
    /// At most `count` records from the one that holds position `next` on, the open one as it is now.
    fn since(&self, next: u64, count: usize) -> Vec<Arc<Record>> {
        let pinned = self.pinned.iter().filter(|record| record.seq >= next);
        let skip = self.records.partition_point(|record| record.seq < next);
        let open = self.open.iter().filter(|record| record.seq >= next);
        pinned
            .chain(self.records.range(skip..))
            .cloned()
            .chain(open.map(|record| Arc::new(record.clone())))
            .take(count)
            .collect()
    }
}
