//! Which events were got, and whether they are all. Pure.

use super::fault::Fault;
use super::item::{Event, Hello, ReplayStart};

/// A client's place in its session.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    /// The numbering, and the position of the last event that was got.
    at: Option<(String, u64)>,
    /// Inside the replay of a run that has lost its middle, whether the loss is still to come, and after which event
    /// it may.
    loss_after: Option<u64>,
    /// A position that the host was at, beyond what was got until then.
    owed: Option<u64>,
}

impl Track {
    /// A place to begin at.
    pub(super) fn at(epoch: String, after: u64) -> Self {
        Self {
            at: Some((epoch, after)),
            ..Self::default()
        }
    }

    /// Where the next connection resumes.
    pub(super) fn cursor(&self) -> Option<(&str, u64)> {
        self.at
            .as_ref()
            .map(|(epoch, after)| (epoch.as_str(), *after))
    }

    /// A connection begins.
    pub(super) fn greet(&mut self, hello: &Hello, start: &ReplayStart) -> Result<(), Fault> {
        self.owed = None;
        let before = start.from_seq.saturating_sub(1);
        if start.recovered && self.cursor() != Some((&hello.epoch, before)) {
            let text = "`recovered`, but from another position than the one that was asked for";
            return Err(Fault::Protocol(text.to_owned()));
        }
        self.loss_after = (start.complete == Some(false)).then_some(start.from_seq);
        self.at = Some((hello.epoch.clone(), before));
        Ok(())
    }

    /// The replay is over.
    pub(super) fn replayed(&mut self) {
        self.loss_after = None;
    }

    /// An event has come.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), Fault> {
        let Some((_, after)) = &mut self.at else {
            return Err(Fault::Protocol("an event before the greeting".to_owned()));
        };
        let expected = *after + 1;
        let is_known_loss = self.loss_after == Some(*after) && event.seq_from > expected;
        if (event.seq_from != expected && !is_known_loss) || event.seq < event.seq_from {
            return Err(Fault::Gap {
                expected,
                got: event.seq_from,
            });
        }
        *after = event.seq;
        Ok(())
    }

    /// The host says that it is at `last`. What it has just got may be on its way, so only the second time counts.
    pub(super) fn heartbeat(&mut self, last: u64) -> Result<(), Fault> {
        let have = self.cursor().map_or(0, |(_, after)| after);
        match self.owed {
            Some(owed) if have < owed => Err(Fault::LostTail { have, last }),
            _ => {
                self.owed = (have < last).then_some(last);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn hello(epoch: &str) -> Hello {
        let hello = json!({
            "epoch": epoch, "last_seq": 9, "run": null, "limits": {"frame_bytes": 1, "heartbeat_ms": 1}
        });
        serde_json::from_value(hello).unwrap()
    }

    fn start(more: Value) -> ReplayStart {
        serde_json::from_value(more).unwrap()
    }

    fn event(seq_from: u64, seq: u64) -> Event {
        Event {
            seq_from,
            seq,
            value: Value::Null,
        }
    }

    fn joined(from_seq: u64) -> Track {
        let mut track = Track::default();
        let start = start(json!({"recovered": false, "from_seq": from_seq}));
        track.greet(&hello("e"), &start).unwrap();
        track
    }

    #[test]
    fn events_follow_one_another() {
        let mut track = joined(5);
        assert_eq!(track.cursor(), Some(("e", 4)));
        track.event(&event(5, 5)).unwrap();
        track.event(&event(6, 9)).unwrap();
        assert_eq!(track.cursor(), Some(("e", 9)));
        for (from, to) in [(11, 11), (9, 10), (8, 9), (10, 9)] {
            let fault = track.event(&event(from, to)).unwrap_err();
            let gap = Fault::Gap {
                expected: 10,
                got: from,
            };
            assert_eq!(fault, gap);
        }
        track.event(&event(10, 10)).unwrap();
    }

    #[test]
    fn nothing_comes_before_the_greeting() {
        let fault = Track::default().event(&event(1, 1));
        assert!(matches!(fault, Err(Fault::Protocol(_))));
    }

    #[test]
    fn a_run_without_its_middle_may_jump_once_and_only_after_its_start() {
        let lossy = || {
            let mut track = Track::at("old".to_owned(), 3);
            let start = start(json!({
                "recovered": false, "reason": "trimmed", "complete": false, "from_seq": 5
            }));
            track.greet(&hello("e"), &start).unwrap();
            track
        };
        let mut track = lossy();
        assert!(track.event(&event(6, 6)).is_err());
        track.event(&event(5, 5)).unwrap();
        track.event(&event(50, 60)).unwrap();
        track.event(&event(61, 61)).unwrap();
        assert!(track.event(&event(70, 70)).is_err());
        let mut track = lossy();
        track.event(&event(5, 5)).unwrap();
        track.replayed();
        assert!(track.event(&event(50, 60)).is_err());
    }

    #[test]
    fn recovered_means_from_where_it_was_asked() {
        let mut track = joined(1);
        track.event(&event(1, 7)).unwrap();
        let good = start(json!({"recovered": true, "from_seq": 8}));
        track.clone().greet(&hello("e"), &good).unwrap();
        assert!(track.clone().greet(&hello("f"), &good).is_err());
        let bad = start(json!({"recovered": true, "from_seq": 9}));
        assert!(track.greet(&hello("e"), &bad).is_err());
        assert!(Track::default().greet(&hello("e"), &good).is_err());
    }

    #[test]
    fn what_the_host_has_comes_before_its_second_heartbeat() {
        let mut track = joined(1);
        track.heartbeat(0).unwrap();
        track.heartbeat(2).unwrap();
        track.event(&event(1, 2)).unwrap();
        track.heartbeat(3).unwrap();
        assert_eq!(
            track.heartbeat(3),
            Err(Fault::LostTail { have: 2, last: 3 })
        );
    }
}
