//! The HTTP interface besides the WebSocket: one file a resource, each with its routes, handlers and types.
//!
//! In reading order:
//!
//! - `sessions`, `messages`, `events`, `runs`, `stop`, `files`: what belongs to a session;
//! - `catalogue`: agents, tools, plugins; `admin`: what is the operator's to do; `health`, `metrics`; `published`: schemas and other documents;
//! - `gate`: who may; `body`, `query`: what a request carries; `upload`, `paced`, `file_name`: receiving files;
//! - `faults`: what each fault is to a client.
//!
//! An [`Endpoint`] is a route together with its description, so that nothing is served that
//! [`the OpenAPI document`](openapi) does not have, and the other way round.

mod admin;
mod body;
mod catalogue;
mod events;
mod faults;
mod file_name;
mod files;
mod gate;
mod health;
mod messages;
mod metrics;
mod paced;
mod published;
mod query;
mod runs;
mod sessions;
mod stop;
#[cfg(test)]
mod tests;
mod upload;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use serde_json::Value;

use super::Host;
use super::openapi::{self, Operation};
use super::problem::{Problem, ProblemKind};

/// The path of one session.
const SESSION: &str = "/sessions/{session_id}";

/// A route and its description.
struct Endpoint {
    operation: Operation,
    route: MethodRouter<Arc<Host>>,
}

impl Endpoint {
    /// `handler` serves `operation`.
    fn new<H, T>(operation: Operation, handler: H) -> Self
    where
        H: Handler<T, Arc<Host>>,
        T: 'static,
    {
        let filter = match *operation.method() {
            Method::POST => MethodFilter::POST,
            Method::PATCH => MethodFilter::PATCH,
            Method::DELETE => MethodFilter::DELETE,
            // Answers HEAD as well.
            _ => MethodFilter::GET,
        };
        Self {
            operation,
            route: on(filter, handler),
        }
    }
}

fn endpoints() -> Vec<Endpoint> {
    [
        sessions::endpoints(),
        messages::endpoints(),
        events::endpoints(),
        runs::endpoints(),
        stop::endpoints(),
        files::endpoints(),
        catalogue::endpoints(),
        admin::endpoints(),
        health::endpoints(),
        metrics::endpoints(),
        published::endpoints(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The routes, and answers for paths and methods that there are not.
pub(super) fn router(host: Arc<Host>) -> Router<Arc<Host>> {
    let mut router = Router::new();
    for Endpoint { operation, route } in endpoints() {
        let admit = from_fn_with_state(Arc::clone(&host), gate::admit);
        let route = if operation.is_public() {
            route
        } else {
            route.layer(admit)
        };
        router = router.route(operation.path(), route);
    }
    // Bodies are read by their own bounds.
    router
        .layer(DefaultBodyLimit::disable())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
}

async fn no_such_path() -> Problem {
    Problem::new(
        ProblemKind::NotFound,
        "there is no such path; `/openapi.json` lists those that there are",
    )
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(
        ProblemKind::MethodNotAllowed,
        format!("`{path}` does not take the method {method}"),
    )
}

/// The OpenAPI document.
pub(super) fn openapi() -> Value {
    let endpoints = endpoints();
    openapi::document(endpoints.iter().map(|endpoint| &endpoint.operation))
}
