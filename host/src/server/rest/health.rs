//! Whether the host is alive, and whether it can take work.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::Endpoint;
use crate::server::Host;
use crate::server::openapi::Operation;

/// How long the session store may take to answer.
const PING_TIME: Duration = Duration::from_secs(2);

pub(super) fn endpoints() -> Vec<Endpoint> {
    let operation = |path, id, summary| {
        Operation::new(Method::GET, path, id, summary)
            .tag("health")
            .public()
    };
    vec![
        Endpoint::new(
            operation("/healthz", "isAlive", "Is the host alive?")
                .answer::<Health>(StatusCode::OK, "It is, or it would not answer."),
            alive,
        ),
        Endpoint::new(
            operation("/readyz", "isReady", "Can the host take work?")
                .answer::<Readiness>(StatusCode::OK, "It can.")
                .answer::<Readiness>(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "It cannot; the checks say why.",
                ),
            ready,
        ),
    ]
}

/// The host is alive.
#[derive(Debug, Serialize, JsonSchema)]
struct Health {
    status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Status {
    /// All is well.
    Ok,
    /// Not now.
    Unavailable,
}

/// Whether the host can take work.
#[derive(Debug, Serialize, JsonSchema)]
struct Readiness {
    status: Status,
    checks: Checks,
}

/// What it depends on.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
struct Checks {
    /// The session store answers.
    storage: Status,
    /// New runs are taken: the host is not shutting down.
    runs: Status,
}

async fn alive() -> Json<Health> {
    Json(Health { status: Status::Ok })
}

async fn ready(State(host): State<Arc<Host>>) -> (StatusCode, Json<Readiness>) {
    let storage = match tokio::time::timeout(PING_TIME, host.store.ping()).await {
        Ok(Ok(())) => Status::Ok,
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the session store does not answer");
            Status::Unavailable
        }
        Err(_) => {
            tracing::warn!("not ready: the session store does not answer in time");
            Status::Unavailable
        }
    };
    let runs = if host.registry.is_draining() {
        Status::Unavailable
    } else {
        Status::Ok
    };
    let ready = storage == Status::Ok && runs == Status::Ok;
    let (code, status) = if ready {
        (StatusCode::OK, Status::Ok)
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Status::Unavailable)
    };
    (
        code,
        Json(Readiness {
            status,
            checks: Checks { storage, runs },
        }),
    )
}
