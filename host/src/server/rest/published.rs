//! The published documents, and what the problems mean.

use std::sync::LazyLock;

use axum::Json;
use axum::http::{HeaderName, Method, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Endpoint;
use super::gate::PathName;
use crate::protocol::schema::schema_text;
use crate::server::documents;
use crate::server::openapi::Operation;
use crate::server::problem::{Problem, ProblemKind};

const JSON: &str = "application/json";
const JSON_SCHEMA: &str = "application/schema+json";

/// A document as it is served.
type Served = ([(HeaderName, &'static str); 1], &'static str);

/// Any JSON object.
type Object = Map<String, Value>;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let operation = |path, id, summary| {
        Operation::new(Method::GET, path, id, summary)
            .tag("documents")
            .public()
    };
    vec![
        Endpoint::new(
            operation("/openapi.json", "getOpenApi", "This document")
                .answer::<Object>(StatusCode::OK, "The OpenAPI document."),
            async || served("openapi"),
        ),
        Endpoint::new(
            operation("/asyncapi.json", "getAsyncApi", "The description of the WebSocket")
                .answer::<Object>(StatusCode::OK, "The AsyncAPI document."),
            async || served("asyncapi"),
        ),
        Endpoint::new(
            operation("/schema/{document}", "getSchema", "A published document")
                .description(
                    "`client`, `server` and `config` are the JSON Schemas of what clients send, of what they get, and \
                     of the configuration. `openapi` and `asyncapi` are here as well.",
                )
                .answer_as::<Object>(StatusCode::OK, "The document.", JSON_SCHEMA)
                .answer::<Object>(StatusCode::OK, "The document.")
                .problems(&[ProblemKind::NotFound]),
            document,
        ),
        Endpoint::new(
            operation("/problems/{problem}", "getProblem", "What a problem means")
                .description("The `type` of a problem document refers to here.")
                .answer::<ProblemDescription>(StatusCode::OK, "Its description.")
                .problems(&[ProblemKind::NotFound]),
            problem,
        ),
    ]
}

/// A document, made once.
struct Document {
    name: &'static str,
    content_type: &'static str,
    text: LazyLock<String>,
}

static DOCUMENTS: [Document; 5] = [
    Document {
        name: "client",
        content_type: JSON_SCHEMA,
        text: LazyLock::new(|| schema_text(&documents::client())),
    },
    Document {
        name: "server",
        content_type: JSON_SCHEMA,
        text: LazyLock::new(|| schema_text(&documents::server())),
    },
    Document {
        name: "config",
        content_type: JSON_SCHEMA,
        text: LazyLock::new(|| schema_text(&documents::config())),
    },
    Document {
        name: "openapi",
        content_type: JSON,
        text: LazyLock::new(|| schema_text(&documents::openapi())),
    },
    Document {
        name: "asyncapi",
        content_type: JSON,
        text: LazyLock::new(|| schema_text(&documents::asyncapi())),
    },
];

fn served(name: &str) -> Result<Served, Problem> {
    let name = name.strip_suffix(".json").unwrap_or(name);
    let Some(document) = DOCUMENTS.iter().find(|document| document.name == name) else {
        let names: Vec<_> = DOCUMENTS.iter().map(|document| document.name).collect();
        let detail = format!("there is no such document; there is: {}", names.join(", "));
        return Err(Problem::new(ProblemKind::NotFound, detail));
    };
    Ok((
        [(header::CONTENT_TYPE, document.content_type)],
        document.text.as_str(),
    ))
}

async fn document(PathName(name): PathName) -> Result<Served, Problem> {
    served(&name)
}

/// What a problem means.
#[derive(Debug, Serialize, JsonSchema)]
struct ProblemDescription {
    /// The `type` of its documents.
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    /// The HTTP status that it comes with.
    status: u16,
    /// What it means, and what to do about it.
    description: &'static str,
}

async fn problem(PathName(name): PathName) -> Result<Json<ProblemDescription>, Problem> {
    let Some(kind) = ProblemKind::ALL.iter().find(|kind| kind.name() == name) else {
        return Err(Problem::new(
            ProblemKind::NotFound,
            "there is no such problem",
        ));
    };
    Ok(Json(ProblemDescription {
        kind: kind.uri(),
        title: kind.title(),
        status: kind.status().as_u16(),
        description: kind.meaning(),
    }))
}
