//! How many messages an owner may send.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::session::Owner;

/// The messages of all owners. There are as many owners as are configured.
#[derive(Debug, Default)]
pub struct MessageRate {
    buckets: Mutex<HashMap<Owner, TokenBucket>>,
}

impl MessageRate {
    /// Whether `owner` may send a message `now`, of at most `per_minute`; 0 sets no limit.
    pub fn admits(&self, owner: &Owner, per_minute: u32, now: Instant) -> bool {
        if per_minute == 0 {
            return true;
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        match buckets.get_mut(owner) {
            Some(bucket) => bucket.take(per_minute, now),
            None => {
                let mut bucket = TokenBucket::full(per_minute, now);
                let taken = bucket.take(per_minute, now);
                buckets.insert(owner.clone(), bucket);
                taken
            }
        }
    }
}

/// Fills at an even rate up to what a minute brings; each message takes one token out.
#[derive(Clone, Copy, Debug)]
struct TokenBucket {
    tokens: f64,
    at: Instant,
}

impl TokenBucket {
    fn full(per_minute: u32, now: Instant) -> Self {
        Self {
            tokens: f64::from(per_minute),
            at: now,
        }
    }

    /// Takes a token if there is one.
    fn take(&mut self, per_minute: u32, now: Instant) -> bool {
        let full = f64::from(per_minute);
        let minutes = now.saturating_duration_since(self.at).as_secs_f64() / 60.0;
        self.tokens = (self.tokens + minutes * full).min(full);
        self.at = self.at.max(now);
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_silent_owner_may_send_a_minutes_messages_at_once_and_then_one_at_a_time() {
        let (rate, owner, begun) = (MessageRate::default(), Owner::local(), Instant::now());
        let sent = |millis, tries| {
            let now = begun + Duration::from_millis(millis);
            (0..tries).filter(|_| rate.admits(&owner, 30, now)).count()
        };
        assert_eq!(sent(0, 40), 30);
        assert_eq!(sent(1_999, 5), 0);
        assert_eq!(sent(2_001, 5), 1);
        assert_eq!(sent(6_002, 5), 2);
        // A clock that another thread has read earlier changes nothing.
        assert_eq!(sent(0, 5), 0);
        // However long nothing comes.
        assert_eq!(sent(600_000, 100), 30);
    }

    #[test]
    fn owners_are_apart_and_without_a_limit_everything_passes() {
        let (rate, now) = (MessageRate::default(), Instant::now());
        let (ada, bob) = (Owner::new("ada"), Owner::new("bob"));
        assert!(rate.admits(&ada, 1, now));
        assert!(!rate.admits(&ada, 1, now));
        assert!(rate.admits(&bob, 1, now));
        assert!((0..1000).all(|_| rate.admits(&ada, 0, now)));
    }
}
