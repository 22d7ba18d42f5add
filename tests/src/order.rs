//! The order in which a version 1 connection may get its frames. Every client of every test keeps watch over it.

use crate::frame::{BUSY, Frame};

/// Where a connection is in what it gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Nothing has come yet.
    #[default]
    Connected,
    /// No run is being watched.
    Idle,
    /// `stream_start` of a run that was found in progress has come; a replay may follow.
    Attached,
    /// This many events of the replay are still to come.
    Replay(u64),
    /// Events come as they are emitted; whether the run was found in progress.
    Live { attached: bool },
    /// The last frame of a run that was found in progress has come; `session_sync` follows.
    Ended,
}

impl Order {
    /// Takes the next frame into account.
    ///
    /// # Errors
    ///
    /// That it may not come here.
    pub fn next(&mut self, frame: &Frame) -> Result<(), String> {
        let after = match (*self, frame.kind()) {
            (Self::Replay(0), "replay_end") => Self::Live { attached: true },
            // The replay is a snapshot: nothing but its events is inside it.
            (Self::Replay(left), kind) if left > 0 && is_event(kind) => Self::Replay(left - 1),
            (Self::Replay(left), _) => return Err(format!("inside a replay, {left} to come")),
            (Self::Attached, "heartbeat") => Self::Live { attached: true },
            // Before anything else: a run that was about to begin is waited for.
            (before @ (Self::Connected | Self::Idle | Self::Live { .. }), "heartbeat") => before,
            (Self::Connected, "session_sync") | (Self::Ended, "session_sync") => Self::Idle,
            (Self::Connected, "stream_start") => Self::Attached,
            (Self::Idle, "stream_start") => Self::Live { attached: false },
            (Self::Attached, "replay_start") => {
                Self::Replay(frame.value()["count"].as_u64().ok_or("no count")?)
            }
            (Self::Idle, "error") => Self::Idle,
            (before @ Self::Live { .. }, "error") if frame.value()["message"] == BUSY => before,
            (Self::Attached | Self::Live { attached: true }, _) if frame.ends_run() => Self::Ended,
            (Self::Live { attached: false }, _) if frame.ends_run() => Self::Idle,
            (Self::Attached, kind) if is_event(kind) => Self::Live { attached: true },
            (Self::Live { attached }, kind) if is_event(kind) => Self::Live { attached },
            (before, kind) => return Err(format!("`{kind}` while {before:?}")),
        };
        *self = after;
        Ok(())
    }

    /// Whether a run is being watched.
    #[must_use]
    pub fn is_in_run(self) -> bool {
        matches!(self, Self::Attached | Self::Replay(_) | Self::Live { .. })
    }
}

/// Whether a frame of this type is an event inside a run, neither its first frame nor its last.
fn is_event(kind: &str) -> bool {
    !matches!(
        kind,
        "stream_start"
            | "stream_end"
            | "stream_stopped"
            | "error"
            | "heartbeat"
            | "session_sync"
            | "replay_start"
            | "replay_end"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(frames: &[&str]) -> Result<Order, String> {
        let mut order = Order::default();
        for frame in frames {
            order.next(&Frame::parse(frame)?)?;
        }
        Ok(order)
    }

    const START: &str = r#"{"type":"stream_start"}"#;
    const SYNC: &str = r#"{"type":"session_sync"}"#;
    const DELTA: &str = r#"{"type":"stream_delta","delta":"a"}"#;
    const END: &str = r#"{"type":"stream_stopped"}"#;
    const BEAT: &str = r#"{"type":"heartbeat"}"#;
    const TWO: &str = r#"{"type":"replay_start","count":2}"#;
    const REPLAYED: &str = r#"{"type":"replay_end"}"#;
    const REFUSED: &str =
        r#"{"type":"error","message":"Agent is already running for this session."}"#;

    #[test]
    fn what_the_contract_describes_passes() {
        assert_eq!(judge(&[SYNC, START, DELTA, END]), Ok(Order::Idle));
        assert_eq!(
            judge(&[
                START, TWO, DELTA, DELTA, REPLAYED, BEAT, DELTA, REFUSED, DELTA
            ]),
            Ok(Order::Live { attached: true })
        );
        assert_eq!(judge(&[START, END, SYNC]), Ok(Order::Idle));
        assert_eq!(judge(&[START, BEAT, DELTA, END]), Ok(Order::Ended));
    }

    #[test]
    fn anything_else_does_not() {
        for frames in [
            &[DELTA][..],
            &[SYNC, SYNC],
            &[SYNC, DELTA],
            &[SYNC, START, TWO],
            &[SYNC, START, END, END],
            &[SYNC, START, END, DELTA],
            &[START, TWO, DELTA, BEAT],
            &[START, TWO, DELTA, REPLAYED],
            &[START, TWO, DELTA, DELTA, DELTA],
            &[START, END, START],
            &[START, DELTA, TWO],
            &[START, END, BEAT],
        ] {
            assert!(judge(frames).is_err(), "{frames:?}");
        }
    }
}
