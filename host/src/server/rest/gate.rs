//! Who may: every request passes here before its handler.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::faults::session_not_found;
use super::metrics;
use crate::server::Host;
use crate::server::auth::Grant;
use crate::server::openapi::changes;
use crate::server::origin;
use crate::server::problem::{Problem, ProblemKind};
use crate::session::{Owner, SessionId};

/// Lets a request pass that comes from an origin that may, with a token where one is needed.
pub(super) async fn admit(
    State(host): State<Arc<Host>>,
    mut request: Request,
    next: Next,
) -> Response {
    let in_force = host.in_force();
    let config = &in_force.config;
    if changes(request.method()) && !origin::is_allowed(config, request.headers()) {
        let detail = "pages of this origin may not use the host; its operator can list it in `server.origins`";
        return Problem::new(ProblemKind::OriginNotAllowed, detail).into_response();
    }
    if config.metrics.public && request.uri().path() == metrics::PATH {
        return next.run(request).await;
    }
    match in_force.access.authenticate(request.headers()) {
        Ok(grant) => {
            let grant = Arc::clone(grant);
            let extensions = request.extensions_mut();
            extensions.insert(Client(grant.owner.clone()));
            extensions.insert(Granted(grant));
        }
        Err(fault) => return Problem::from(fault).into_response(),
    }
    drop(in_force);
    next.run(request).await
}

/// Who sent the request, as [`admit`] found out.
#[derive(Clone, Debug)]
pub(super) struct Client(pub(super) Owner);

/// What lets the client in, as [`admit`] found out.
#[derive(Clone, Debug)]
pub(super) struct Granted(pub(super) Arc<Grant>);

/// A client that may do what is the operator's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admin;

/// A handler asks who the client is, and nobody has found out.
#[derive(Debug, thiserror::Error)]
#[error("the route is not behind the gate")]
struct NotBehindTheGate;

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let client = parts.extensions.get().cloned();
        client.ok_or_else(|| Problem::internal(&NotBehindTheGate))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Granted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let granted = parts.extensions.get().cloned();
        granted.ok_or_else(|| Problem::internal(&NotBehindTheGate))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Granted(grant) = Granted::from_request_parts(parts, state).await?;
        match grant.admin() {
            Ok(()) => Ok(Self),
            Err(why) => Err(Problem::new(ProblemKind::NotPermitted, why.to_string())),
        }
    }
}

/// The one part of the path that varies. What is no text comes out empty: the name of nothing.
#[derive(Clone, Debug)]
pub(super) struct PathName(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(path.map_or_else(|_| String::new(), |Path(name)| name)))
    }
}

/// The session that the path names. One whose id is none does not exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionPath(pub(super) SessionId);

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(PathName(id)) = PathName::from_request_parts(parts, state).await;
        id.parse().map(Self).map_err(|_| session_not_found())
    }
}
