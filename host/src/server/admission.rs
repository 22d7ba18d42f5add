//! Who may have a connection, and within which limits.

use std::sync::Arc;

use axum::http::HeaderMap;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::auth::Grant;
use super::host::{Host, InForce};
use super::leaving::{Leaving, RETRY};
use super::origin;
use super::places::Place;
use crate::config::Config;
use crate::connection::ConnectionLimits;
use crate::guard::ImageLimits;
use crate::protocol::CloseCode;
use crate::protocol::hello::HelloLimits;
use crate::run::SessionHandle;
use crate::session::{SessionId, StoreError};

/// A client that may talk to its session.
pub(super) struct Admitted {
    /// Who the client is, for as long as that holds.
    pub(super) grant: Arc<Grant>,
    pub(super) session: SessionHandle,
    /// Kept as long as the connection.
    _place: Place,
}

/// Why a client that is known gets no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAdmitted {
    #[error("the host is shutting down")]
    Draining,
    #[error("there are too many connections")]
    TooManyConnections,
    #[error("there is no such session")]
    SessionNotFound,
    /// The session may well exist.
    #[error("the session could not be read")]
    NotRead(#[source] StoreError),
}

/// Who may in gets a token that makes it a connection: a WebSocket.
pub(super) async fn admit(
    host: &Host,
    in_force: &InForce,
    session: &str,
    headers: &HeaderMap,
) -> Result<(Admitted, TaskTrackerToken), CloseCode> {
    let config = &in_force.config;
    if !origin::is_allowed(config, headers) {
        return Err(CloseCode::NotAllowed);
    }
    let grant = in_force.access.authenticate(headers);
    let grant = grant.map_err(|_| CloseCode::NotAuthenticated)?;
    let id = session.parse().ok();
    admit_known(host, config, grant, id).await.map_err(|why| {
        match why {
            NotAdmitted::Draining => {
                let (most, spread) = (config.server.max_connections, config.server.drain_spread);
                Leaving::of(most, spread, Instant::now()).close()
            }
            NotAdmitted::TooManyConnections => CloseCode::TooManyConnections,
            NotAdmitted::SessionNotFound => CloseCode::SessionNotFound,
            NotAdmitted::NotRead(error) => {
                tracing::error!(session, %error, "the session could not be read");
                // The client is not to forget it.
                CloseCode::Draining { retry: RETRY }
            }
        }
    })
}

/// Who is known and may in gets a token that makes it a connection. `session` is none for what is no id of one.
pub(super) async fn admit_known(
    host: &Host,
    config: &Config,
    grant: &Arc<Grant>,
    session: Option<SessionId>,
) -> Result<(Admitted, TaskTrackerToken), NotAdmitted> {
    if host.closing.is_cancelled() || host.connections.is_closed() {
        return Err(NotAdmitted::Draining);
    }
    // Taken before it is counted, so that of many who come at the same moment no more get in than may.
    let token = host.connections.token();
    if host.connections.len() > config.server.max_connections {
        return Err(NotAdmitted::TooManyConnections);
    }
    let place = host
        .places
        .take(&grant.owner, config.server.max_connections_per_owner)
        .ok_or(NotAdmitted::TooManyConnections)?;
    let id = session.ok_or(NotAdmitted::SessionNotFound)?;
    // In use before it is looked up: a deletion that the look does not see is told to whoever uses the session.
    let session = host.registry.open(id);
    // Of a session in which something goes on, the owner is known; of one that is deleted, too.
    match session.owner() {
        Some(its) if *its == grant.owner && !session.is_gone() => {}
        Some(_) => return Err(NotAdmitted::SessionNotFound),
        None => match host.store.get(&grant.owner, id).await {
            Ok(_) => session.belongs_to(grant.owner.clone()),
            Err(StoreError::NotFound(_)) => return Err(NotAdmitted::SessionNotFound),
            Err(error) => return Err(NotAdmitted::NotRead(error)),
        },
    }
    let admitted = Admitted {
        grant: Arc::clone(grant),
        session,
        _place: place,
    };
    Ok((admitted, token))
}

pub(super) fn limits(config: &Config) -> ConnectionLimits {
    let limits = &config.limits;
    ConnectionLimits {
        images: ImageLimits {
            count: limits.images,
            bytes: limits.image_bytes,
            total: limits.images_total_bytes,
        },
        json_depth: limits.json_depth,
        waiting_bytes: limits.frame_bytes.saturating_mul(2),
        messages_per_minute: limits.messages_per_minute,
    }
}

/// What clients are told of the limits.
pub(super) fn hello_limits(config: &Config) -> HelloLimits {
    let limits = &config.limits;
    HelloLimits {
        frame_bytes: limits.frame_bytes,
        images: limits.images,
        image_bytes: limits.image_bytes,
        images_total_bytes: limits.images_total_bytes,
        queue: limits.queue,
        heartbeat_ms: u64::try_from(config.heartbeat.interval.as_millis()).unwrap_or(u64::MAX),
    }
}
