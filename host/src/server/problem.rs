//! Problem documents: how every error of the HTTP interface is told (RFC 9457).

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

/// Where the descriptions of the problems are served; a problem's `type` is this and its name.
pub const PROBLEMS: &str = "/problems/";

macro_rules! problem_kinds {
    ($($(#[doc = $meaning:literal])* $kind:ident = $name:literal, $status:ident, $title:literal;)*) => {
        /// What kinds of problems there are.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemKind {
            $($(#[doc = $meaning])* $kind,)*
        }

        impl ProblemKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Its name, the last part of its `type`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }

            /// The HTTP status that it comes with.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status),* }
            }

            /// What it is, in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title),* }
            }

            /// What it means, and what to do about it.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$kind => concat!($($meaning),*).trim_ascii_start()),* }
            }
        }
    };
}

problem_kinds! {
    /// The body is not JSON, or nested too deep. `line` and `column` say where.
    InvalidJson = "invalid-json", BAD_REQUEST, "Invalid JSON";
    /// A parameter of the query is not what it must be. `detail` names it.
    InvalidQuery = "invalid-query", BAD_REQUEST, "Invalid query";
    /// The body is not the `multipart/form-data` that it says it is, or was cut short.
    InvalidMultipart = "invalid-multipart", BAD_REQUEST, "Invalid multipart body";
    /// The request needs a bearer token that the host knows.
    NotAuthenticated = "not-authenticated", UNAUTHORIZED, "Not authenticated";
    /// Pages of this origin may not change anything. The operator lists the ones that may.
    OriginNotAllowed = "origin-not-allowed", FORBIDDEN, "Origin not allowed";
    /// The client is known, and may not do this: it is the operator's.
    NotPermitted = "not-permitted", FORBIDDEN, "Not permitted";
    /// There is no such path.
    NotFound = "not-found", NOT_FOUND, "Not found";
    /// There is no such session, or it is another owner's.
    SessionNotFound = "session-not-found", NOT_FOUND, "Session not found";
    /// The path does not take this method. The header `Allow` lists those that it takes.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    /// So many libraries have been opened that no more may be, and what was opened stays in memory. The host serves as
    /// before, and needs a restart.
    TooManyGenerations = "too-many-generations", CONFLICT, "Too many generations";
    /// The body did not arrive in time.
    RequestTimeout = "request-timeout", REQUEST_TIMEOUT, "Request timed out";
    /// What is stored was changed meanwhile. Read it again.
    Conflict = "conflict", CONFLICT, "Conflict";
    /// The body is over the limit. `limit` is the most that it may have, in bytes.
    BodyTooLarge = "body-too-large", PAYLOAD_TOO_LARGE, "Body too large";
    /// A file is over the limit. `limit` is the most that a file may have, in bytes.
    FileTooLarge = "file-too-large", PAYLOAD_TOO_LARGE, "File too large";
    /// The path is a WebSocket's, and the request does not ask for one as it should (RFC 6455).
    UpgradeRequired = "upgrade-required", UPGRADE_REQUIRED, "Upgrade required";
    /// The body has another media type than the one that is needed.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "Unsupported media type";
    /// The body is readable, but not what it must be. `pointer` says which of its values is at fault.
    InvalidBody = "invalid-body", UNPROCESSABLE_ENTITY, "Invalid body";
    /// No agent of this name is configured. `agents` lists those that are.
    UnknownAgent = "unknown-agent", UNPROCESSABLE_ENTITY, "Unknown agent";
    /// The configuration, or a plugin that it names, is not right, so the host serves as before. `faults` lists all that
    /// is wrong.
    InvalidConfiguration = "invalid-configuration", UNPROCESSABLE_ENTITY, "Invalid configuration";
    /// A fault of the host's own, which its log tells more about under the id in `instance`.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Internal error";
    /// The host cannot do this now: it is shutting down, has too many connections, or its storage does not answer or
    /// cannot be written.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Service unavailable";
    /// The host's disk, or its quota, is full.
    StorageFull = "storage-full", INSUFFICIENT_STORAGE, "Storage full";
}

impl ProblemKind {
    /// The `type` of its documents.
    #[must_use]
    pub fn uri(self) -> String {
        format!("{PROBLEMS}{}", self.name())
    }
}

/// A problem document, with the header fields that belong to it.
#[derive(Debug)]
pub struct Problem {
    kind: ProblemKind,
    headers: Vec<(HeaderName, HeaderValue)>,
    document: Box<ProblemDocument>,
}

/// Why a request was not answered as hoped (RFC 9457). A client goes by `type`, or by the status alone.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemDocument {
    /// The kind of problem: a reference to its description on this host, such as `/problems/unknown-agent`.
    #[serde(rename = "type")]
    #[schemars(extend("format" = "uri-reference"))]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// What is wrong with this request, and what would be right.
    detail: String,
    /// A name for this one occurrence, under which the host's log tells more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "uri"))]
    instance: Option<String>,
    /// The line of the body in which the fault is, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "usize")]
    line: Option<usize>,
    /// The column of that line, in bytes, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "usize")]
    column: Option<usize>,
    /// The value of the body that is at fault, as a JSON Pointer (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pointer: Option<String>,
    /// The limit that was exceeded, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    limit: Option<u64>,
    /// The names of the configured agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    agents: Option<Vec<String>>,
    /// All that is wrong with the host's configuration, a fault each.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    faults: Option<Vec<String>>,
}

impl Problem {
    /// A problem of a kind; `detail` says what is wrong with this request.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        let document = ProblemDocument {
            kind: kind.uri(),
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: detail.into(),
            ..ProblemDocument::default()
        };
        Self {
            kind,
            headers: Vec::new(),
            document: Box::new(document),
        }
    }

    /// A fault of the host's own: the log gets all about it, the client a name to ask for it by.
    #[must_use]
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let incident = Uuid::new_v4();
        let causes: Vec<String> = std::iter::successors(error.source(), |error| error.source())
            .map(ToString::to_string)
            .collect();
        tracing::error!(%incident, %error, causes = causes.join(": "), "request failed");
        let mut problem = Self::new(ProblemKind::Internal, "the host failed; its log says why");
        problem.document.instance = Some(incident.urn().to_string());
        problem
    }

    /// A request for a WebSocket that is none; `fault` says why.
    #[must_use]
    pub fn upgrade_required(fault: &impl std::fmt::Display) -> Self {
        Self::new(ProblemKind::UpgradeRequired, fault.to_string())
            .header(header::UPGRADE, HeaderValue::from_static("websocket"))
            .header(
                header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static("13"),
            )
    }

    /// Adds where in the body the fault is.
    #[must_use]
    pub fn at(mut self, line: usize, column: usize) -> Self {
        (self.document.line, self.document.column) = (Some(line), Some(column));
        self
    }

    /// Adds which value of the body is at fault.
    #[must_use]
    pub fn pointer(mut self, pointer: impl Into<String>) -> Self {
        self.document.pointer = Some(pointer.into());
        self
    }

    /// Adds the limit that was exceeded, in bytes.
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> Self {
        self.document.limit = Some(bytes);
        self
    }

    /// Adds the names of the configured agents.
    #[must_use]
    pub fn agents(mut self, names: Vec<String>) -> Self {
        self.document.agents = Some(names);
        self
    }

    /// Adds all that is wrong with the host's configuration.
    #[must_use]
    pub fn faults(mut self, faults: Vec<String>) -> Self {
        self.document.faults = Some(faults);
        self
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let mut response = (status, Json(self.document)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.extend(self.headers);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_and_a_meaning_of_its_own() {
        let mut names: Vec<_> = ProblemKind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ProblemKind::ALL.len());
        for kind in ProblemKind::ALL {
            assert!(
                kind.status().is_client_error() || kind.status().is_server_error(),
                "{kind:?}"
            );
            assert!(
                kind.meaning().ends_with('.') && !kind.meaning().starts_with(' '),
                "{:?}",
                kind.meaning()
            );
        }
    }

    #[test]
    fn a_document_has_what_was_said_and_nothing_else() {
        let problem = Problem::new(ProblemKind::InvalidJson, "expected a value").at(2, 7);
        let json = serde_json::to_value(&problem.document).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "/problems/invalid-json", "title": "Invalid JSON", "status": 400,
                "detail": "expected a value", "line": 2, "column": 7
            })
        );
    }

    #[test]
    fn the_hosts_own_faults_are_named_and_not_told() {
        let problem = Problem::internal(&std::io::Error::other("/var/secret is broken"));
        let text = serde_json::to_string(&problem.document).unwrap();
        assert!(!text.contains("secret"), "{text}");
        assert!(text.contains("urn:uuid:"), "{text}");
    }
}
