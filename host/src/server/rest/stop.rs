//! Stopping a session's run.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::Endpoint;
use super::gate::{Client, PathName};
use crate::server::Host;
use crate::server::openapi::Operation;
use crate::server::problem::Problem;
use crate::session::{SessionId, StoreError};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::new(
        Operation::new(Method::POST, "/sessions/{session_id}/stop", "stopRun", "Stop a session's run")
            .tag("sessions")
            .description(
                "The agent is asked to stop, and what it answers decides how the run ends. One that has not ended \
                 after the configured grace is abandoned. A second stop of the same run is fine. A body is ignored.",
            )
            .answer::<StopAnswer>(StatusCode::OK, "Whether there is a run. For an unknown session there is none."),
        stop,
    )]
}

/// Whether there was a run to stop.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StopAnswer {
    ok: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    reason: Option<&'static str>,
}

/// The answer is the same for a session that is idle, unknown, or another owner's, so that it tells nobody
/// which sessions there are.
async fn stop(
    State(host): State<Arc<Host>>,
    Client(owner): Client,
    PathName(id): PathName,
) -> Result<Json<StopAnswer>, Problem> {
    let running = id
        .parse::<SessionId>()
        .ok()
        .filter(|id| host.registry.current_run(*id).is_some());
    let ok = match running {
        None => false,
        Some(id) => match host.store.get(&owner, id).await {
            Ok(_) => host.registry.stop(id),
            Err(StoreError::NotFound(_)) => false,
            Err(error) => return Err(error.into()),
        },
    };
    Ok(Json(StopAnswer {
        ok,
        reason: (!ok).then_some("no active run"),
    }))
}
