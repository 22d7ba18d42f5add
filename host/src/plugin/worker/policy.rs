//! Whether a worker whose process has ended is started again, and when.

use std::time::Duration;

/// A process that has served for this long did not fail at its start, nor as the one before it did.
const STEADY: Duration = Duration::from_secs(60);

/// How long to wait before a worker is started again: the first time not at all, then longer each time. After the
/// last of them it is not.
const PAUSES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Failures that follow one another closely.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Policy {
    failures: usize,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// Start one, after this time.
    Start(Duration),
    /// Start none: it failed so many times in a row.
    GiveUp(usize),
}

impl Policy {
    /// A process has ended that was not told to, after it had served for this long; or none could be started.
    pub(crate) fn failed(&mut self, served: Duration) -> Next {
        if served >= STEADY {
            self.failures = 0;
        }
        let next = match PAUSES.get(self.failures) {
            Some(pause) => Next::Start(*pause),
            None => Next::GiveUp(self.failures + 1),
        };
        self.failures += 1;
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_longer_each_time_and_gives_up() {
        let mut policy = Policy::default();
        let mut last = Duration::ZERO;
        for _ in PAUSES {
            let Next::Start(pause) = policy.failed(Duration::ZERO) else {
                panic!("{policy:?}")
            };
            assert!(pause >= last);
            last = pause;
        }
        assert_eq!(policy.failed(Duration::ZERO), Next::GiveUp(6));
        assert_eq!(policy.failed(Duration::ZERO), Next::GiveUp(7));
    }

    #[test]
    fn one_that_was_steady_begins_anew() {
        let mut policy = Policy::default();
        for _ in 0..100 {
            assert_eq!(policy.failed(STEADY), Next::Start(Duration::ZERO));
        }
        assert_ne!(policy.failed(Duration::ZERO), Next::Start(Duration::ZERO));
    }
}
