//! How long it takes until a server that is away is tried again.

use std::time::Duration;

use crate::config::Server;

/// Delays, each twice as long as the one before, up to a limit.
#[derive(Debug)]
pub(crate) struct Delay {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Delay {
    pub(crate) fn new(server: &Server) -> Self {
        let first = Duration::from_millis(server.retry_delay_ms);
        Self {
            first,
            most: Duration::from_millis(server.max_retry_delay_ms),
            next: first,
        }
    }

    /// All went well for a while.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// The present delay; the next one will be longer.
    pub(crate) fn next(&mut self) -> Duration {
        let now = self.next.min(self.most);
        self.next = now.saturating_mul(2);
        now
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::{self, json};

    use super::*;

    #[test]
    fn each_delay_is_twice_the_one_before_up_to_the_limit() {
        let server = json!({"command": "c", "retry_delay_ms": 100, "max_retry_delay_ms": 350});
        let mut delay = Delay::new(&serde_json::from_value(server).unwrap());
        let taken: Vec<_> = (0..4).map(|_| delay.next().as_millis()).collect();
        assert_eq!(taken, [100, 200, 350, 350]);
        delay.reset();
        assert_eq!(delay.next().as_millis(), 100);
    }
}
