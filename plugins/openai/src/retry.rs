//! When a request is sent once more.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::api::Fault;

/// The longest time between two requests. A server that asks for more is not waited for: somebody watches.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// How often a request is repeated, and how soon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) most: u32,
    /// Before the first repetition.
    pub(crate) first: Duration,
}

impl Policy {
    /// How long to wait before the request is repeated after its `failures`th failure; `None` when it is not.
    pub(crate) fn wait(&self, failures: u32, fault: &Fault) -> Option<Duration> {
        if failures > self.most || !fault.is_passing() {
            return None;
        }
        match fault.retry_after() {
            Some(asked) if asked > LONGEST => None,
            Some(asked) => Some(asked),
            None => Some(self.backoff(failures).mul_f64(spread())),
        }
    }

    fn backoff(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        self.first.saturating_mul(1 << doublings).min(LONGEST)
    }
}

/// From 0.75 to 1, so that those who were refused together do not come back together.
fn spread() -> f64 {
    // A hasher with random keys is the randomness that the standard library has.
    #[expect(
        clippy::cast_precision_loss,
        reason = "some bits of randomness are enough"
    )]
    let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
    0.75 + 0.25 * random
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        most: 3,
        first: Duration::from_secs(1),
    };

    fn refused(status: u16, retry_after: Option<u64>) -> Fault {
        Fault::Refused {
            status,
            message: String::new(),
            code: String::new(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[test]
    fn it_waits_twice_as_long_each_time() {
        for (failures, seconds) in [(1, 1.0), (2, 2.0), (3, 4.0)] {
            let wait = POLICY.wait(failures, &refused(503, None)).unwrap();
            let wait = wait.as_secs_f64();
            assert!((seconds * 0.75..=seconds).contains(&wait), "{wait}");
        }
        assert_eq!(POLICY.wait(4, &refused(503, None)), None);
        assert_eq!(POLICY.backoff(40), LONGEST);
    }

    #[test]
    fn it_waits_as_long_as_the_server_asks() {
        let wait = |seconds| POLICY.wait(1, &refused(429, Some(seconds)));
        assert_eq!(wait(7), Some(Duration::from_secs(7)));
        assert_eq!(wait(0), Some(Duration::ZERO));
        assert_eq!(wait(3600), None);
    }

    #[test]
    fn what_is_wrong_stays_wrong() {
        assert_eq!(POLICY.wait(1, &refused(400, None)), None);
        assert_eq!(POLICY.wait(1, &Fault::Withheld), None);
    }
}
