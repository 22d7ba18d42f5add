//! Where a host is.

use std::fmt;

use tokio_tungstenite::tungstenite::http::Uri;

/// Why a text is no host's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// Not a URL.
    #[error("`{0}` is not a URL such as http://127.0.0.1:8080")]
    NotAUrl(String),
    /// A URL that wants encryption, which a proxy in front of the host may do but this client does not.
    #[error("`{0}` wants TLS, which this client does not speak; give it an http:// address")]
    Tls(String),
}

/// Where a host is: `http://HOST[:PORT][/PREFIX]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    /// Without a slash at its end.
    prefix: String,
}

impl Address {
    /// Reads a URL. Without a scheme it is taken for `http`; `ws` is the same.
    ///
    /// # Errors
    ///
    /// [`InvalidAddress`].
    pub fn parse(url: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress::NotAUrl(url.to_owned());
        let whole = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let uri: Uri = whole.parse().map_err(|_| invalid())?;
        match uri.scheme_str() {
            Some("http" | "ws") => {}
            Some("https" | "wss") => return Err(InvalidAddress::Tls(url.to_owned())),
            _ => return Err(invalid()),
        }
        let authority = uri.authority().ok_or_else(invalid)?;
        if authority.as_str().contains('@') || uri.query().is_some() || authority.host().is_empty()
        {
            return Err(invalid());
        }
        // `:` and nothing, or too large a number, is no port.
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => port.parse().map_err(|_| invalid())?,
            _ => 80,
        };
        Ok(Self {
            host: authority.host().to_owned(),
            port,
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// What a socket connects to.
    #[must_use]
    pub fn socket(&self) -> (&str, u16) {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        (host, self.port)
    }

    /// The value of the header `Host`.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The path on the host of what the interface calls `path`.
    #[must_use]
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (url, expected) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("localhost:8080", "http://localhost:8080"),
            ("ws://a.example/", "http://a.example:80"),
            ("http://[::1]:9/agents/", "http://[::1]:9/agents"),
        ] {
            assert_eq!(Address::parse(url).unwrap().to_string(), expected);
        }
        let address = Address::parse("http://[::1]:9/agents/").unwrap();
        assert_eq!(address.socket(), ("::1", 9));
        assert_eq!(address.path("/sessions"), "/agents/sessions");
        assert_eq!(
            Address::parse("http://[::1]").unwrap().socket(),
            ("::1", 80)
        );
    }

    #[test]
    fn what_is_none_is_told() {
        for url in [
            "",
            "http://",
            "ftp://a",
            "http://a:b",
            "http://a:70000",
            "http://u@a",
            "a?b=c",
        ] {
            assert_eq!(
                Address::parse(url),
                Err(InvalidAddress::NotAUrl(url.to_owned())),
                "{url}"
            );
        }
        assert!(matches!(
            Address::parse("https://a"),
            Err(InvalidAddress::Tls(_))
        ));
    }
}
