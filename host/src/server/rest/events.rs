//! A session's events as Server-Sent Events.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::Endpoint;
use super::gate::{Granted, SessionPath};
use super::query::Params;
use crate::connection::events::{EventFeed, farewell};
use crate::metrics::Lasting;
use crate::protocol::hello::Asked;
use crate::protocol::{ErrorCode, errors};
use crate::server::Host;
use crate::server::admission::{Admitted, admit_known, hello_limits};
use crate::server::leaving::{Leaving, RETRY};
use crate::server::openapi::Operation;
use crate::server::problem::{Problem, ProblemKind};

/// Where a browser that comes back says which event was its last.
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::new(
        Operation::new(Method::GET, "/sessions/{session_id}/events", "streamEvents", "Watch a session")
            .tag("sessions")
            .description(
                "What a WebSocket of version 2 gets, as Server-Sent Events: `data` is the frame, `event` its type, and `id` \
                 its position, `EPOCH:SEQ`, for those that have one. With the header `Last-Event-ID`, or `epoch` and \
                 `after`, the stream goes on after that position; the header counts for more, since browsers send \
                 it when they come back. A stream that the host ends has an `error` without a position as its last event.",
            )
            .query::<EventsParams>()
            .answer_as::<EventStream>(StatusCode::OK, "The stream.", "text/event-stream")
            .problems(&[ProblemKind::SessionNotFound]),
        watch,
    )]
}

/// Where the client is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsParams {
    /// The name of the numbering that `after` counts in.
    #[serde(default)]
    #[schemars(with = "String")]
    epoch: Option<String>,
    /// The position of the last event that the client has.
    #[serde(default)]
    #[schemars(with = "u64")]
    after: Option<String>,
}

/// What is streamed, to be described.
struct EventStream;

impl JsonSchema for EventStream {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EventStream".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Server-Sent Events. The `data` of each is a JSON object as `/schema/server.json` describes it.",
            "type": "string"
        })
    }
}

async fn watch(
    State(host): State<Arc<Host>>,
    Granted(grant): Granted,
    SessionPath(id): SessionPath,
    Params(params): Params<EventsParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = asked(&params, &headers);
    let in_force = host.in_force();
    let config = &in_force.config;
    let (client, token) = admit_known(&host, config, &grant, Some(id)).await?;
    let mut out = BytesMut::new();
    let retry = RETRY.as_millis();
    // A string has room.
    let _ = write!(out, "retry: {retry}\n\n");
    let feed = EventFeed::open(&client.session, &asked, hello_limits(config), &mut out).await?;
    let watching = Watching {
        feed,
        client,
        host: Arc::clone(&host),
        heartbeat: config.heartbeat.interval,
        drain_spread: config.server.drain_spread,
        leaving: None,
        last_sent: Instant::now(),
        out,
        end: None,
        _counted: host.metrics.connection("events"),
        _token: token,
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Proxies that collect answers would hold events back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let body = Body::from_stream(stream::unfold(watching, Watching::next));
    Ok((headers, body).into_response())
}

/// Where the client is: a browser that comes back sends the header, with the address that it had at first.
fn asked(params: &EventsParams, headers: &HeaderMap) -> Asked {
    match headers.get(LAST_EVENT_ID) {
        Some(id) if !id.is_empty() => Asked::of_event_id(Some(id.to_str().unwrap_or_default())),
        _ => Asked::of(params.epoch.as_deref(), params.after.as_deref()),
    }
}

/// One client's stream. It is asked for more only while the client takes what there is, and ends with the connection:
/// a client that takes nothing is let go of below ([`wire`](crate::server::wire)).
struct Watching {
    feed: EventFeed,
    client: Admitted,
    host: Arc<Host>,
    heartbeat: Duration,
    drain_spread: Duration,
    leaving: Option<Leaving>,
    last_sent: Instant,
    out: BytesMut,
    end: Option<End>,
    /// The stream counts as a connection.
    _token: TaskTrackerToken,
    _counted: Lasting,
}

/// Why the host ends a stream.
#[derive(Clone, Copy)]
enum End {
    Deleted,
    Draining,
    /// All was said.
    Now,
}

impl Watching {
    /// The next piece of the stream. Not cancel safe, and never cancelled but with the whole stream.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        while self.out.is_empty() {
            match self.end {
                Some(End::Now) => return None,
                Some(end) => self.finish(end),
                None => self.wait().await,
            }
        }
        self.last_sent = Instant::now();
        let (metrics, counts) = (&self.host.metrics, self.feed.take_counts());
        metrics.read(counts.events, counts.folded_frames);
        metrics.sent(1, self.out.len() as u64);
        Some((Ok(self.out.split().freeze()), self))
    }

    async fn wait(&mut self) {
        tokio::select! {
            () = self.feed.ready() => {
                if let Err(trimmed) = self.feed.pump(&mut self.out) {
                    tracing::info!(session = %self.client.session.id(), %trimmed, "client too slow");
                    self.end = Some(End::Now);
                }
            }
            () = sleep_until(self.last_sent + self.heartbeat) => self.feed.heartbeat(&mut self.out),
            () = self.client.session.gone() => self.end = Some(End::Deleted),
            // When it comes back it is told why.
            () = self.client.grant.revocation.came() => self.end = Some(End::Now),
            // It goes on until its moment has come.
            () = self.host.closing.cancelled(), if self.leaving.is_none() => {
                let clients = self.host.connections.len();
                self.leaving = Some(Leaving::of(clients, self.drain_spread, Instant::now()));
            }
            its = Leaving::moment(self.leaving) => {
                // A string has room.
                let _ = write!(self.out, "retry: {}\n\n", its.retry().as_millis());
                self.end = Some(End::Draining);
            }
        }
    }

    /// Hands out what the run has left for the client, then says why the stream ends.
    fn finish(&mut self, end: End) {
        match self.feed.pump(&mut self.out) {
            Ok(true) => return,
            Ok(false) if !self.out.is_empty() => return,
            Ok(false) => match end {
                End::Deleted => {
                    let text = errors::SESSION_NOT_FOUND;
                    farewell(ErrorCode::SessionNotFound, text, &mut self.out);
                }
                End::Draining => farewell(ErrorCode::Draining, errors::DRAINING, &mut self.out),
                End::Now => {}
            },
            Err(_) => {}
        }
        self.end = Some(End::Now);
    }
}
