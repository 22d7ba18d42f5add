//! The runs of a session.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::Endpoint;
use super::gate::{Client, SessionPath};
use super::query::{PageParams, Params};
use crate::server::Host;
use crate::server::openapi::Operation;
use crate::server::problem::{Problem, ProblemKind};
use crate::session::{self, Outcome, RunId, RunStatus};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::new(
        Operation::new(
            Method::GET,
            "/sessions/{session_id}/runs",
            "listRuns",
            "List a session's runs, the newest first",
        )
        .tag("sessions")
        .query::<PageParams>()
        .answer::<RunList>(StatusCode::OK, "One page of runs.")
        .problems(&[ProblemKind::SessionNotFound]),
        list,
    )]
}

/// One page of runs.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RunList {
    runs: Vec<Run>,
    /// The `cursor` of the next page; null on the last one.
    next: Option<String>,
}

/// What an agent did for one message.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Run {
    id: RunId,
    /// The agent's name.
    agent: String,
    status: RunStatus,
    /// The number of the message that answers; the one that was answered has the number before it.
    message: u64,
    started_at_ms: u64,
    /// Null while it is running, and when it was lost.
    ended_at_ms: Option<u64>,
    /// Null while it is running, and when it was lost.
    outcome: Option<Outcome>,
    /// Why it failed, if it did.
    error: Option<Failure>,
    /// The position of its first event.
    first_seq: u64,
    /// The position of its last event, or of the last one that was saved.
    last_seq: u64,
}

/// Why a run failed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RunError")]
pub(super) struct Failure {
    /// For programs.
    code: String,
    /// For people: the text of the `error` that clients got.
    message: String,
}

impl From<session::RunFailure> for Failure {
    fn from(failure: session::RunFailure) -> Self {
        Self {
            code: failure.code,
            message: failure.text,
        }
    }
}

impl From<session::Run> for Run {
    fn from(run: session::Run) -> Self {
        Self {
            id: run.id,
            agent: run.agent,
            status: run.status,
            message: run.turn,
            started_at_ms: run.started_at_ms,
            ended_at_ms: run.ended_at_ms,
            outcome: run.outcome,
            error: run.failure.map(Failure::from),
            first_seq: run.first_seq,
            last_seq: run.last_seq,
        }
    }
}

async fn list(
    State(host): State<Arc<Host>>,
    Client(owner): Client,
    SessionPath(id): SessionPath,
    Params(page): Params<PageParams>,
) -> Result<Json<RunList>, Problem> {
    let page = host.store.runs(&owner, id, page.request()?).await?;
    let next = page.next.map(|cursor| cursor.to_string());
    Ok(Json(RunList {
        runs: page.items.into_iter().map(Run::from).collect(),
        next,
    }))
}
