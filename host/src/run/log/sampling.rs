//! How long events take from the log to their readers' sockets, by samples: one event at a time is stamped, at most ten
//! a second, and whoever has written it says so. An append pays for a look at a flag, a reader's batch for two.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time between two samples of a log.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub(super) struct Sampling {
    begun: Instant,
    /// The next event is to be stamped.
    armed: AtomicBool,
    /// The position of the stamped event; 0 before the first.
    seq: AtomicU64,
    /// When it was stamped, in nanoseconds since `begun`.
    at: AtomicU64,
}

impl Sampling {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            armed: AtomicBool::new(true),
            seq: AtomicU64::new(0),
            at: AtomicU64::new(0),
        }
    }

    /// Event `seq` was appended.
    pub(super) fn appended(&self, seq: u64) {
        if self.armed.load(Ordering::Relaxed) {
            self.armed.store(false, Ordering::Relaxed);
            self.at.store(self.since(Instant::now()), Ordering::Relaxed);
            self.seq.store(seq, Ordering::Release);
        }
    }

    /// A reader has written the events before position `next`, from position `from` on. Answers how long the stamped
    /// one took, if it is among them.
    pub(super) fn written(&self, from: u64, next: u64, now: Instant) -> Option<Duration> {
        let seq = self.seq.load(Ordering::Acquire);
        let took = self
            .since(now)
            .saturating_sub(self.at.load(Ordering::Relaxed));
        let took = Duration::from_nanos(took);
        if took >= PAUSE {
            self.armed.store(true, Ordering::Relaxed);
        }
        (from..next).contains(&seq).then_some(took)
    }

    fn since(&self, now: Instant) -> u64 {
        let nanos = now.saturating_duration_since(self.begun).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_is_stamped_at_a_time_and_every_reader_of_it_counts() {
        let sampling = Sampling::new();
        sampling.appended(1);
        sampling.appended(2);
        let now = Instant::now();
        assert!(sampling.written(1, 3, now).is_some());
        assert!(sampling.written(1, 2, now).is_some(), "another reader");
        assert!(sampling.written(2, 3, now).is_none());
        sampling.appended(3);
        assert!(sampling.written(3, 4, now).is_none(), "too soon");
        let later = now + PAUSE * 2;
        assert!(sampling.written(4, 4, later).is_none());
        sampling.appended(4);
        assert!(sampling.written(4, 5, later).is_some());
    }
}
