//! Stopping a session's run.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::Endpoint;
use super::body::JsonBodyIfAny;
use super::gate::{Client, PathName};
use crate::protocol::answers::{StopAnswer, StopRefusal};
use crate::server::Host;
use crate::server::openapi::Operation;
use crate::server::problem::Problem;
use crate::session::{RunId, SessionId, StoreError};

/// The longest time that a stop waits for the run to end.
const MAX_WAIT: Duration = Duration::from_secs(60);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::new(
        Operation::new(Method::POST, "/sessions/{session_id}/stop", "stopRun", "Stop a session's run")
            .tag("sessions")
            .description(
                "The agent is asked to stop, and what it answers decides how the run ends. One that has not ended \
                 after the configured grace is abandoned. A second stop of the same run is fine. A body that is no \
                 JSON object is ignored.",
            )
            .body::<StopRequest>(false)
            .answer::<Stopped>(StatusCode::OK, "Whether there is a run. For an unknown session there is none."),
        stop,
    )]
}

/// Which run to stop, and how long to wait for it. Without either, whichever is in progress is asked, and the answer
/// has `ok` and `reason` alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct StopRequest {
    /// The run that is meant; if another is in progress, nothing is done.
    run_id: Option<RunId>,
    /// How long to wait for the run to end before answering, in milliseconds; at most a minute.
    wait_ms: Option<u64>,
}

/// Whether there was a run to stop.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Stopped {
    /// What the stop came to.
    #[serde(flatten)]
    answer: StopAnswer,
    /// With `wait_ms`: whether the run had ended when the time was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<bool>,
}

/// The answer is the same for a session that is idle, unknown, or another owner's, so that it tells nobody
/// which sessions there are.
async fn stop(
    State(host): State<Arc<Host>>,
    Client(owner): Client,
    PathName(id): PathName,
    JsonBodyIfAny(request): JsonBodyIfAny<StopRequest>,
) -> Result<Json<Stopped>, Problem> {
    let running = id
        .parse::<SessionId>()
        .ok()
        .filter(|id| host.registry.current_run(*id).is_some());
    let none = StopAnswer::refused(StopRefusal::NoActiveRun, None);
    let mut ended = None;
    let mut answer = match running {
        None => none,
        Some(id) => match host.store.get(&owner, id).await {
            Ok(_) => {
                let answer = host.registry.stop(id, request.run_id);
                if let (true, Some(run), Some(wait)) = (answer.ok, answer.run_id, request.wait_ms) {
                    let over = host.registry.open(id).run_over(run);
                    let wait = Duration::from_millis(wait).min(MAX_WAIT);
                    ended = Some(timeout(wait, over).await.is_ok());
                }
                answer
            }
            Err(StoreError::NotFound(_)) => none,
            Err(error) => return Err(error.into()),
        },
    };
    if request.run_id.is_none() && request.wait_ms.is_none() {
        // Who asks for nothing new gets what there always was.
        answer.run_id = None;
    }
    Ok(Json(Stopped { answer, ended }))
}
