//! The AsyncAPI document: the WebSocket, described by the schemas of its messages.

use serde_json::{Map, Value, json};

use crate::protocol::CloseCode;
use crate::protocol::close::Reconnect;
use crate::protocol::schema::{client_schema, server_schema};

const DESCRIPTION: &str = "\
One WebSocket per client and session. A connection speaks version 1 of the protocol, or, with `?v=2`, version 2, which adds \
positions, exact resume, message ids, a queue and a stop in band. Every message is one JSON object in one text frame, \
`type` its first key. Sessions are made, listed and deleted over HTTP, which [the OpenAPI document](/openapi.json) \
describes.

A host with tokens configured wants one as `Authorization: Bearer TOKEN`, or, from browsers, as the pair \
`bearer, TOKEN` in `Sec-WebSocket-Protocol`. Every refusal completes the upgrade first and then closes with a code:

";

/// The AsyncAPI 3.0 document of the socket.
pub(super) fn document() -> Value {
    let mut components = Components::default();
    let received = components.add(client_schema(), "client");
    let sent = components.add(server_schema(), "server");
    let channel = "#/channels/session";
    let references = |names: &[String], root: &str| -> Vec<Value> {
        names
            .iter()
            .map(|name| json!({"$ref": format!("{root}/messages/{name}")}))
            .collect()
    };
    let messages: Map<String, Value> = received
        .iter()
        .chain(&sent)
        .map(|name| {
            (
                name.clone(),
                json!({"$ref": format!("#/components/messages/{name}")}),
            )
        })
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Roundhouse",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!("{DESCRIPTION}{}", close_codes()),
            "license": {"name": "MIT OR Apache-2.0"}
        },
        "defaultContentType": "application/json",
        "channels": {
            "session": {
                "address": "/ws/sessions/{session_id}",
                "title": "A session",
                "description": "Any number of clients may be connected to a session. In version 1 a client that connects while a \
                    run is in progress gets `stream_start`, what the run emitted so far between `replay_start` and \
                    `replay_end`, and then the live events; otherwise `session_sync`. In version 2 every client gets \
                    `session_sync`, `replay_start`, what it missed, `replay_end`, and then every run of the session.",
                "parameters": {
                    "session_id": {"description": "The session's id, as `POST /sessions` answered it."}
                },
                "messages": messages,
                "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0", "query": {
                    "type": "object",
                    "properties": {
                        "v": {
                            "type": "string", "default": "1",
                            "description": "The version of the protocol. One that the host does not know means the newest."
                        },
                        "epoch": {
                            "type": "string",
                            "description": "Version 2: the numbering in which `after` counts."
                        },
                        "after": {
                            "type": "string", "pattern": "^[0-9]+$",
                            "description": "Version 2: the position of the last event that the client has."
                        }
                    }
                }}}
            }
        },
        "operations": {
            "receiveMessage": {
                "action": "receive",
                "channel": {"$ref": channel},
                "summary": "A client begins a run, or asks for one to stop.",
                "messages": references(&received, channel)
            },
            "sendEvent": {
                "action": "send",
                "channel": {"$ref": channel},
                "summary": "The host tells clients about the run, and about the connection.",
                "messages": references(&sent, channel)
            }
        },
        "components": {"messages": components.messages, "schemas": components.schemas}
    })
}

/// The close codes as a table.
fn close_codes() -> String {
    let retry = std::time::Duration::from_secs(1);
    let mut table = "| code | reason | connect again |\n| --- | --- | --- |\n".to_owned();
    for close in CloseCode::all(retry) {
        let again = match close.reconnect() {
            Reconnect::Yes => "yes",
            Reconnect::After(_) => "after the time in the reason",
            Reconnect::Later => "later",
            Reconnect::WithNewToken => "with a new token",
            Reconnect::No => "no",
        };
        table.push_str(&format!(
            "| {} | {} | {again} |\n",
            close.code(),
            close.reason()
        ));
    }
    table
}

#[derive(Default)]
struct Components {
    messages: Map<String, Value>,
    schemas: Map<String, Value>,
}

impl Components {
    /// Adds each alternative of a schema as a message of its own; answers their names.
    fn add(&mut self, mut schema: Value, side: &str) -> Vec<String> {
        if let Value::Object(definitions) = schema["$defs"].take() {
            self.schemas.extend(
                definitions
                    .into_iter()
                    .map(|(name, definition)| (name, relocated(definition))),
            );
        }
        let Value::Array(alternatives) = schema["oneOf"].take() else {
            return Vec::new();
        };
        alternatives
            .into_iter()
            .map(|alternative| self.add_message(relocated(alternative), side))
            .collect()
    }

    fn add_message(&mut self, mut schema: Value, side: &str) -> String {
        let mut take = |key: &str| {
            schema
                .as_object_mut()
                .and_then(|schema| schema.shift_remove(key))
        };
        let title = take("title")
            .and_then(|title| title.as_str().map(str::to_owned))
            .unwrap_or_default();
        let (description, examples) = (take("description"), take("examples"));
        let name = title.replace(' ', "_");
        let examples: Vec<Value> = examples
            .and_then(|examples| examples.as_array().cloned())
            .unwrap_or_default()
            .into_iter()
            .map(|payload| json!({"payload": payload}))
            .collect();
        let component = format!("{side}_{name}");
        self.schemas.insert(component.clone(), schema);
        self.messages.insert(
            component.clone(),
            json!({
                "name": name,
                "title": title,
                "summary": description,
                "contentType": "application/json",
                "payload": {"$ref": format!("#/components/schemas/{component}")},
                "examples": examples
            }),
        );
        component
    }
}

/// The schema with its references pointing at the document's components.
fn relocated(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(members) => {
            for (key, value) in members.iter_mut() {
                match value {
                    Value::String(target) if key == "$ref" => {
                        *target = target.replacen("#/$defs/", "#/components/schemas/", 1);
                    }
                    // What an example holds only looks like a schema.
                    _ if key == "examples" => {}
                    _ => *value = relocated(value.take()),
                }
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| *item = relocated(item.take())),
        _ => {}
    }
    schema
}
