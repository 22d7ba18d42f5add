//! Leave for web pages of other origins to read the host's answers (the Fetch standard's CORS).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::host::Host;
use super::origin;
use super::problem::{Problem, ProblemKind};

/// What a page may send besides what every page may.
const METHODS: &str = "GET, HEAD, POST, PATCH, DELETE";
const HEADERS: &str = "authorization, content-type";

/// What a page may read besides what every page may.
const EXPOSED: &str = "location, www-authenticate";

/// How long a browser may remember the leave, in seconds.
const MAX_AGE: &str = "600";

/// Answers a browser's question whether a page may send a request, and marks answers that its page may read.
pub(super) async fn grant(State(host): State<Arc<Host>>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let allowed = origin::is_allowed(&host.in_force().config, request.headers());
    let mut response = match is_preflight(&request) {
        false => next.run(request).await,
        true if allowed => (StatusCode::NO_CONTENT, preflight()).into_response(),
        true => {
            let detail = "pages of this origin may not use the host";
            Problem::new(ProblemKind::OriginNotAllowed, detail).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED),
        );
    }
    response
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> HeaderMap {
    HeaderMap::from_iter([
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(METHODS),
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(HEADERS),
        ),
        (
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static(MAX_AGE),
        ),
    ])
}
