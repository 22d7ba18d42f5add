//! How clients are sent away when the host ends: not all at the same moment, and not to come back at the same moment.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::protocol::CloseCode;

/// When a client that is sent away should come back at the earliest.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// How much each client adds to the time over which all of them are spread.
const EACH: Duration = Duration::from_millis(1);

/// One client's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaving {
    /// Until when it stays.
    at: Instant,
    /// When it should come back.
    retry: Duration,
}

impl Leaving {
    /// The share of one of `clients`, of which at most `spread` lies between the first and the last.
    pub(super) fn of(clients: usize, spread: Duration, now: Instant) -> Self {
        // Without randomness they leave at the same moment, which is what happens elsewhere.
        let draw = || getrandom::u32().unwrap_or_default();
        Self::drawn(clients, spread, now, [draw(), draw()])
    }

    fn drawn(clients: usize, spread: Duration, now: Instant, [stay, retry]: [u32; 2]) -> Self {
        let all = EACH.saturating_mul(u32::try_from(clients).unwrap_or(u32::MAX));
        let spread = all.min(spread);
        let share = |drawn: u32| spread.mul_f64(f64::from(drawn) / f64::from(u32::MAX));
        Self {
            at: now + share(stay),
            retry: RETRY + share(retry),
        }
    }

    /// Until when it stays.
    pub(super) fn at(self) -> Instant {
        self.at
    }

    /// When it should come back.
    pub(super) fn retry(self) -> Duration {
        self.retry
    }

    /// What to close with.
    pub(super) fn close(self) -> CloseCode {
        CloseCode::Draining { retry: self.retry }
    }

    /// Waits for the moment of `leaving`, and answers it; for ever without one. Cancel safe.
    pub(super) async fn moment(leaving: Option<Self>) -> Self {
        match leaving {
            Some(leaving) => {
                sleep_until(leaving.at).await;
                leaving
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPREAD: Duration = Duration::from_secs(5);

    #[test]
    fn many_are_spread_over_all_the_time_and_few_over_little() {
        let now = Instant::now();
        let seconds = |clients, spread, drawn| {
            let leaving = Leaving::drawn(clients, spread, now, drawn);
            (
                (leaving.at - now).as_secs_f64(),
                leaving.retry.as_secs_f64(),
            )
        };
        let last = [u32::MAX, u32::MAX];
        assert_eq!(seconds(10_000, SPREAD, last), (5.0, 6.0));
        assert_eq!(seconds(100, SPREAD, last), (0.1, 1.1));
        assert_eq!(seconds(10_000, SPREAD, [0, 0]), (0.0, 1.0));
        assert_eq!(seconds(10_000, Duration::ZERO, last), (0.0, 1.0));
    }

    #[test]
    fn clients_get_different_shares() {
        let now = Instant::now();
        let some: Vec<_> = (0..100).map(|_| Leaving::of(10_000, SPREAD, now)).collect();
        let stays = some
            .iter()
            .map(|leaving| leaving.at - now)
            .collect::<Vec<_>>();
        let retries = some.iter().map(|leaving| leaving.retry - RETRY).collect();
        for shares in [stays, retries] {
            let early = shares.iter().filter(|share| **share < SPREAD / 2).count();
            assert!(
                (10..=90).contains(&early),
                "{early} of 100 in the first half"
            );
        }
    }
}
