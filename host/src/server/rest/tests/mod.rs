//! The HTTP interface against a whole host on a folder of its own. Every answer is checked against the OpenAPI
//! document.

mod access;
mod catalogue;
mod document;
mod files;
mod history;
mod sessions;
mod uploads;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::config::Loader;
use crate::protocol::frames::Frames;
use crate::run::{Cursor, Progress, UserMessage};
use crate::server::Host;
use crate::session::{FileRef, ImageData, Owner, SessionId};

const SCRIPTED: &str = r#"
[plugins.libraries.scripted]
file = "roundhouse_scripted"
[agents.scripted]
component = "scripted/scripted"
[agents.second]
component = "scripted/scripted"
display_name = "The other one"
tools = []
subagents = ["scripted"]
"#;

static OPENAPI: LazyLock<Value> = LazyLock::new(super::openapi);

/// A host and its routes.
struct Api {
    host: Arc<Host>,
    router: Router,
    data: TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The body of an answer that is expected to have this status.
    #[track_caller]
    fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        if self.body.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// The body of a problem of this name.
    #[track_caller]
    fn problem(&self, name: &str) -> Value {
        let problem = self.json();
        assert_eq!(problem["type"], format!("/problems/{name}"), "{problem}");
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json"
        );
        problem
    }
}

impl Api {
    /// A host with the agents `scripted` and `second`, and what `more` configures.
    async fn start(more: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let text = format!("default_agent = \"scripted\"\n{more}\n{SCRIPTED}");
        let config = Loader::empty()
            .text(data.path().join("test.toml"), text)
            .flag(
                "--data",
                "storage.path",
                data.path().join("data").to_str().unwrap(),
            )
            .load()
            .unwrap_or_else(|faults| panic!("{faults}"));
        let host = Host::start(config).await.unwrap();
        let router = crate::server::router(Arc::clone(&host));
        Self { host, router, data }
    }

    async fn end(self) {
        self.host.shut_down(Duration::from_secs(30)).await;
    }

    /// Sends a request and checks the answer against the document.
    async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        };
        check(&method, &path, &answer);
        answer
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body)).await
    }

    /// Makes a session.
    async fn session(&self) -> SessionId {
        let session = self.post("/sessions", json!({})).await.expect(201);
        session["id"].as_str().unwrap().parse().unwrap()
    }

    /// Begins a run.
    async fn begin(&self, id: SessionId, message: UserMessage) -> Cursor {
        let session = self.host.store.get(&Owner::local(), id).await.unwrap();
        let handle = self.host.registry.open(id);
        handle.start(&session, message).await.unwrap()
    }

    /// Runs the agent to its end.
    async fn run(&self, id: SessionId, message: UserMessage) {
        to_the_end(self.begin(id, message).await).await;
    }
}

/// Reads a run to its end.
async fn to_the_end(mut cursor: Cursor) {
    while cursor.read(&mut Frames::default()).unwrap() != Progress::Ended {
        cursor.ready().await;
    }
}

fn text(content: &str) -> UserMessage {
    UserMessage {
        content: content.to_owned(),
        user_text: content.to_owned(),
        ..UserMessage::default()
    }
}

/// A script for the scripted agent.
fn script(steps: Value) -> UserMessage {
    text(&format!("script:{steps}"))
}

/// Checks that an answer is one that the document describes.
#[track_caller]
fn check(method: &Method, path: &str, answer: &Answer) {
    let operation = operation(method, path);
    let status = answer.status.as_u16();
    let Some(operation) = operation else {
        assert!(
            matches!(status, 204 | 403 | 404 | 405),
            "{method} {path} is not described: {answer:?}"
        );
        return;
    };
    let described = &operation["responses"][status.to_string()];
    assert!(
        described.is_object(),
        "{method} {path}: the status is not described: {answer:?}"
    );
    for (name, _) in described["headers"].as_object().into_iter().flatten() {
        assert!(
            answer.headers.contains_key(name),
            "{method} {path}: no header {name}: {answer:?}"
        );
    }
    let Some(contents) = described["content"].as_object() else {
        assert!(
            answer.body.is_empty(),
            "{method} {path}: a body is not described: {answer:?}"
        );
        return;
    };
    let content_type = answer.headers[header::CONTENT_TYPE].to_str().unwrap();
    let content = contents.get(content_type);
    let content =
        content.unwrap_or_else(|| panic!("{method} {path}: {content_type} is not described"));
    if *method != Method::HEAD {
        assert_valid(&content["schema"], &answer.json());
    }
}

/// The described operation that serves a request.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let method = if *method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let parts: Vec<&str> = path.split('/').collect();
    let serves = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == parts.len()
            && template
                .iter()
                .zip(&parts)
                .all(|(wanted, part)| wanted.starts_with('{') || wanted == part)
    };
    let paths = OPENAPI["paths"].as_object()?;
    let (_, item) = paths.iter().find(|(template, _)| serves(template))?;
    item.get(method.as_str().to_ascii_lowercase())
}

#[track_caller]
fn assert_valid(schema: &Value, value: &Value) {
    let mut schema = schema.clone();
    schema["components"] = json!({"schemas": OPENAPI["components"]["schemas"]});
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let faults: Vec<_> = validator
        .iter_errors(value)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{faults:#?} in {value:#}");
}
