//! Web origins: `scheme://host[:port]`, as RFC 6454 serialises them.

use std::net::Ipv6Addr;

/// Why a text is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum OriginError {
    /// There is no `://`, or nothing sensible before it.
    #[error("has no scheme")]
    Scheme,
    /// The host is missing or holds what a host cannot.
    #[error("has no valid host")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("has no valid port")]
    Port,
    /// A path, query or fragment follows.
    #[error("has a path, which an origin has not")]
    Path,
}

/// The form in which a browser sends the origin: lower case, without the scheme's default
/// port. A single slash at the end is forgiven.
pub(super) fn normalise(text: &str) -> Result<String, OriginError> {
    let (scheme, rest) = text.split_once("://").ok_or(OriginError::Scheme)?;
    let scheme = scheme.to_ascii_lowercase();
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
    if !scheme_fits {
        return Err(OriginError::Scheme);
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#', '\\']) {
        return Err(OriginError::Path);
    }
    let (host, port) = split_port(rest)?;
    if !valid_host(host) {
        return Err(OriginError::Host);
    }
    let host = host.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    Ok(match port.filter(|port| Some(*port) != default_port) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), OriginError> {
    let after_host = authority.rfind(']').map_or(0, |end| end + 1);
    match authority[after_host..].rfind(':') {
        None => Ok((authority, None)),
        Some(colon) => {
            let (host, port) = authority.split_at(after_host + colon);
            let port = &port[1..];
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            match port.parse::<u16>() {
                Ok(port) if digits && port > 0 => Ok((host, Some(port))),
                _ => Err(OriginError::Port),
            }
        }
    }
}

fn valid_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn origins_take_the_form_that_browsers_send() {
        for (text, origin) in [
            ("https://Chat.Example.com", "https://chat.example.com"),
            ("https://chat.example.com/", "https://chat.example.com"),
            ("https://a.b:443", "https://a.b"),
            ("http://a.b:443", "http://a.b:443"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://[::1]", "http://[::1]"),
            ("tauri://localhost", "tauri://localhost"),
        ] {
            assert_eq!(normalise(text).as_deref(), Ok(origin));
        }
    }

    #[test]
    fn what_is_no_origin_is_told_apart() {
        for (text, why) in [
            ("chat.example.com", OriginError::Scheme),
            ("://a", OriginError::Scheme),
            ("1a://a", OriginError::Scheme),
            ("*", OriginError::Scheme),
            ("https://", OriginError::Host),
            ("https://a b", OriginError::Host),
            ("https://user@a", OriginError::Host),
            ("https://*.example.com", OriginError::Host),
            ("http://[::1", OriginError::Host),
            ("http://[zz]", OriginError::Host),
            ("https://bücher.example", OriginError::Host),
            ("https://a:0", OriginError::Port),
            ("https://a:+1", OriginError::Port),
            ("https://a:99999", OriginError::Port),
            ("https://a/path", OriginError::Path),
            ("https://a?q", OriginError::Path),
        ] {
            assert_eq!(normalise(text), Err(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "[a-zA-Z0-9+.-]{1,6}://[a-zA-Z0-9.\\[\\]:/@-]{0,20}") {
            if let Ok(once) = normalise(&text) {
                prop_assert_eq!(normalise(&once), Ok(once.clone()));
            }
        }
    }
}
