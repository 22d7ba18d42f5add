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
use tokio_util::sync::CancellationToken;

pub use host::{Host, HostError, InForce};

/// The routes of a host.
pub fn router(host: Arc<Host>) -> Router {
    rest::router(Arc::clone(&host))
        .route("/ws/sessions/{session_id}", get(socket::upgrade))
        .layer(from_fn_with_state(Arc::clone(&host), cors::grant))
        .with_state(host)
}

/// How long requests that are still being answered may take when everything else has ended.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

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
    let ended = CancellationToken::new();
    let ending = {
        let (host, ended) = (Arc::clone(&host), ended.clone());
        async move {
            shutdown.await;
            host.shut_down(drain).await;
            ended.cancel();
        }
    };
    // A frame is small and somebody waits for it: it must not be held back until the one before it is acknowledged.
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let serving = axum::serve(listener, router(host)).with_graceful_shutdown(ending);
    let too_long = async {
        ended.cancelled().await;
        tokio::time::sleep(LAST_REQUESTS).await;
    };
    tokio::select! {
        served = serving.into_future() => served,
        // A client that sends or reads its request for ever does not keep the host.
        () = too_long => {
            tracing::warn!("requests that did not come to an end were cut short");
            Ok(())
        }
    }
}
