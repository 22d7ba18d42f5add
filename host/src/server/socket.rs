//! One WebSocket: its reader and its timers. What is said on it is [`Connection`]'s, how it is
//! written `Link`'s.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as SocketError};
use tokio_tungstenite::tungstenite::protocol::Message;

use super::admission::{Admitted, admit, hello_limits, limits};
use super::handshake::Handshake;
use super::host::Host;
use super::leaving::{Leaving, RETRY};
use super::link::{Due, Link};
use super::problem::Problem;
use super::seldom::Seldom;
use super::wire::Wire;
use crate::connection::v1::heartbeat as v1_heartbeat;
use crate::connection::{ClientFrame, Connection, ConnectionContext, Wish};
use crate::protocol::frames::Frames;
use crate::protocol::hello::Asked;
use crate::protocol::{CloseCode, Version};
use crate::run::SessionHandle;
use crate::session::StoreError;

/// How many times in a row events that are ready are written before the client is listened to again.
const EAGER: u32 = 16;

/// Frames that have gathered while the ones before them were written: so many make a stream a fast one, which is written in
/// larger pieces. To write each handful at once would cost more than to make it, for whoever emits them too.
const FAST: u64 = 32;

/// Events that are waited for in a fast stream before they are written.
const GATHERED: u64 = 512;

/// How long they are waited for.
const GATHERING: Duration = Duration::from_millis(1);

/// `GET /ws/sessions/{session_id}`. Every refusal completes the upgrade first, since a browser cannot see an
/// HTTP status.
pub(super) async fn upgrade(
    State(host): State<Arc<Host>>,
    session: Result<Path<String>, PathRejection>,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
    headers: HeaderMap,
    Extension(wire): Extension<Wire>,
    handshake: Result<Handshake, Problem>,
) -> Result<Response, Problem> {
    let (answer, upgrading) = handshake?.accept();
    let in_force = host.in_force();
    let limit = in_force.config.limits.frame_bytes;
    let heartbeat = in_force.config.heartbeat.clone();
    // One that is refused is no connection, but is waited for like one.
    let refusing = host.errands.token();
    // What is no text is the id of nothing.
    let session = session.map_or_else(|_| String::new(), |Path(session)| session);
    let wish = wish(&query.map(|Query(query)| query).unwrap_or_default());
    let admitted = admit(&host, &in_force, &session, &headers).await;
    // Waited for by the tokens.
    tokio::spawn(async move {
        // A frame somewhat over the limit is read to its end, so that its sender gets the answer and not a
        // connection reset in the middle of its own sending.
        let socket = match upgrading.socket(limit.saturating_mul(2)).await {
            Ok(socket) => socket,
            Err(error) => {
                tracing::debug!(%error, "no WebSocket");
                return;
            }
        };
        let mut link = Link::new(
            socket,
            wire,
            host.closing.clone(),
            &heartbeat,
            Arc::clone(&host.metrics),
        );
        let (close, token) = match admitted {
            Ok((admitted, token)) => {
                drop(refusing);
                (converse(&mut link, &host, admitted, &wish).await, token)
            }
            Err(close) => (Some(close), refusing),
        };
        if let Some(close) = close {
            host.metrics.closed(close.code());
            link.close(close).await;
        }
        drop(token);
    });
    Ok(answer)
}

/// What the client asks for in the query.
fn wish(query: &HashMap<String, String>) -> Wish {
    let parameter = |name: &str| query.get(name).map(String::as_str);
    Wish {
        version: Version::asked(parameter("v")),
        asked: Asked::of(parameter("epoch"), parameter("after")),
    }
}

/// What a connection keeps of the configuration that was in force when it began.
#[derive(Clone, Copy)]
struct Terms {
    heartbeat: Duration,
    frame_bytes: usize,
    drain_spread: Duration,
}

/// Serves the client until it leaves or must go; answers with what to close.
async fn converse(
    link: &mut Link,
    host: &Arc<Host>,
    admitted: Admitted,
    wish: &Wish,
) -> Option<CloseCode> {
    let in_force = host.in_force();
    let config = &in_force.config;
    let context = ConnectionContext {
        store: Arc::clone(&host.store),
        owner: admitted.grant.owner.clone(),
        uploads: host.uploads.of(admitted.session.id()),
        limits: limits(config),
        hello: hello_limits(config),
        rate: Arc::clone(&host.rate),
        metrics: Arc::clone(&host.metrics),
    };
    let terms = Terms {
        heartbeat: config.heartbeat.interval,
        frame_bytes: config.limits.frame_bytes,
        drain_spread: config.server.drain_spread,
    };
    let heartbeat = terms.heartbeat;
    drop(in_force);
    let mut out = Frames::default();
    // What is rare and large is put in boxes, here and below: a connection that idles does not carry the room for it about.
    let greeting = greet(link, wish, context, admitted.session, heartbeat, &mut out);
    let mut connection = match Box::pin(greeting).await {
        Ok(connection) => connection,
        Err(end) => return end,
    };
    let _counted = host.metrics.connection(match wish.version {
        Version::V1 => "1",
        Version::V2 => "2",
    });
    let mut leaving: Option<Leaving> = None;
    let session = connection.session().clone();
    let (gone, closing) = (session.gone(), host.closing.cancelled());
    let revocation = &admitted.grant.revocation;
    let revoked = revocation.came();
    let timer = sleep_until(link.due_at(heartbeat));
    tokio::pin!(gone, closing, revoked, timer);
    let mut seldom = Seldom::default();
    let mut eager = 0;
    // How many events are worth a write.
    let mut worth = 1;
    loop {
        if let Err(end) = link.write(&mut out).await {
            return end;
        }
        connection.written(link.last_sent.into_std());
        // Looked at whether or not there are events all the time. Nothing more is for it, not even what is ready.
        if revocation.has_come() {
            return Some(CloseCode::NotAuthenticated);
        }
        if connection.has_work() {
            let beat = connection.heartbeat();
            let work = link.while_beating(heartbeat, beat, connection.work(&mut out));
            if let Err(end) = Box::pin(work).await {
                return end;
            }
            continue;
        }
        if connection.is_replaying() || (eager < EAGER && connection.is_ready(worth)) {
            eager += 1;
            if let Err(trimmed) = connection.pump(&mut out) {
                tracing::info!(session = %session.id(), %trimmed, "client too slow");
                return Some(CloseCode::TooSlow);
            }
            worth = if out.count() < FAST { 1 } else { GATHERED };
            continue;
        }
        eager = 0;
        // Whatever is not looked at now is there the next time: a frame is taken whole or stays in the socket, the log keeps
        // what was not read, and the rest are states.
        let happened = poll_fn(|cx| {
            // First, or a client that sends all the time would keep them off. Mostly it is one look.
            let rare = seldom.poll(cx, |cx| {
                if gone.as_mut().poll(cx).is_ready() {
                    Poll::Ready(Happened::Gone)
                } else if revoked.as_mut().poll(cx).is_ready() {
                    Poll::Ready(Happened::Revoked)
                } else if leaving.is_none() && closing.as_mut().poll(cx).is_ready() {
                    Poll::Ready(Happened::Closing)
                } else {
                    timer.as_mut().poll(cx).map(|()| Happened::Due)
                }
            });
            if rare.is_ready() {
                return rare;
            }
            if let Poll::Ready(frame) = link.poll_hear(cx) {
                return Poll::Ready(Happened::Heard(frame));
            }
            connection.poll_ready(cx, worth).map(|()| Happened::Events)
        });
        let happened = if worth == 1 {
            happened.await
        } else {
            let gathered = Box::pin(timeout(GATHERING, happened)).await;
            gathered.unwrap_or(Happened::Gathered)
        };
        if !matches!(happened, Happened::Events) {
            // Else whatever happens more often than that would have the events wait for ever.
            worth = 1;
        }
        match happened {
            Happened::Heard(frame) => {
                let taking = take(link, &mut connection, terms, frame, &mut out);
                if let Err(end) = Box::pin(taking).await {
                    return end;
                }
            }
            Happened::Events | Happened::Gathered => {}
            Happened::Gone => {
                let ending = link.finish(&mut connection, out, CloseCode::SessionNotFound);
                return Box::pin(ending).await;
            }
            Happened::Revoked => return Some(CloseCode::NotAuthenticated),
            // It is served as before until its moment has come.
            Happened::Closing => {
                let clients = host.connections.len();
                let its = Leaving::of(clients, terms.drain_spread, Instant::now());
                timer.as_mut().reset(link.due_at(heartbeat).min(its.at()));
                leaving = Some(its);
            }
            Happened::Due => {
                let now = Instant::now();
                if let Some(its) = leaving
                    && its.at() <= now
                {
                    return Box::pin(link.finish(&mut connection, out, its.close())).await;
                }
                let done = match link.due(heartbeat, now) {
                    Some(Due::Heartbeat) => {
                        out.push(&connection.heartbeat());
                        Ok(())
                    }
                    Some(Due::Ping) => Box::pin(link.ping()).await,
                    // A frame that is there counts, however late it is looked at.
                    Some(Due::Dead) => match link.hear().now_or_never() {
                        Some(frame) => {
                            Box::pin(take(link, &mut connection, terms, frame, &mut out)).await
                        }
                        None => {
                            tracing::info!(session = %session.id(), "client dead: it does not answer a ping");
                            host.metrics.dead();
                            Err(None)
                        }
                    },
                    None => Ok(()),
                };
                if let Err(end) = done {
                    return end;
                }
                // A heartbeat counts as sent when it is written, which is next.
                let due = link.due_at(heartbeat);
                let at = leaving.map_or(due, |its| due.min(its.at()));
                timer.as_mut().reset(at);
            }
        }
    }
}

/// What a connection waits for.
enum Happened {
    /// The client sent a frame, or is gone.
    Heard(Option<Result<Message, SocketError>>),
    /// There are events to send.
    Events,
    /// Fewer events than that came in the time.
    Gathered,
    /// The session was deleted.
    Gone,
    /// The client's token holds no longer.
    Revoked,
    /// The host ends.
    Closing,
    /// The time of something has come.
    Due,
}

/// Begins the conversation; `out` gets the greeting. `Err` holds what to close with, if the client can still be told.
async fn greet(
    link: &mut Link,
    wish: &Wish,
    context: ConnectionContext,
    session: SessionHandle,
    heartbeat: Duration,
    out: &mut Frames,
) -> Result<Connection, Option<CloseCode>> {
    let opening = Connection::open(wish, context, session, out);
    let opened = match wish.version {
        // A run that is about to begin is waited for.
        Version::V1 => {
            link.while_beating(heartbeat, v1_heartbeat(), opening)
                .await?
        }
        // The greeting comes first, and it waits for the store alone.
        Version::V2 => opening.await,
    };
    let mut connection = opened.map_err(|error| match error {
        StoreError::NotFound(_) => Some(CloseCode::SessionNotFound),
        error => {
            tracing::error!(%error, "it could not be read where a session stands");
            Some(CloseCode::Draining { retry: RETRY })
        }
    })?;
    // With the greeting goes the first of what it announces, mostly all of it.
    if connection.is_replaying() {
        let pumped = connection.pump(out);
        pumped.map_err(|_| Some(CloseCode::TooSlow))?;
    }
    Ok(connection)
}

/// Handles what was read of the client. `Err` holds what to close with, if the client can still be told.
async fn take(
    link: &mut Link,
    connection: &mut Connection,
    terms: Terms,
    frame: Option<Result<Message, SocketError>>,
    out: &mut Frames,
) -> Result<(), Option<CloseCode>> {
    let limit = terms.frame_bytes;
    let frame = match frame {
        Some(Ok(Message::Text(text))) if text.len() > limit => {
            return Err(link.too_large(connection.too_large(limit)).await);
        }
        Some(Ok(Message::Binary(data))) if data.len() > limit => {
            return Err(link.too_large(connection.too_large(limit)).await);
        }
        Some(Ok(Message::Text(text))) => ClientFrame::Text(text.as_str().to_owned()),
        Some(Ok(Message::Binary(_))) => ClientFrame::Binary,
        // The library has made the answer to a ping.
        Some(Ok(Message::Ping(_))) => return link.flush().await,
        Some(Ok(Message::Pong(_) | Message::Frame(_))) => return Ok(()),
        Some(Ok(Message::Close(_))) => {
            link.answer_close().await;
            return Err(None);
        }
        None => return Err(None),
        Some(Err(error)) if is_too_large(&error) => {
            link.is_readable = false;
            return Err(link.too_large(connection.too_large(limit)).await);
        }
        Some(Err(error)) => {
            tracing::debug!(%error, "connection lost");
            return Err(None);
        }
    };
    let beat = connection.heartbeat();
    let receiving = connection.receive(frame, out);
    link.while_beating(terms.heartbeat, beat, receiving).await
}

fn is_too_large(error: &SocketError) -> bool {
    matches!(
        error,
        SocketError::Capacity(CapacityError::MessageTooLong { .. })
    )
}
