//! When to come back.

use std::time::Duration;

/// Exponential growth with full jitter: each pause is a random part of a bound that doubles from try to try, so that
/// many clients that lost their host together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Bound of the first pause.
    pub first: Duration,
    /// Bound of all.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(250),
            most: Duration::from_secs(15),
        }
    }
}

impl Backoff {
    /// The pause after so many tries in vain; `random` is from the whole range of numbers.
    #[must_use]
    pub fn pause(self, tries: u32, random: u64) -> Duration {
        part(self.bound(tries), random)
    }

    /// The pause when the host has said that it has too many clients: at least half of the longest.
    #[must_use]
    pub fn long_pause(self, random: u64) -> Duration {
        let half = self.most / 2;
        half + part(half, random)
    }

    fn bound(self, tries: u32) -> Duration {
        let factor = 1_u32.checked_shl(tries).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.most)
    }
}

/// A part of `whole`: none of it for 0, (almost) all for the largest number.
fn part(whole: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
    let part = (u128::from(nanos) * u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(part).unwrap_or(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(100),
        most: Duration::from_secs(5),
    };

    #[test]
    fn the_bound_doubles_up_to_the_most() {
        let bounds: Vec<_> = (0..8)
            .map(|tries| BACKOFF.bound(tries).as_millis())
            .collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        for tries in [31, 32, 33, u32::MAX] {
            assert_eq!(BACKOFF.bound(tries), BACKOFF.most);
        }
    }

    #[test]
    fn a_pause_is_any_part_of_the_bound() {
        assert_eq!(BACKOFF.pause(1, 0), Duration::ZERO);
        assert_eq!(BACKOFF.pause(1, 1 << 63), Duration::from_millis(100));
        assert!(BACKOFF.pause(1, u64::MAX) < Duration::from_millis(200));
        assert_eq!(BACKOFF.long_pause(0), Duration::from_millis(2500));
        assert!(BACKOFF.long_pause(u64::MAX) < BACKOFF.most);
    }
}
