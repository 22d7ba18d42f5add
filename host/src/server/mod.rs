//! The server: routes, the upgrade to a WebSocket, and the drain.
//!
//! In reading order: [`host`] (what serves, put together), [`serve`] (listening and ending), [`socket`] (one
//! WebSocket), `rest` (everything else), [`auth`], [`origin`] and `cors` (who may), `problem` (how errors are told),
//! [`documents`] with `openapi` and `asyncapi` (how all that is described to programs).

mod asyncapi;
pub mod auth;
mod cors;
pub mod documents;
pub mod host;
mod openapi;
pub mod origin;
pub mod problem;
mod rest;
pub mod socket;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

pub use host::{Host, HostError, InForce};

/// The routes of a host.
pub fn router(host: Arc<Host>) -> Router {
    rest::router(Arc::clone(&host))
        .route("/ws/sessions/{session_id}", get(socket::upgrade))
        .layer(from_fn_with_state(Arc::clone(&host), cors::grant))
        .with_state(host)
}

/// Serves on `listener` until `shutdown` completes, then ends the host: runs in progress get `drain` to end.
///
/// # Errors
///
/// When the listener fails.
pub async fn serve(
    host: Arc<Host>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
    drain: Duration,
) -> std::io::Result<()> {
    let ending = {
        let host = Arc::clone(&host);
        async move {
            shutdown.await;
            host.shut_down(drain).await;
        }
    };
    // A frame is small and somebody waits for it: it must not be held back until the one before it is acknowledged.
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    axum::serve(listener, router(host))
        .with_graceful_shutdown(ending)
        .await
}
