//! Who a client is: bearer tokens, known by their hashes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::config::{Auth, Config};
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

/// Who one token, or the absence of all tokens, makes of a client, for as long as the configuration says so.
#[derive(Debug)]
pub struct Grant {
    /// Whose sessions the client has.
    pub owner: Owner,
    /// Whether it may do what is the operator's.
    admin: bool,
    /// SHA-256 of the token; none where no token is asked for.
    sha256: Option<[u8; 32]>,
    /// Comes when a configuration comes into force that does not have it.
    pub revocation: Arc<Revocation>,
}

/// Whether a grant still holds.
#[derive(Debug, Default)]
pub struct Revocation {
    came: CancellationToken,
    /// The same, for those who ask often.
    has_come: AtomicBool,
}

impl Revocation {
    fn come(&self) {
        self.has_come.store(true, Ordering::Release);
        self.came.cancel();
    }

    /// Whether it has come.
    #[must_use]
    pub fn has_come(&self) -> bool {
        self.has_come.load(Ordering::Acquire)
    }

    /// Waits for it.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub fn came(&self) -> WaitForCancellationFuture<'_> {
        self.came.cancelled()
    }
}

/// Who may use a host, by one configuration.
#[derive(Debug)]
pub struct Access {
    grants: Vec<Arc<Grant>>,
}

/// Why a client may not do what is the operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmin {
    /// Its token does not say so.
    #[error("this takes a token that is configured with `admin = true`; SIGHUP does without one")]
    Token,
    /// There are no tokens, and everybody may reach the host.
    #[error(
        "without tokens this is open on loopback alone, and the host listens beyond it; configure a token with \
         `admin = true`, or send the process SIGHUP"
    )]
    Open,
}

impl Grant {
    /// Whether it may do what is the operator's.
    ///
    /// # Errors
    ///
    /// [`NotAdmin`] when it may not.
    pub fn admin(&self) -> Result<(), NotAdmin> {
        match (self.admin, self.sha256) {
            (true, _) => Ok(()),
            (false, Some(_)) => Err(NotAdmin::Token),
            (false, None) => Err(NotAdmin::Open),
        }
    }

    /// Whether its clients are the same.
    fn is_of(&self, owner: &Owner, sha256: Option<[u8; 32]>) -> bool {
        self.owner == *owner && self.sha256 == sha256
    }
}

impl Access {
    /// That of a configuration. Clients of those that it has in common with the configuration `before` it notice
    /// nothing.
    #[must_use]
    pub fn of(config: &Config, before: Option<&Self>) -> Self {
        let grant = |owner: Owner, sha256, admin| {
            let mut old = before.into_iter().flat_map(|before| &before.grants);
            let old = old.find(|old| old.is_of(&owner, sha256));
            Arc::new(Grant {
                revocation: old.map_or_else(Arc::default, |old| Arc::clone(&old.revocation)),
                owner,
                sha256,
                admin,
            })
        };
        let grants = match &config.auth {
            Auth::None => {
                let loopback = config.server.listen.ip().to_canonical().is_loopback();
                vec![grant(Owner::local(), None, loopback)]
            }
            Auth::Tokens(tokens) => tokens
                .iter()
                .map(|token| {
                    let owner = Owner::new(token.owner.clone());
                    grant(owner, Some(token.sha256), token.admin)
                })
                .collect(),
        };
        Self { grants }
    }

    /// Tells the clients of those that `after` does not have.
    pub fn revoke_what_is_not_in(&self, after: &Self) {
        for grant in &self.grants {
            let mut all = after.grants.iter();
            if !all.any(|new| new.is_of(&grant.owner, grant.sha256)) {
                grant.revocation.come();
            }
        }
    }

    /// Who sent a request, by its `Authorization` header or, for a WebSocket of a browser, by the pair
    /// `bearer, TOKEN` in `Sec-WebSocket-Protocol`.
    ///
    /// # Errors
    ///
    /// [`AuthFault`] when a token is needed.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<&Arc<Grant>, AuthFault> {
        if let [grant] = &self.grants[..]
            && grant.sha256.is_none()
        {
            return Ok(grant);
        }
        let given = authorization(headers)
            .or_else(|| subprotocol(headers))
            .ok_or(AuthFault::Missing)?;
        self.of_token(given).ok_or(AuthFault::Unknown)
    }

    /// Compares with every token, each in constant time, so that the time taken tells nothing of how much of a
    /// guess was right or which token it came close to.
    fn of_token(&self, given: &str) -> Option<&Arc<Grant>> {
        let hash = Sha256::digest(given.as_bytes());
        let mut found = None;
        for grant in &self.grants {
            if let Some(sha256) = &grant.sha256
                && bool::from(sha256.as_slice().ct_eq(hash.as_slice()))
            {
                found = Some(grant);
            }
        }
        found
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &str = "{owner = \"ada\", sha256 = \"7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed\"}";
    const BOB: &str = "{owner = \"bob\", sha256 = \"3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3\"}";

    /// The tokens are "one" and "two".
    fn access(toml: &str) -> Access {
        after(None, toml)
    }

    fn after(before: Option<&Access>, toml: &str) -> Access {
        let config = Config::from_toml(toml, ".");
        Access::of(&config.unwrap_or_else(|faults| panic!("{faults}")), before)
    }

    fn both() -> Access {
        access(&format!("auth.tokens = [{ADA}, {BOB}]"))
    }

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn both_places_of_a_token_are_read() {
        let access = both();
        let owner = |name, value: &str| {
            let grant = access.authenticate(&headers(name, value))?;
            Ok(grant.owner.to_string())
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
        let access = access("");
        let grant = access.authenticate(&HeaderMap::new()).unwrap();
        assert_eq!(grant.owner, Owner::local());
    }

    #[test]
    fn what_is_the_operators_takes_a_token_that_says_so_or_loopback() {
        let admin = |toml: &str| {
            let access = access(toml);
            let grant = access.authenticate(&headers(header::AUTHORIZATION, "Bearer one"));
            grant.unwrap().admin()
        };
        assert_eq!(
            admin(&format!("auth.tokens = [{ADA}]")),
            Err(NotAdmin::Token)
        );
        let with = ADA.replace('}', ", admin = true}");
        assert_eq!(admin(&format!("auth.tokens = [{with}]")), Ok(()));
        assert_eq!(admin(""), Ok(()));
        assert_eq!(admin("server.listen = \"[::1]:0\""), Ok(()));
        // Whoever reaches the host may use it, but it is not theirs.
        let open = "server.listen = \"0.0.0.0:0\"\nauth.mode = \"none\"";
        assert_eq!(admin(open), Err(NotAdmin::Open));
    }

    #[test]
    fn a_token_that_is_gone_is_told_and_one_that_stays_is_not() {
        let before = both();
        let grant = |access: &Access, token: &str| {
            let headers = headers(header::AUTHORIZATION, &format!("Bearer {token}"));
            Arc::clone(access.authenticate(&headers).unwrap())
        };
        let (ada, bob) = (grant(&before, "one"), grant(&before, "two"));
        let with = ADA.replace('}', ", admin = true}");
        let then = after(Some(&before), &format!("auth.tokens = [{with}]"));
        before.revoke_what_is_not_in(&then);
        assert!(bob.revocation.has_come() && !ada.revocation.has_come());
        // It has another right now, and ends like before.
        assert_eq!(grant(&then, "one").admin(), Ok(()));
        let open = after(Some(&then), "");
        then.revoke_what_is_not_in(&open);
        assert!(ada.revocation.has_come());
        // Nor may who came without a token stay where one is asked for.
        let nobody = Arc::clone(open.authenticate(&HeaderMap::new()).unwrap());
        let closed = after(Some(&open), &format!("auth.tokens = [{ADA}, {BOB}]"));
        open.revoke_what_is_not_in(&closed);
        assert!(nobody.revocation.has_come());
        assert!(!grant(&closed, "two").revocation.has_come());
    }

    #[test]
    fn a_token_that_goes_to_another_owner_ends_what_it_opened() {
        let before = both();
        let headers = headers(header::AUTHORIZATION, "Bearer two");
        let bob = Arc::clone(before.authenticate(&headers).unwrap());
        let moved = BOB.replace("bob", "eve");
        let then = after(Some(&before), &format!("auth.tokens = [{ADA}, {moved}]"));
        before.revoke_what_is_not_in(&then);
        assert!(bob.revocation.has_come());
        assert!(!then.authenticate(&headers).unwrap().revocation.has_come());
    }
}
