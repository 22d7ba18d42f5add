//! Frames on their way to the other process: a queue of bytes, bounded, that is written out a batch at a time.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A batch's buffer that is larger than this after it was written is not kept.
const KEPT: usize = 1 << 20;

/// Frames that are to be written, in the order in which they came.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// Told when there is something to write.
    filled: Condvar,
    /// Told when a batch was taken.
    taken: Condvar,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    batch: Vec<u8>,
    /// Those who were told that the queue is half full.
    slowed: Vec<u64>,
    closed: bool,
    /// Whether whoever writes waits for something to write.
    idle: bool,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pushed {
    Accepted,
    /// Accepted, and the queue is at least half full.
    HalfFull,
    /// The queue is closed.
    Closed,
}

/// A frame was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NotTaken {
    Closed,
    /// There are more bytes in the queue than there may be.
    Full,
    /// It is longer than a frame may be.
    TooLong,
}

impl Outbox {
    /// One that is full with `capacity` bytes, and a frame more.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            taken: Condvar::new(),
            capacity,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends what `write` writes. Waits as long as the queue is full. `scope` is whoever is to hear when it
    /// no longer is half full, see [`Self::take`].
    pub(super) fn push(&self, scope: Option<u64>, write: impl FnOnce(&mut Vec<u8>)) -> Pushed {
        let mut state = self.state();
        while state.batch.len() >= self.capacity && !state.closed {
            state = self
                .taken
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Pushed::Closed;
        }
        write(&mut state.batch);
        let half_full = state.batch.len() >= self.capacity / 2;
        if half_full
            && let Some(scope) = scope
            && state.slowed.last() != Some(&scope)
        {
            state.slowed.push(scope);
        }
        self.wake(state);
        if half_full {
            Pushed::HalfFull
        } else {
            Pushed::Accepted
        }
    }

    /// Appends what `write` writes, of at most `limit` bytes. Never waits.
    pub(super) fn offer(
        &self,
        limit: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), NotTaken> {
        let mut state = self.state();
        if state.closed {
            return Err(NotTaken::Closed);
        }
        let before = state.batch.len();
        if before >= self.capacity {
            return Err(NotTaken::Full);
        }
        write(&mut state.batch);
        if state.batch.len() - before > limit {
            state.batch.truncate(before);
            return Err(NotTaken::TooLong);
        }
        self.wake(state);
        Ok(())
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let was_idle = std::mem::replace(&mut state.idle, false);
        drop(state);
        if was_idle {
            self.filled.notify_one();
        }
    }

    /// Waits for frames and takes them all, and those who were told that the queue is half full, which it is
    /// not any more. False when it is closed and empty.
    pub(super) fn take(&self, batch: &mut Vec<u8>, slowed: &mut Vec<u64>) -> bool {
        batch.clear();
        batch.shrink_to(KEPT);
        let mut state = self.state();
        while state.batch.is_empty() {
            if state.closed {
                return false;
            }
            state.idle = true;
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(batch, &mut state.batch);
        slowed.append(&mut state.slowed);
        drop(state);
        self.taken.notify_all();
        true
    }

    /// Notes that somebody still has to hear that the queue is not half full any more.
    pub(super) fn note_slowed(&self, scope: u64) {
        self.state().slowed.push(scope);
    }

    /// Takes nothing more. What is in it is still handed out.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.filled.notify_all();
        self.taken.notify_all();
    }

    /// Writes batches until the queue is closed and empty, or the socket is.
    /// `relieved` is told, after each batch was taken, who may go on.
    pub(super) fn write_to(
        &self,
        mut socket: &UnixStream,
        mut relieved: impl FnMut(u64),
    ) -> std::io::Result<()> {
        let (mut batch, mut slowed) = (Vec::new(), Vec::new());
        while self.take(&mut batch, &mut slowed) {
            for scope in slowed.drain(..) {
                relieved(scope);
            }
            socket.write_all(&batch)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn put(text: &str) -> impl FnOnce(&mut Vec<u8>) {
        move |to: &mut Vec<u8>| to.extend_from_slice(text.as_bytes())
    }

    #[test]
    fn it_says_when_it_is_half_full_and_whom_it_told() {
        let outbox = Outbox::new(8);
        assert_eq!(outbox.push(Some(1), put("abc")), Pushed::Accepted);
        assert_eq!(outbox.push(Some(2), put("d")), Pushed::HalfFull);
        assert_eq!(outbox.push(Some(2), put("e")), Pushed::HalfFull);
        assert_eq!(outbox.push(None, put("f")), Pushed::HalfFull);
        let (mut batch, mut slowed) = (Vec::new(), Vec::new());
        assert!(outbox.take(&mut batch, &mut slowed));
        assert_eq!(
            (batch.as_slice(), slowed.as_slice()),
            (&b"abcdef"[..], &[2][..])
        );
        assert_eq!(outbox.push(Some(3), put("g")), Pushed::Accepted);
        outbox.close();
        assert_eq!(outbox.push(Some(3), put("h")), Pushed::Closed);
        assert!(outbox.take(&mut batch, &mut slowed));
        assert_eq!(batch, b"g");
        assert!(!outbox.take(&mut batch, &mut slowed));
    }

    #[test]
    fn who_finds_it_full_waits_and_nothing_is_lost_or_out_of_order() {
        let outbox = Arc::new(Outbox::new(16));
        let pushing = std::thread::spawn({
            let outbox = Arc::clone(&outbox);
            move || {
                for number in 0..10_000_u32 {
                    let write = |to: &mut Vec<u8>| to.extend_from_slice(&number.to_le_bytes());
                    assert_ne!(outbox.push(Some(1), write), Pushed::Closed);
                }
                outbox.close();
            }
        });
        let (mut batch, mut slowed, mut next) = (Vec::new(), Vec::new(), 0_u32);
        while outbox.take(&mut batch, &mut slowed) {
            assert!(batch.len() <= 16 + 4, "{}", batch.len());
            for number in batch.chunks(4) {
                assert_eq!(number, next.to_le_bytes());
                next += 1;
            }
        }
        assert_eq!(next, 10_000);
        pushing.join().unwrap();
    }

    #[test]
    fn who_may_not_wait_is_refused_and_leaves_nothing_behind() {
        let outbox = Outbox::new(4);
        assert_eq!(outbox.offer(2, put("abc")), Err(NotTaken::TooLong));
        assert_eq!(outbox.offer(9, put("abcd")), Ok(()));
        assert_eq!(outbox.offer(9, put("e")), Err(NotTaken::Full));
        let mut batch = Vec::new();
        assert!(outbox.take(&mut batch, &mut Vec::new()));
        assert_eq!(batch, b"abcd");
        outbox.close();
        assert_eq!(outbox.offer(9, put("e")), Err(NotTaken::Closed));
    }
}
