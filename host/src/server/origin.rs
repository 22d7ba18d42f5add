//! Which web pages may use the host.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

use crate::config::{Auth, Config};

/// Whether a request with these headers may open a socket or change something: it has no `Origin` (then no
/// browser sent it), or one that is listed, or the host's own.
///
/// The host's own origin is judged by host and port alone: behind a proxy that ends TLS a page's `https` is
/// the host's `http`. Where no token is asked for, a name other than `localhost` must be listed: anybody can
/// make a name of theirs point to a loopback address after their page was loaded (DNS rebinding), and such a
/// page would look like the host's own.
pub fn is_allowed(config: &Config, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let origin = origin.to_ascii_lowercase();
    if config.server.origins.contains(&origin) {
        return true;
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let (Some((scheme, authority)), Some(host)) = (origin.split_once("://"), host) else {
        return false;
    };
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let host = host.to_ascii_lowercase();
    let is_own = authority == host.strip_suffix(port).unwrap_or(&host);
    is_own && (matches!(config.auth, Auth::Tokens(_)) || cannot_be_rebound(authority))
}

/// Whether `authority` names its machine by address, or by the one name that no DNS server answers for.
fn cannot_be_rebound(authority: &str) -> bool {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => authority,
    };
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: &str = r#"
        [server]
        origins = ["https://app.example"]
        [[auth.tokens]]
        owner = "ada"
        sha256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
    "#;

    fn allowed_by(config: &str, origin: Option<&str>, host: &str) -> bool {
        let config = Config::from_toml(config, ".").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        is_allowed(&config, &headers)
    }

    #[test]
    fn own_and_listed_origins_pass() {
        let allowed = |origin, host| allowed_by(TOKENS, origin, host);
        assert!(allowed(None, "127.0.0.1:8080"));
        assert!(allowed(Some("http://127.0.0.1:8080"), "127.0.0.1:8080"));
        assert!(allowed(Some("https://Agents.example"), "agents.example"));
        assert!(allowed(Some("http://agents.example"), "agents.example:80"));
        assert!(allowed(Some("https://app.example"), "127.0.0.1:8080"));
        assert!(!allowed(Some("http://127.0.0.1:8081"), "127.0.0.1:8080"));
        assert!(!allowed(Some("https://evil.example"), "agents.example"));
        assert!(!allowed(Some("null"), "agents.example"));
        assert!(!allowed(Some("https://app.example.evil"), "agents.example"));
    }

    #[test]
    fn without_tokens_a_name_that_anybody_can_point_here_is_not_the_hosts_own() {
        let allowed = |origin, host| allowed_by("", Some(origin), host);
        assert!(allowed("http://localhost:8080", "localhost:8080"));
        assert!(allowed("http://127.0.0.1:8080", "127.0.0.1:8080"));
        assert!(allowed("http://[::1]:8080", "[::1]:8080"));
        assert!(allowed("http://192.168.1.5", "192.168.1.5"));
        assert!(!allowed("http://evil.example:8080", "evil.example:8080"));
        assert!(!allowed("http://evil.example", "evil.example"));
    }
}
