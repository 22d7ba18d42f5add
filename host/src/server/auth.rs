//! Who a client is: bearer tokens, known by their hashes.

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::{Auth, Token};
use crate::session::Owner;

/// The subprotocol that a browser names before its token, since it can set no header on a WebSocket.
pub const BEARER_PROTOCOL: &str = "bearer";

/// The request carries no token that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthFault {
    /// There is none.
    #[error("a bearer token is needed, in the `Authorization` header")]
    Missing,
    /// There is one, and it is not known.
    #[error("the bearer token is not known")]
    Unknown,
}

/// Whose request this is, by its `Authorization` header or, for a WebSocket of a browser, by the pair
/// `bearer, TOKEN` in `Sec-WebSocket-Protocol`.
///
/// # Errors
///
/// [`AuthFault`] when a token is needed.
pub fn authenticate(auth: &Auth, headers: &HeaderMap) -> Result<Owner, AuthFault> {
    let tokens = match auth {
        Auth::None => return Ok(Owner::local()),
        Auth::Tokens(tokens) => tokens,
    };
    let given = authorization(headers)
        .or_else(|| subprotocol(headers))
        .ok_or(AuthFault::Missing)?;
    owner_of(tokens, given).ok_or(AuthFault::Unknown)
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim_start_matches(' '))
}

fn subprotocol(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    let mut names = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    names.find(|name| *name == BEARER_PROTOCOL)?;
    names.next()
}

/// Compares with every token, each in constant time, so that the time taken tells nothing of how much of a
/// guess was right or which token it came close to.
fn owner_of(tokens: &[Token], given: &str) -> Option<Owner> {
    let hash = Sha256::digest(given.as_bytes());
    let mut found = None;
    for token in tokens {
        if bool::from(token.sha256.as_slice().ct_eq(hash.as_slice())) {
            found = Some(token);
        }
    }
    found.map(|token| Owner::new(token.owner.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth() -> Auth {
        let token = |owner: &str, token: &str| Token {
            owner: owner.to_owned(),
            sha256: Sha256::digest(token.as_bytes()).into(),
        };
        Auth::Tokens(vec![token("ada", "one"), token("bob", "two")])
    }

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn both_places_of_a_token_are_read() {
        let owner = |name, value: &str| {
            authenticate(&auth(), &headers(name, value)).map(|owner| owner.to_string())
        };
        assert_eq!(
            owner(header::AUTHORIZATION, "Bearer two"),
            Ok("bob".to_owned())
        );
        assert_eq!(
            owner(header::AUTHORIZATION, "bearer  one"),
            Ok("ada".to_owned())
        );
        assert_eq!(
            owner(header::SEC_WEBSOCKET_PROTOCOL, "bearer, one"),
            Ok("ada".to_owned())
        );
        assert_eq!(
            owner(header::SEC_WEBSOCKET_PROTOCOL, "chat,bearer,two"),
            Ok("bob".to_owned())
        );
        assert_eq!(
            owner(header::AUTHORIZATION, "Bearer three"),
            Err(AuthFault::Unknown)
        );
        assert_eq!(
            owner(header::AUTHORIZATION, "Basic one"),
            Err(AuthFault::Missing)
        );
        assert_eq!(
            owner(header::SEC_WEBSOCKET_PROTOCOL, "bearer"),
            Err(AuthFault::Missing)
        );
    }

    #[test]
    fn without_authentication_everybody_is_one_owner() {
        assert_eq!(
            authenticate(&Auth::None, &HeaderMap::new()),
            Ok(Owner::local())
        );
    }
}
