//! How fast lines of a server's may come into the host's log.

use std::time::Instant;

/// Lines that may come at once.
const BURST: u32 = 100;

/// Lines in a second after that.
const PER_SECOND: u32 = 10;

/// A measure of lines.
#[derive(Debug)]
pub(crate) struct Pace {
    /// What may still come at once, in thousandths of a line.
    left: u64,
    last: Instant,
    dropped: u64,
}

/// Whether a line is shown.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Passed {
    /// It is, and before it so many were not.
    Shown { dropped: u64 },
    /// It is not.
    Dropped,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            left: u64::from(BURST) * 1000,
            last: Instant::now(),
            dropped: 0,
        }
    }

    /// A line has come.
    pub(crate) fn line(&mut self) -> Passed {
        self.line_at(Instant::now())
    }

    fn line_at(&mut self, now: Instant) -> Passed {
        let since = now.saturating_duration_since(self.last).as_millis();
        let more = u64::try_from(since)
            .unwrap_or(u64::MAX)
            .saturating_mul(u64::from(PER_SECOND));
        if more > 0 {
            self.last = now;
        }
        self.left = self.left.saturating_add(more).min(u64::from(BURST) * 1000);
        if self.left < 1000 {
            self.dropped += 1;
            return Passed::Dropped;
        }
        self.left -= 1000;
        Passed::Shown {
            dropped: std::mem::take(&mut self.dropped),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_held_back_and_counted() {
        let mut pace = Pace::new();
        let start = pace.last;
        for _ in 0..BURST {
            assert_eq!(pace.line_at(start), Passed::Shown { dropped: 0 });
        }
        for _ in 0..7 {
            assert_eq!(pace.line_at(start), Passed::Dropped);
        }
        let later = start + Duration::from_millis(100);
        assert_eq!(pace.line_at(later), Passed::Shown { dropped: 7 });
        assert_eq!(pace.line_at(later), Passed::Dropped);
        // However close they come, time counts.
        let mut shown = 0;
        for micros in 0..1000 {
            let now = later + Duration::from_micros(micros * 1000 / 2);
            shown += u32::from(pace.line_at(now) != Passed::Dropped);
        }
        assert_eq!(shown, 4);
    }
}
