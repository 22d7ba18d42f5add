//! Whether a client is alive: when it is to be pinged, and when it is given up. Pure; it is told what time it is.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Heartbeat;

/// What a client's silence has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It should be pinged.
    Ping,
    /// It was, and did not answer.
    Dead,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pulse {
    /// Zero when clients are not pinged.
    ping: Duration,
    deadline: Duration,
    last_heard: Instant,
    pinged: Option<Instant>,
}

impl Pulse {
    /// That of a client that was heard `now`.
    pub(super) fn new(heartbeat: &Heartbeat, now: Instant) -> Self {
        Self {
            ping: heartbeat.ping,
            deadline: heartbeat.pong_deadline,
            last_heard: now,
            pinged: None,
        }
    }

    /// The client sent something: whatever it is, it is alive.
    pub(super) fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.pinged = None;
    }

    /// A ping was sent.
    pub(super) fn pinged(&mut self, now: Instant) {
        self.pinged = Some(now);
    }

    /// Nobody listened to the client from `since` until `now`, so that time does not count.
    pub(super) fn away(&mut self, since: Instant, now: Instant) {
        for at in self.pinged.iter_mut().chain([&mut self.last_heard]) {
            *at += now.saturating_duration_since(since.max(*at));
        }
    }

    /// What will be due and when, if nothing is heard until then.
    pub(super) fn due(&self) -> Option<(Due, Instant)> {
        if self.ping.is_zero() {
            return None;
        }
        Some(match self.pinged {
            None => (Due::Ping, self.last_heard + self.ping),
            Some(at) => (Due::Dead, at + self.deadline),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pulse(now: Instant) -> Pulse {
        let heartbeat = Heartbeat {
            interval: SECOND,
            ping: SECOND * 30,
            pong_deadline: SECOND * 20,
        };
        Pulse::new(&heartbeat, now)
    }

    #[test]
    fn a_silent_client_is_pinged_and_then_given_up() {
        let begun = Instant::now();
        let mut pulse = pulse(begun);
        assert_eq!(pulse.due(), Some((Due::Ping, begun + SECOND * 30)));
        pulse.heard(begun + SECOND * 10);
        assert_eq!(pulse.due(), Some((Due::Ping, begun + SECOND * 40)));
        pulse.pinged(begun + SECOND * 41);
        assert_eq!(pulse.due(), Some((Due::Dead, begun + SECOND * 61)));
        pulse.heard(begun + SECOND * 60);
        assert_eq!(pulse.due(), Some((Due::Ping, begun + SECOND * 90)));
    }

    #[test]
    fn time_in_which_nobody_listens_does_not_count() {
        let begun = Instant::now();
        let mut pulse = pulse(begun);
        pulse.away(begun + SECOND * 5, begun + SECOND * 65);
        assert_eq!(pulse.due(), Some((Due::Ping, begun + SECOND * 90)));
        // Sent in the middle of it.
        pulse.pinged(begun + SECOND * 100);
        pulse.away(begun + SECOND * 95, begun + SECOND * 110);
        assert_eq!(pulse.due(), Some((Due::Dead, begun + SECOND * 130)));
    }

    #[test]
    fn it_can_be_turned_off() {
        let begun = Instant::now();
        let mut pulse = pulse(begun);
        pulse.ping = Duration::ZERO;
        assert_eq!(pulse.due(), None);
    }
}
