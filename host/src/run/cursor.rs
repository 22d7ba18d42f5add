//! A reader's place in an event log. Attaching is reading from an earlier place, so replay and live are one
//! mechanism, and no event can fall between them or come twice.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::encode;
use super::log::{EventLog, Inner, RunSpan};
use super::reader::{Each, Pieces, Reader};
use super::record::Record;
use super::replay::Replay;
use crate::protocol::Version;
use crate::protocol::frames::Frames;
use crate::protocol::hello::{Asked, Kept, Verdict};
use crate::session::RunId;

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

/// A place in a log. While it exists, new events are encoded into the log's window for the cursor's version.
#[derive(Debug)]
pub struct Cursor {
    log: Arc<EventLog>,
    version: Version,
    /// The run to whose end it reads; `None` for every run of the session.
    span: Option<Arc<RunSpan>>,
    next: u64,
    place: u64,
    slot: usize,
    counts: ReadCounts,
    /// The first position that was not written yet.
    unwritten: u64,
}

/// What a cursor has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Events, folded ones counted singly.
    pub events: u64,
    /// Frames of folded events, which it got because it had fallen behind.
    pub folded_frames: u64,
}

/// What an attach to a run in progress finds.
#[derive(Debug)]
pub struct Attachment {
    /// Its `stream_start`.
    pub start: Bytes,
    /// What came since, deltas folded.
    pub replay: Replay,
    /// Reads on from there.
    pub cursor: Cursor,
}

/// What a client finds that goes on in a session where it was.
#[derive(Debug)]
pub struct Resumed {
    /// What there is of the session's events.
    pub kept: Kept,
    /// Which of them the client gets.
    pub verdict: Verdict,
    /// For a whole run: whether none of it is missing.
    pub complete: bool,
    /// The run in progress.
    pub running: Option<RunId>,
    /// The events.
    pub replay: Replay,
    /// Reads on from there.
    pub cursor: Cursor,
}

impl Cursor {
    /// Begins a run with its `stream_start`, and a version 1 cursor that reads it from there on. The cursor is there
    /// first, so that the run's frames are encoded for it from the very first one.
    ///
    /// The run before must have ended, and no other may begin at the same time.
    pub fn begin(log: &Arc<EventLog>, run_id: RunId, ts: u64) -> (Arc<RunSpan>, Self) {
        let mut cursor = Self::join(log, &mut log.lock(), Version::V1, None);
        let span = log.begin(run_id, ts);
        cursor.span = Some(Arc::clone(&span));
        (span, cursor)
    }

    /// Attaches to the run in progress in version 1; `None` when there is none.
    pub fn attach(log: &Arc<EventLog>) -> Option<Attachment> {
        let (records, cursor) = {
            let mut inner = log.lock();
            let span = Arc::clone(inner.span()?);
            let records: Vec<_> = inner.since(span.start, usize::MAX);
            (
                records,
                Self::join(log, &mut inner, Version::V1, Some(span)),
            )
        };
        // A run in progress has no event that version 1 does not have.
        let mut replay = Replay::new(Version::V1, 0, records);
        let mut start = Vec::new();
        replay.encode_next(&mut start)?;
        Some(Attachment {
            start: start.into(),
            replay,
            cursor,
        })
    }

    /// Goes on in the session, in version 2, where the client says that it is.
    pub fn resume(log: &Arc<EventLog>, asked: &Asked) -> Resumed {
        let (kept, verdict, running, records, cursor) = {
            let mut inner = log.lock();
            let kept = log.kept(&inner);
            let verdict = kept.verdict(asked);
            let records = inner.since(verdict.from_seq, usize::MAX);
            let running = inner.span().map(|span| span.run_id);
            let cursor = Self::join(log, &mut inner, Version::V2, None);
            (kept, verdict, running, records, cursor)
        };
        // Behind the run's start, which stays, the middle may be gone, or all there is.
        let complete = records
            .windows(2)
            .all(|pair| pair[0].seq + 1 == pair[1].seq_from)
            && records.last().is_none_or(|last| last.seq == kept.last_seq);
        Resumed {
            kept,
            verdict,
            complete,
            running,
            replay: Replay::new(Version::V2, verdict.from_seq, records),
            cursor,
        }
    }

    /// Reads what comes from now on.
    fn join(
        log: &Arc<EventLog>,
        inner: &mut Inner,
        version: Version,
        span: Option<Arc<RunSpan>>,
    ) -> Self {
        let next = inner.last_seq + 1;
        let lane = &mut inner.lanes[version.index()];
        let slot = lane.join(next, next);
        Self {
            log: Arc::clone(log),
            version,
            span,
            next,
            place: lane.window.pushed(),
            slot,
            counts: ReadCounts::default(),
            unwritten: next,
        }
    }

    /// Position of the last event that it will read; `u64::MAX` while that is not known.
    fn end(&self) -> u64 {
        self.span.as_ref().map_or(u64::MAX, |span| span.end())
    }

    /// Position of the last event that it has handed out, or began behind.
    pub fn position(&self) -> u64 {
        self.next - 1
    }

    /// Appends the frames that are ready to `out`.
    ///
    /// # Errors
    ///
    /// [`Trimmed`] when the next event is gone; the reader must be told, for it has a gap.
    pub fn read(&mut self, out: &mut Frames) -> Result<Progress, Trimmed> {
        self.read_into(out)
    }

    /// Hands out the messages that are ready, each with the position of its last event. For version 2, which has every
    /// event.
    ///
    /// # Errors
    ///
    /// As [`Cursor::read`].
    pub fn read_each(&mut self, take: impl FnMut(u64, &[u8])) -> Result<Progress, Trimmed> {
        self.read_into(&mut Each(take))
    }

    /// Reads what is ready: shared frames where the window has them, folded records otherwise.
    fn read_into(&mut self, out: &mut impl Reader) -> Result<Progress, Trimmed> {
        let log = Arc::clone(&self.log);
        let mut inner = log.lock();
        let end = self.end();
        if self.next > end {
            return Ok(Progress::Ended);
        }
        let last = inner.last_seq.min(end);
        if self.next > last {
            return Ok(Progress::CaughtUp);
        }
        let from = self.next;
        let window = &mut inner.lanes[self.version.index()].window;
        let mut pieces = Pieces::default();
        let taken = window.take(from, last, READ_BYTES, |piece| pieces.push(piece));
        let mut behind = Vec::new();
        if let Some(taken) = taken {
            self.next += taken.events;
            self.place = taken.place;
        } else {
            self.place = window.start();
            behind = inner.since(from, READ_RECORDS);
            if behind.first().is_none_or(|record| record.seq_from > from) {
                return Err(Trimmed { next: from });
            }
            // Records after the run's end belong to the next run; after a gap comes what the next read
            // reports as trimmed.
            let mut follows = from;
            behind.retain(|record| {
                let keep = record.seq_from <= follows && record.seq_from <= end;
                follows = if keep { record.seq + 1 } else { 0 };
                keep
            });
            if let Some(record) = behind.last() {
                self.next = record.seq + 1;
            }
            if self.next > inner.last_seq {
                self.place = inner.lanes[self.version.index()].window.pushed();
            }
        }
        log.moved(&mut inner, self.version, self.slot, self.next, self.place);
        let progress = if self.next > end {
            Progress::Ended
        } else if self.next > inner.last_seq {
            Progress::CaughtUp
        } else {
            Progress::More
        };
        drop(inner);
        self.counts.events += self.next - from;
        self.counts.folded_frames += behind.len() as u64;
        if let Some(taken) = taken {
            out.shared(from, taken.frames, pieces);
        }
        for record in &behind {
            out.record(record.seq, |out| {
                encode::rest(record, from, self.version, out);
            });
        }
        Ok(progress)
    }

    /// What was read since the last call.
    pub fn take_counts(&mut self) -> ReadCounts {
        std::mem::take(&mut self.counts)
    }

    /// All that was read is written. Answers how long a sampled event of it took from its entry into the log.
    pub fn written(&mut self, now: Instant) -> Option<Duration> {
        let from = std::mem::replace(&mut self.unwritten, self.next);
        if from == self.next {
            return None;
        }
        self.log.written(from, self.next, now)
    }

    /// Whether there is something to read: so many events, or the run's end.
    pub fn is_ready(&self, events: u64) -> bool {
        self.log.last_seq() >= self.wanted(events) || self.end() < self.next
    }

    /// The last of so many events.
    fn wanted(&self, events: u64) -> u64 {
        (self.next + events.saturating_sub(1)).min(self.end())
    }

    /// Waits until there is something to read. Cancel safe.
    pub async fn ready(&mut self) {
        poll_fn(|cx| self.poll_ready(cx, 1)).await;
    }

    /// Ready when there is something to read: so many events, or the run's end. Whoever waits for more than one event must not
    /// rely on them to come. The latest task that has polled it is woken.
    pub fn poll_ready(&mut self, cx: &Context<'_>, events: u64) -> Poll<()> {
        let (version, slot, want) = (self.version, self.slot, self.wanted(events));
        // Looked at again behind the wait, for the run may have ended meanwhile.
        if !self.is_ready(events)
            && self.log.wait(version, slot, want, cx.waker())
            && !self.is_ready(events)
        {
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.log.leave(self.version, self.slot);
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
