//! One WebSocket: its reader, its writer, its timers. What is said on it is [`Connection`]'s.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use futures_util::SinkExt;
use tokio::time::{Instant, sleep_until, timeout};
use tungstenite::error::CapacityError;

use super::auth::{self, BEARER_PROTOCOL};
use super::host::Host;
use super::origin;
use crate::config::Config;
use crate::connection::{ClientFrame, Connection, ConnectionContext, ConnectionLimits};
use crate::guard::ImageLimits;
use crate::protocol::server::ControlFrame;
use crate::protocol::{CloseCode, errors};
use crate::run::SessionHandle;
use crate::session::{Owner, SessionId, StoreError};

/// Read buffer of a connection, in bytes: client messages are short, and idle connections many.
const READ_BUFFER: usize = 2 * 1024;

/// How much is collected before it is written, in bytes.
const WRITE_BUFFER: usize = 16 * 1024;

/// How long one write may stall before the client counts as too slow (fixed by the wire contract).
const WRITE_STALL: Duration = Duration::from_secs(30);

/// How much is written under one such bound, in bytes.
const WRITE_PIECE: usize = 256 * 1024;

/// How long the other side may take to answer a close.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// When a client that is sent away should come back.
const RETRY: Duration = Duration::from_secs(1);

/// `GET /ws/sessions/{session_id}`. Every refusal completes the upgrade first, since a browser cannot see an
/// HTTP status.
pub async fn upgrade(
    State(host): State<Arc<Host>>,
    session: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let in_force = host.in_force();
    let limit = in_force.config.limits.frame_bytes;
    // Taken before it is counted, so that of many who come at the same moment no more get in than may.
    let token = host.connections.token();
    // What is no text is the id of nothing.
    let session = session.map_or_else(|_| String::new(), |Path(session)| session);
    let admitted = admit(&host, &in_force.config, &session, &headers).await;
    upgrade
        .protocols([BEARER_PROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        // A frame somewhat over the limit is read to its end, so that its sender gets the answer and not a
        // connection reset in the middle of its own sending.
        .max_frame_size(limit.saturating_mul(2))
        .max_message_size(limit.saturating_mul(2))
        .on_upgrade(move |socket| async move {
            let mut link = Link::new(socket);
            let close = match admitted {
                Ok(admitted) => converse(&mut link, &host, admitted).await,
                Err(close) => Some(close),
            };
            if let Some(close) = close {
                link.close(close).await;
            }
            drop(token);
        })
}

struct Admitted {
    owner: Owner,
    session: SessionHandle,
}

async fn admit(
    host: &Host,
    config: &Config,
    session: &str,
    headers: &HeaderMap,
) -> Result<Admitted, CloseCode> {
    if !origin::is_allowed(config, headers) {
        return Err(CloseCode::NotAllowed);
    }
    let owner =
        auth::authenticate(&config.auth, headers).map_err(|_| CloseCode::NotAuthenticated)?;
    if host.closing.is_cancelled() || host.connections.is_closed() {
        return Err(CloseCode::Draining { retry: RETRY });
    }
    if host.connections.len() > config.server.max_connections {
        return Err(CloseCode::TooManyConnections);
    }
    let id: SessionId = session.parse().map_err(|_| CloseCode::SessionNotFound)?;
    // In use before it is looked up: a deletion that the look does not see is told to whoever uses the session.
    let session = host.registry.open(id);
    match host.store.get(&owner, id).await {
        Ok(_) => Ok(Admitted { owner, session }),
        Err(StoreError::NotFound(_)) => Err(CloseCode::SessionNotFound),
        Err(error) => {
            // The session may well exist: the client is not to forget it.
            tracing::error!(session = %id, %error, "the session could not be read");
            Err(CloseCode::Draining { retry: RETRY })
        }
    }
}

/// Serves the client until it leaves or must go; answers with what to close.
async fn converse(link: &mut Link, host: &Arc<Host>, admitted: Admitted) -> Option<CloseCode> {
    let in_force = host.in_force();
    let config = &in_force.config;
    let context = ConnectionContext {
        store: Arc::clone(&host.store),
        owner: admitted.owner,
        uploads: host.uploads.of(admitted.session.id()),
        limits: limits(config),
    };
    let (heartbeat, frame_bytes) = (config.heartbeat.interval, config.limits.frame_bytes);
    drop(in_force);
    let mut out = Vec::new();
    let mut connection = Connection::open(context, admitted.session, &mut out).await;
    loop {
        if let Err(end) = link.write(&mut out).await {
            return end;
        }
        tokio::select! {
            // Each arm can lose the race without losing anything: a frame is taken whole or stays in the
            // socket, the log keeps what was not read, and the rest are states.
            received = link.socket.recv() => match received {
                Some(Ok(Message::Text(text))) if text.len() > frame_bytes => {
                    return link.too_large(frame_bytes).await;
                }
                Some(Ok(Message::Binary(data))) if data.len() > frame_bytes => {
                    return link.too_large(frame_bytes).await;
                }
                Some(Ok(Message::Text(text))) => {
                    let frame = ClientFrame::Text(text.as_str().to_owned());
                    let receiving = connection.receive(frame, &mut out);
                    if let Err(end) = link.while_beating(heartbeat, receiving).await {
                        return end;
                    }
                }
                Some(Ok(Message::Binary(_))) => {
                    let receiving = connection.receive(ClientFrame::Binary, &mut out);
                    if let Err(end) = link.while_beating(heartbeat, receiving).await {
                        return end;
                    }
                }
                // The library answers pings by itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) => {
                    link.answer_close().await;
                    return None;
                }
                None => return None,
                Some(Err(error)) if is_too_large(&error) => {
                    link.is_readable = false;
                    return link.too_large(frame_bytes).await;
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "connection lost");
                    return None;
                }
            },
            () = connection.ready() => {
                // It may have to handle a frame that waited, which takes as long as any.
                match link.while_beating(heartbeat, connection.pump(&mut out)).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(trimmed)) => {
                        tracing::info!(session = %connection.session().id(), %trimmed, "client too slow");
                        return Some(CloseCode::TooSlow);
                    }
                    Err(end) => return end,
                }
            }
            () = sleep_until(link.last_sent + heartbeat) => out.push(ControlFrame::Heartbeat.frame_v1()),
            () = connection.session().gone() => {
                return link.finish(&mut connection, out, CloseCode::SessionNotFound).await;
            }
            () = host.closing.cancelled() => {
                return link.finish(&mut connection, out, CloseCode::Draining { retry: RETRY }).await;
            }
        }
    }
}

fn limits(config: &Config) -> ConnectionLimits {
    let limits = &config.limits;
    ConnectionLimits {
        images: ImageLimits {
            count: limits.images,
            bytes: limits.image_bytes,
            total: limits.images_total_bytes,
        },
        json_depth: limits.json_depth,
        waiting_bytes: limits.frame_bytes.saturating_mul(2),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. })) =
            error.downcast_ref()
        {
            return true;
        }
        source = error.source();
    }
    false
}

/// The writing side of a socket.
struct Link {
    socket: WebSocket,
    last_sent: Instant,
    /// Not after a frame whose header alone was read.
    is_readable: bool,
}

impl Link {
    fn new(socket: WebSocket) -> Self {
        Self {
            socket,
            last_sent: Instant::now(),
            is_readable: true,
        }
    }

    /// Writes all frames and flushes once. `Err` holds what to close with, if the client can still be told.
    async fn write(&mut self, frames: &mut Vec<Bytes>) -> Result<(), Option<CloseCode>> {
        if frames.is_empty() {
            return Ok(());
        }
        let mut frames = frames.drain(..).peekable();
        while frames.peek().is_some() {
            let piece = async {
                let mut bytes = 0;
                while bytes < WRITE_PIECE
                    && let Some(frame) = frames.next()
                {
                    bytes += frame.len();
                    let text = Utf8Bytes::try_from(frame).map_err(axum::Error::new)?;
                    self.socket.feed(Message::Text(text)).await?;
                }
                self.socket.flush().await
            };
            match timeout(WRITE_STALL, piece).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%error, "connection lost");
                    return Err(None);
                }
                Err(_) => return Err(Some(CloseCode::TooSlow)),
            }
        }
        drop(frames);
        self.last_sent = Instant::now();
        Ok(())
    }

    /// Waits for `work` and sends heartbeats meanwhile: a message may take long to be looked at and saved, and the
    /// connection must not seem dead for it.
    async fn while_beating<T>(
        &mut self,
        heartbeat: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Option<CloseCode>> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                // After a heartbeat the work goes on where it was.
                done = &mut work => return Ok(done),
                () = sleep_until(self.last_sent + heartbeat) => {
                    self.write(&mut vec![ControlFrame::Heartbeat.frame_v1()]).await?;
                }
            }
        }
    }

    /// Writes what the run has left for the client, then answers `close`.
    async fn finish(
        &mut self,
        connection: &mut Connection,
        mut out: Vec<Bytes>,
        close: CloseCode,
    ) -> Option<CloseCode> {
        loop {
            match connection.pump(&mut out).await {
                Ok(more) => {
                    if let Err(end) = self.write(&mut out).await {
                        return end;
                    }
                    if !more {
                        return Some(close);
                    }
                }
                Err(_) => return Some(CloseCode::TooSlow),
            }
        }
    }

    async fn too_large(&mut self, limit: usize) -> Option<CloseCode> {
        let answer = ControlFrame::Error {
            message: errors::frame_too_large(limit),
        };
        let mut out = vec![answer.frame_v1()];
        match self.write(&mut out).await {
            Ok(()) => Some(CloseCode::FrameTooLarge),
            Err(end) => end,
        }
    }

    /// Answers the client's close. The library has made the answer and writes it with the next read.
    async fn answer_close(&mut self) {
        // A client that is gone needs no answer.
        let _ = timeout(CLOSE_WAIT, self.socket.recv()).await;
    }

    /// Closes, and gives the client a moment to read what it was sent before the connection goes.
    async fn close(&mut self, close: CloseCode) {
        let frame = CloseFrame {
            code: close.code(),
            reason: Utf8Bytes::from(close.reason().as_ref()),
        };
        let closing = async {
            self.socket.send(Message::Close(Some(frame))).await?;
            if !self.is_readable {
                // Ending the connection with something unread in it resets it, which may cost the client what it
                // has not read yet.
                std::future::pending::<()>().await;
            }
            while let Some(Ok(_)) = self.socket.recv().await {}
            Ok::<(), axum::Error>(())
        };
        // A client that does not answer, or is gone, needs no more care.
        let _ = timeout(CLOSE_WAIT, closing).await;
    }
}
