//! Listening, and ending in order.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::host::Host;
use super::router;
use super::wire::{WatchedStream, Wire};

/// How long requests that are still being answered may take when everything else has ended.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// How long the host waits for a client.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the head of a request, from the connection's begin or the end of the request before it.
    pub head: Duration,
    /// While a client takes nothing of what is written to it; then it is too slow.
    pub stall: Duration,
}

impl Default for Patience {
    /// 30 seconds each; that of a stall is fixed by the wire contract.
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            stall: Duration::from_secs(30),
        }
    }
}

/// Serves on `listener` until `shutdown` completes, then ends the host: runs in progress get as long to end as is
/// configured then.
pub async fn serve(
    host: Arc<Host>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    serve_with(host, listener, shutdown, None, Patience::default()).await;
}

/// [`serve`] with another time for runs, and another patience.
pub async fn serve_with(
    host: Arc<Host>,
    mut listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
    drain: Option<Duration>,
    patience: Patience,
) {
    let router = router(Arc::clone(&host));
    let (ended, cut) = (CancellationToken::new(), CancellationToken::new());
    let tasks = TaskTracker::new();
    let mut ending = pin!(async {
        shutdown.await;
        let drain = drain.unwrap_or_else(|| host.in_force().config.server.drain);
        // Clients are still answered meanwhile, if only that the host is ending.
        host.shut_down(drain).await;
    });
    loop {
        tokio::select! {
            () = &mut ending => break,
            // The trait's: it bides its time when no more connections can be opened.
            (stream, _) = Listener::accept(&mut listener) => {
                let (ended, cut) = (ended.clone(), cut.clone());
                let closing = host.closing.clone();
                let serving = serve_client(stream, router.clone(), patience, closing, ended);
                tasks.spawn(async move { cut.run_until_cancelled(serving).await });
            }
        }
    }
    drop(listener);
    ended.cancel();
    tasks.close();
    // A client that sends or reads its request for ever does not keep the host.
    if tokio::time::timeout(LAST_REQUESTS, tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!("requests that did not come to an end were cut short");
        cut.cancel();
        tasks.wait().await;
    }
}

/// Serves one client's requests until it leaves, or becomes a WebSocket; after `ended`, the one in progress.
async fn serve_client(
    stream: TcpStream,
    router: Router,
    patience: Patience,
    closing: CancellationToken,
    ended: CancellationToken,
) {
    let wire = Wire::new(patience.stall);
    let stream = WatchedStream::new(stream, &wire, closing);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(wire.clone());
        router.clone().oneshot(request.map(Body::new))
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(patience.head)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    let served = tokio::select! {
        served = &mut connection => served,
        () = ended.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection lost");
    }
}
