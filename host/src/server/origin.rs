//! Which web pages may use the host.

use axum::http::{HeaderMap, header};

/// Whether a request with these headers may open a socket or change something: it has no `Origin` (then no
/// browser sent it), or one that is the host's own or in `allowed`.
///
/// The host's own origin is judged by host and port alone: behind a proxy that ends TLS a page's `https` is
/// the host's `http`.
pub fn is_allowed(allowed: &[String], headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let origin = origin.to_ascii_lowercase();
    if allowed.contains(&origin) {
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
    authority == host.strip_suffix(port).unwrap_or(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origin: Option<&str>, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        is_allowed(&["https://app.example".to_owned()], &headers)
    }

    #[test]
    fn own_and_listed_origins_pass() {
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
}
