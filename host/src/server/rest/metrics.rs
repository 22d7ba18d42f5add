//! What the host counts of itself.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Endpoint;
use crate::metrics::{CONTENT_TYPE, Now};
use crate::plugin::{GenerationState, PluginState};
use crate::server::Host;
use crate::server::openapi::Operation;

/// Where the metrics are.
pub(super) const PATH: &str = "/metrics";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::new(
        Operation::new(Method::GET, PATH, "readMetrics", "What the host counts of itself")
            .tag("health")
            .description(
                "For Prometheus, in the OpenMetrics text format; `docs/operations.md` describes each. With `metrics.public` \
                 everybody may read it, otherwise whoever has a token.",
            )
            .answer_as::<String>(StatusCode::OK, "All metrics.", CONTENT_TYPE),
        read,
    )]
}

async fn read(State(host): State<Arc<Host>>) -> Response {
    let in_force = host.in_force();
    let plugins = in_force.catalog.plugins();
    let failed = |state: &PluginState| matches!(state, PluginState::Failed { .. });
    let failed = plugins
        .iter()
        .filter(|plugin| failed(&plugin.state))
        .count();
    let logs = host.registry.survey();
    let now = Now {
        sessions: logs.sessions,
        log_bytes: host.registry.log_budget().used(),
        max_lag: logs.max_lag,
        lagging: logs.lagging,
        loaded: plugins.len() - failed,
        failed,
    };
    let opened = in_force.catalog.generations();
    let generations = GenerationState::ALL.map(|state| {
        let all = opened.iter();
        (
            state.as_str(),
            all.filter(|generation| generation.state == state).count(),
        )
    });
    let page = host.metrics.page(&now, &generations);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response()
}
