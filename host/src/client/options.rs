//! How a client connects.

use std::time::Duration;

use super::address::{Address, InvalidAddress};
use super::backoff::Backoff;

/// Why there can be no client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOptions {
    /// The address.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The session's id has signs that no id has.
    #[error("`{0}` is not a session's id")]
    Session(String),
    /// The token has signs that no header can carry.
    #[error("the token has signs that a token must not have")]
    Token,
}

/// How a client connects, and when it gives up.
#[derive(Clone)]
pub struct Options {
    pub(super) address: Address,
    pub(super) session: String,
    pub(super) authorization: Option<String>,
    pub(super) cursor: Option<(String, u64)>,
    pub(super) backoff: Backoff,
    pub(super) connect: Duration,
    pub(super) give_up: Option<Duration>,
}

impl std::fmt::Debug for Options {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("address", &self.address)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// A client of this session on the host at `url`.
    ///
    /// # Errors
    ///
    /// [`InvalidOptions`].
    pub fn new(url: &str, session: &str) -> Result<Self, InvalidOptions> {
        let is_id = |sign: u8| sign.is_ascii_alphanumeric() || sign == b'-';
        if session.is_empty() || !session.bytes().all(is_id) {
            return Err(InvalidOptions::Session(session.to_owned()));
        }
        Ok(Self {
            address: Address::parse(url)?,
            session: session.to_owned(),
            authorization: None,
            cursor: None,
            backoff: Backoff::default(),
            connect: Duration::from_secs(10),
            give_up: None,
        })
    }

    /// With this bearer token.
    ///
    /// # Errors
    ///
    /// [`InvalidOptions::Token`].
    pub fn token(mut self, token: &str) -> Result<Self, InvalidOptions> {
        if token.is_empty() || !token.bytes().all(|sign| sign.is_ascii_graphic()) {
            return Err(InvalidOptions::Token);
        }
        self.authorization = Some(format!("Bearer {token}"));
        Ok(self)
    }

    /// Goes on after this position, such as a history's `epoch` and `last_seq`.
    #[must_use]
    pub fn resume(mut self, epoch: impl Into<String>, after: u64) -> Self {
        self.cursor = Some((epoch.into(), after));
        self
    }

    /// With these pauses between connections.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Ends when there was no connection for this time; without it, never.
    #[must_use]
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.give_up = Some(time);
        self
    }

    /// The path and query of a connection that goes on after `cursor`.
    pub(super) fn target(&self, cursor: Option<(&str, u64)>) -> String {
        let path = format!("/ws/sessions/{}?v=2", self.session);
        let mut target = self.address.path(&path);
        if let Some((epoch, after)) = cursor {
            target.push_str("&epoch=");
            // A host's epochs are letters and digits; a caller's may be anything.
            for byte in epoch.bytes() {
                if byte.is_ascii_alphanumeric() || byte == b'-' {
                    target.push(char::from(byte));
                } else {
                    target.push_str(&format!("%{byte:02X}"));
                }
            }
            target.push_str(&format!("&after={after}"));
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_has_the_cursor() {
        let options = Options::new("http://a:1/b/", "0-9").unwrap();
        assert_eq!(options.target(None), "/b/ws/sessions/0-9?v=2");
        assert_eq!(
            options.target(Some(("e&ö", 7))),
            "/b/ws/sessions/0-9?v=2&epoch=e%26%C3%B6&after=7"
        );
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let session = |id| Options::new("http://a:1", id).map(|_| ());
        for id in ["", "a/b", "a?b", "ä"] {
            assert_eq!(session(id), Err(InvalidOptions::Session(id.to_owned())));
        }
        let options = Options::new("http://a:1", "a").unwrap();
        for token in ["", "a\nb", "a b"] {
            assert!(options.clone().token(token).is_err(), "{token:?}");
        }
        let shown = format!("{:?}", options.token("secret").unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }
}
