//! The OpenAPI document: made from the operations that are served and from the types that serve them.

mod operation;
mod schemas;

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

pub(super) use operation::Operation;
use operation::{Answer, Body};
use schemas::Schemas;

use super::problem::{ProblemDocument, ProblemKind};

/// The groups of operations, in the order of the document.
const TAGS: [(&str, &str); 6] = [
    ("sessions", "Conversations, and what was said in them."),
    ("files", "Files that clients upload for a session's agent."),
    ("catalogue", "What the host's plugins offer."),
    ("admin", "What is the operator's to do."),
    ("health", "For those who watch over the host."),
    ("documents", "Descriptions of the interface, for programs."),
];

const DESCRIPTION: &str = "\
Sessions, their history and files, and what the host's plugins offer. The conversation itself goes over a WebSocket, \
which [the AsyncAPI document](/asyncapi.json) describes.

A host with tokens configured wants one as `Authorization: Bearer TOKEN`; a session belongs to the token's owner and \
does not exist for others. Requests from web pages that change something must come from the host's own origin or one \
that the operator has listed.

Objects that are answered may gain keys. Times are Unix time in milliseconds.";

/// The OpenAPI 3.1 document of these operations.
pub(super) fn document<'a>(operations: impl IntoIterator<Item = &'a Operation>) -> Value {
    let mut schemas = Schemas::new();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        let described = describe(operation, &mut schemas);
        let path = paths.entry(operation.path).or_insert_with(|| {
            let parameters = path_parameters(operation.path);
            if parameters.is_empty() {
                json!({})
            } else {
                json!({ "parameters": parameters })
            }
        });
        path[operation.method.as_str().to_ascii_lowercase()] = described;
    }
    let tags: Vec<_> = TAGS
        .iter()
        .map(|(name, description)| json!({"name": name, "description": description}))
        .collect();
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Roundhouse",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"}
        },
        "servers": [{"url": "/"}],
        // Either will do: which, the host's configuration says.
        "security": [{"bearer": []}, {}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.components(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token that the operator has configured."}
            }
        }
    })
}

fn describe(operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
    });
    if !operation.description.is_empty() {
        described["description"] = operation.description.into();
    }
    if operation.public {
        described["security"] = json!([]);
    }
    if let Some(query) = operation.query {
        described["parameters"] = query_parameters(schemas.request(query));
    }
    if let Some(Body {
        required,
        content_type,
        schema,
    }) = operation.body
    {
        let schema = schemas.request(schema);
        described["requestBody"] =
            json!({"required": required, "content": {content_type: {"schema": schema}}});
    }
    let mut responses = Map::new();
    for answer in &operation.answers {
        responses.insert(answer.status.as_str().to_owned(), response(answer, schemas));
    }
    for (status, kinds) in by_status(operation.all_problems()) {
        let document =
            schemas.response(schemars::SchemaGenerator::subschema_for::<ProblemDocument>);
        let mut problem = json!({
            "description": problem_description(&kinds),
            "content": {"application/problem+json": {"schema": document}}
        });
        if status == StatusCode::UNAUTHORIZED {
            problem["headers"] = headers(&[("WWW-Authenticate", "`Bearer`, with what was wrong.")]);
        }
        responses.insert(status.as_str().to_owned(), problem);
    }
    described["responses"] = Value::Object(responses);
    described
}

fn response(answer: &Answer, schemas: &mut Schemas) -> Value {
    let mut response = json!({"description": answer.description});
    if !answer.headers.is_empty() {
        response["headers"] = headers(&answer.headers);
    }
    for (content_type, schema) in &answer.content {
        response["content"][content_type] = json!({"schema": schemas.response(*schema)});
    }
    response
}

fn headers(headers: &[(&str, &str)]) -> Value {
    let headers = headers.iter();
    headers
        .map(|(name, description)| {
            (
                (*name).to_owned(),
                json!({"description": description, "schema": {"type": "string"}}),
            )
        })
        .collect()
}

fn by_status(kinds: Vec<ProblemKind>) -> BTreeMap<StatusCode, Vec<ProblemKind>> {
    let mut statuses: BTreeMap<StatusCode, Vec<ProblemKind>> = BTreeMap::new();
    for kind in kinds {
        statuses.entry(kind.status()).or_default().push(kind);
    }
    statuses
}

fn problem_description(kinds: &[ProblemKind]) -> String {
    let line = |kind: &ProblemKind| format!("`{}`: {}", kind.name(), kind.meaning());
    kinds.iter().map(line).collect::<Vec<_>>().join("\n\n")
}

/// The parameters in a path, such as `{session_id}`.
fn path_parameters(path: &str) -> Vec<Value> {
    let names = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| {
            let description = match name {
                "session_id" => "The session's id.",
                "document" => "The document's name, with or without `.json`.",
                "problem" => "The problem's name.",
                _ => "",
            };
            json!({
                "name": name, "in": "path", "required": true, "description": description,
                "schema": {"type": "string"}
            })
        })
        .collect()
}

/// An object's properties as parameters of a query.
fn query_parameters(mut object: Value) -> Value {
    let required = object["required"].take();
    let is_required = |name: &str| {
        required
            .as_array()
            .is_some_and(|names| names.iter().any(|one| one == name))
    };
    let Value::Object(properties) = object["properties"].take() else {
        return json!([]);
    };
    properties
        .into_iter()
        .map(|(name, mut schema)| {
            let required = is_required(&name);
            let description = schema.as_object_mut().and_then(|schema| schema.shift_remove("description"));
            json!({
                "name": name, "in": "query", "required": required, "description": description, "schema": schema
            })
        })
        .collect()
}

/// Whether an operation changes something.
pub(super) fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
