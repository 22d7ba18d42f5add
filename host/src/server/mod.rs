//! The server: routes, the upgrade to a WebSocket, and the drain.
//!
//! In reading order: [`host`] (what serves, put together), [`mod@reload`] (putting something else in its place),
//! [`mod@serve`] (listening and ending), [`socket`] (one WebSocket) with `admission` and [`places`] (who may have one), `handshake` (how it begins), `link` (its frames), `pulse`
//! (whether the client is alive), `seldom` (what hardly ever happens to it), `leaving` (how clients are sent away) and `wire`
//! (the stream below it), `rest` (everything else), [`auth`], [`origin`] and `cors` (who may), `problem` (how errors are
//! told), [`documents`] with `openapi` and `asyncapi` (how all that is described to programs).

mod admission;
mod asyncapi;
pub mod auth;
mod cors;
pub mod documents;
mod handshake;
pub mod host;
mod leaving;
mod link;
mod openapi;
pub mod origin;
pub mod places;
pub mod problem;
mod pulse;
pub mod reload;
mod rest;
mod seldom;
pub mod serve;
pub mod socket;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;

pub use host::{Host, HostError, InForce};
pub use reload::{ReloadError, Reloaded};
pub use serve::{Patience, serve, serve_with};

/// The routes of a host.
pub fn router(host: Arc<Host>) -> Router {
    rest::router(Arc::clone(&host))
        .route("/ws/sessions/{session_id}", get(socket::upgrade))
        .layer(from_fn_with_state(Arc::clone(&host), cors::grant))
        .with_state(host)
}
