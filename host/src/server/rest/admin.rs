//! What is the operator's to do.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::Endpoint;
use super::gate::Admin;
use crate::plugin::{CatalogError, ChangeKind, PluginChange};
use crate::server::openapi::Operation;
use crate::server::problem::{Problem, ProblemKind};
use crate::server::{Host, ReloadError, Reloaded};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::new(
        Operation::new(
            Method::POST,
            "/admin/reload",
            "reload",
            "Read the configuration and the plugins again",
        )
        .tag("admin")
        .description(
            "Both are checked whole, and put in force whole or not at all. Runs in progress end on what they began with. One \
             reload is in progress at a time; requests that come meanwhile share the next one and its answer. It \
             takes a token that is configured as an operator's, or on a host without tokens that it listens on loopback.",
        )
        .answer::<Reload>(StatusCode::OK, "They are in force.")
        .problems(&[
            ProblemKind::NotPermitted,
            ProblemKind::InvalidConfiguration,
            ProblemKind::TooManyGenerations,
            ProblemKind::Unavailable,
        ]),
        reload,
    )]
}

/// What was put in force.
#[derive(Debug, Serialize, JsonSchema)]
struct Reload {
    /// Every plugin, and what became of it.
    plugins: Vec<Change>,
    /// Keys of the configuration whose new values are not in force, since they need a restart.
    needs_restart: Vec<&'static str>,
    /// What the operator should look at although all went well.
    warnings: Vec<String>,
    /// How many libraries were opened since the host started. What was opened stays in memory.
    generations: usize,
    /// How many may be opened, before a reload that has to open another is refused.
    max_generations: usize,
}

/// What became of a plugin.
#[derive(Debug, Serialize, JsonSchema)]
struct Change {
    /// The configured name.
    name: String,
    change: Kind,
    /// The generation that new runs take; null when there is none.
    generation: Option<u64>,
    /// The library's own version; null when it does not serve.
    version: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Kind {
    /// It serves on: nothing of it has changed.
    Kept,
    /// Another generation of it serves.
    Replaced,
    /// It serves, and did not before.
    Added,
    /// It does not serve, for it failed. It did not serve before either, and is not required.
    Failed,
    /// It is not configured any more.
    Removed,
}

impl From<PluginChange> for Change {
    fn from(change: PluginChange) -> Self {
        Self {
            name: change.name,
            change: match change.kind {
                ChangeKind::Kept => Kind::Kept,
                ChangeKind::Replaced => Kind::Replaced,
                ChangeKind::Added => Kind::Added,
                ChangeKind::Failed => Kind::Failed,
                ChangeKind::Removed => Kind::Removed,
            },
            generation: change.generation,
            version: change.version,
        }
    }
}

impl From<Reloaded> for Reload {
    fn from(reloaded: Reloaded) -> Self {
        Self {
            warnings: reloaded.warnings(),
            plugins: reloaded.plugins.into_iter().map(Change::from).collect(),
            needs_restart: reloaded.needs_restart,
            generations: reloaded.generations.opened,
            max_generations: reloaded.generations.most,
        }
    }
}

impl From<Arc<ReloadError>> for Problem {
    fn from(error: Arc<ReloadError>) -> Self {
        match &*error {
            ReloadError::Faults(faults) => {
                let faults: Vec<_> = faults.0.iter().map(ToString::to_string).collect();
                let detail = match faults.len() {
                    1 => "the configuration has a fault, and the host serves as before".to_owned(),
                    n => format!("the configuration has {n} faults, and the host serves as before"),
                };
                Self::new(ProblemKind::InvalidConfiguration, detail).faults(faults)
            }
            ReloadError::Plugins(CatalogError::TooManyGenerations { .. }) => {
                Self::new(ProblemKind::TooManyGenerations, error.to_string())
            }
            ReloadError::NoSource | ReloadError::ShuttingDown => {
                Self::new(ProblemKind::Unavailable, error.to_string())
            }
            ReloadError::Plugins(_) | ReloadError::Broken(_) => Self::internal(&*error),
        }
    }
}

async fn reload(_: Admin, State(host): State<Arc<Host>>) -> Result<Json<Reload>, Problem> {
    Ok(Json(host.reload().await?.into()))
}
