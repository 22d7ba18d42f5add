//! What ends a connection, and whether there is another after it.

use std::time::Duration;

use crate::protocol::CloseCode;
use crate::protocol::close::Reconnect;

/// No host may send its clients away for longer.
const LONGEST: Duration = Duration::from_secs(300);

/// Why a connection was lost, or did not come about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It could not be made.
    #[error("no connection to the host: {0}")]
    Connect(String),
    /// What answers is no host that takes WebSockets.
    #[error("the host did not take the connection: {0}")]
    Upgrade(String),
    /// It was closed by the host.
    #[error("the host closed the connection: {code} {reason}")]
    Closed {
        /// The close code.
        code: u16,
        /// The reason.
        reason: String,
    },
    /// It broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// Nothing came for so long that it must be dead.
    #[error("nothing came from the host for {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// An event is missing.
    #[error("event {expected} is missing: {got} came")]
    Gap {
        /// The position that was to come.
        expected: u64,
        /// The position that came.
        got: u64,
    },
    /// The host has events that did not come.
    #[error("the events after {have} did not come: the host is at {last}")]
    LostTail {
        /// The position of the last event that came.
        have: u64,
        /// The position of the host's last one.
        last: u64,
    },
    /// The host does not speak version 2 as it should.
    #[error("the host does not keep to the protocol: {0}")]
    Protocol(String),
}

/// Why there are no further connections.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// There is no such session, or no longer, or it is another owner's.
    #[error("there is no such session")]
    SessionNotFound,
    /// The host wants a token, or another one.
    #[error("the host wants a token that it knows")]
    NotAuthenticated,
    /// The host does not take clients from where this one says that it is.
    #[error("the host does not allow this client's origin")]
    NotAllowed,
    /// There was no connection for as long as the options allow.
    #[error("the host was not reached for {} s: {last}", .after.as_secs_f32())]
    Unreachable {
        /// For how long.
        after: Duration,
        /// What came of the last try.
        last: Fault,
    },
}

/// What comes after a lost connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another, after a pause that grows.
    Again,
    /// Another, after this time.
    After(Duration),
    /// Another, after a long pause.
    Later,
    /// None.
    Never(Ended),
}

impl Fault {
    pub(super) fn next(&self) -> Next {
        let Self::Closed { code, reason } = self else {
            return Next::Again;
        };
        let Some(code) = CloseCode::of(*code, reason) else {
            return Next::Again;
        };
        match code.reconnect() {
            Reconnect::Yes => Next::Again,
            Reconnect::After(time) => Next::After(time.min(LONGEST)),
            Reconnect::Later => Next::Later,
            Reconnect::WithNewToken => Next::Never(Ended::NotAuthenticated),
            Reconnect::No if code == CloseCode::SessionNotFound => {
                Next::Never(Ended::SessionNotFound)
            }
            Reconnect::No => Next::Never(Ended::NotAllowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(code: u16, reason: &str) -> Next {
        Fault::Closed {
            code,
            reason: reason.to_owned(),
        }
        .next()
    }

    #[test]
    fn a_close_code_says_what_comes_next() {
        assert_eq!(after(1009, "Message too large"), Next::Again);
        assert_eq!(
            after(1012, "retry_ms=250"),
            Next::After(Duration::from_millis(250))
        );
        assert_eq!(after(1012, "retry_ms=999999999999"), Next::After(LONGEST));
        assert_eq!(after(1012, "soon"), Next::Again);
        assert_eq!(after(1013, "Too many connections"), Next::Later);
        assert_eq!(after(4004, ""), Next::Never(Ended::SessionNotFound));
        assert_eq!(after(4008, "Too slow"), Next::Again);
        assert_eq!(after(4401, ""), Next::Never(Ended::NotAuthenticated));
        assert_eq!(after(4403, ""), Next::Never(Ended::NotAllowed));
        assert_eq!(after(1000, ""), Next::Again);
        assert_eq!(after(4999, ""), Next::Again);
    }

    #[test]
    fn what_is_no_close_is_tried_again() {
        for fault in [
            Fault::Connect("refused".into()),
            Fault::Gap {
                expected: 1,
                got: 3,
            },
            Fault::Silent(Duration::from_secs(60)),
        ] {
            assert_eq!(fault.next(), Next::Again);
        }
    }
}
