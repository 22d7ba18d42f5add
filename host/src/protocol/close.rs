//! The close codes, and whether a client that sees one should come back.

use std::borrow::Cow;
use std::time::Duration;

/// Why the host closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCode {
    /// A frame over the limit; an `error` that states the limit came before.
    FrameTooLarge,
    /// The host is shutting down.
    Draining {
        /// When the client should try again.
        retry: Duration,
    },
    /// Over a limit of connections.
    TooManyConnections,
    /// There is no such session, or no longer.
    SessionNotFound,
    /// The client reads more slowly than the agent emits, beyond what folding can bridge.
    TooSlow,
    /// Not authenticated, or the token ran out.
    NotAuthenticated,
    /// The origin is not allowed.
    NotAllowed,
}

/// What a client should do about a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// Connect again.
    Yes,
    /// Connect again after this time.
    After(Duration),
    /// Connect again, with a growing pause between tries.
    Later,
    /// Connect again with a new token.
    WithNewToken,
    /// Do not.
    No,
}

impl CloseCode {
    /// All of them, the one of a host that shuts down with this time.
    #[must_use]
    pub const fn all(retry: Duration) -> [Self; 7] {
        [
            Self::FrameTooLarge,
            Self::Draining { retry },
            Self::TooManyConnections,
            Self::SessionNotFound,
            Self::TooSlow,
            Self::NotAuthenticated,
            Self::NotAllowed,
        ]
    }

    /// The number in the close frame.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::FrameTooLarge => 1009,
            Self::Draining { .. } => 1012,
            Self::TooManyConnections => 1013,
            Self::SessionNotFound => 4004,
            Self::TooSlow => 4008,
            Self::NotAuthenticated => 4401,
            Self::NotAllowed => 4403,
        }
    }

    /// The reason in the close frame. A close frame has room for 123 bytes of it.
    #[must_use]
    pub fn reason(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::FrameTooLarge => "Message too large",
            Self::Draining { retry } => {
                return Cow::Owned(format!("retry_ms={}", retry.as_millis()));
            }
            Self::TooManyConnections => "Too many connections",
            Self::SessionNotFound => "Session not found",
            Self::TooSlow => "Too slow",
            Self::NotAuthenticated => "Not authenticated",
            Self::NotAllowed => "Origin not allowed",
        })
    }

    /// Reads a close frame; `None` for a code that is not the protocol's own, or a drain that does not say when to
    /// come back.
    #[must_use]
    pub fn of(code: u16, reason: &str) -> Option<Self> {
        Some(match code {
            1009 => Self::FrameTooLarge,
            1012 => {
                let retry = reason.strip_prefix("retry_ms=")?.parse().ok()?;
                let retry = Duration::from_millis(retry);
                Self::Draining { retry }
            }
            1013 => Self::TooManyConnections,
            4004 => Self::SessionNotFound,
            4008 => Self::TooSlow,
            4401 => Self::NotAuthenticated,
            4403 => Self::NotAllowed,
            _ => return None,
        })
    }

    /// Whether the client should come back.
    #[must_use]
    pub const fn reconnect(self) -> Reconnect {
        match self {
            Self::FrameTooLarge | Self::TooSlow => Reconnect::Yes,
            Self::Draining { retry } => Reconnect::After(retry),
            Self::TooManyConnections => Reconnect::Later,
            Self::SessionNotFound | Self::NotAllowed => Reconnect::No,
            Self::NotAuthenticated => Reconnect::WithNewToken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let retry = Duration::from_millis(1250);
        for code in CloseCode::all(retry) {
            assert_eq!(CloseCode::of(code.code(), &code.reason()), Some(code));
        }
        assert_eq!(CloseCode::of(1012, ""), None);
        assert_eq!(CloseCode::of(1000, ""), None);
    }
}
