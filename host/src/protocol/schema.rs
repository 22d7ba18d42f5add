//! The published JSON Schemas (2020-12), made from the types that read and write the frames.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::client::ClientFrame;
use super::kinds;
use super::messages::{ServerMessage, seq_from_schema, seq_schema};

/// The schema of what a client sends.
#[must_use]
pub fn client_schema() -> Value {
    schema_of::<ClientFrame>(SchemaSettings::draft2020_12().into_generator())
}

/// The schema of what a client gets: one alternative for each type, and one for custom events.
#[must_use]
pub fn server_schema() -> Value {
    let generator = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator();
    let mut schema = schema_of::<ServerMessage<'_>>(generator);
    if let Some(alternatives) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        alternatives.push(custom_event());
    }
    schema
}

/// The text of a schema as it is printed, served and checked in: indented, with a line feed at the end.
#[must_use]
pub fn schema_text(schema: &Value) -> String {
    format!("{schema:#}\n")
}

fn schema_of<T: JsonSchema>(generator: SchemaGenerator) -> Value {
    let mut schema = generator.into_root_schema_for::<T>();
    RecursiveTransform(tidy).transform(&mut schema);
    schema.to_value()
}

/// Makes a schema read well for people and for every validator.
fn tidy(schema: &mut Schema) {
    // `uint64` and `double` are no formats of JSON Schema, and strict validators refuse what they do not know.
    schema.remove("format");
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::String(description)) = object.get_mut("description") {
        // Line breaks of the source say nothing; empty lines part paragraphs.
        let paragraphs = description
            .split("\n\n")
            .map(|paragraph| paragraph.replace('\n', " "));
        *description = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
    // An alternative is called by the type that it describes.
    if let Some(kind) = object
        .get("properties")
        .and_then(|keys| keys.pointer("/type/const"))
    {
        let kind = kind.clone();
        object.insert("title".into(), kind);
    }
    let mut rest = std::mem::take(object);
    let mut first = Map::new();
    for key in ["$schema", "title", "description"] {
        first.extend(rest.shift_remove_entry(key));
    }
    first.extend(rest);
    *object = first;
}

fn custom_event() -> Value {
    let reserved: Vec<&str> = [&kinds::SERVER_TYPES[..], &kinds::CLIENT_TYPES].concat();
    // What no custom event has, the schema refuses: a host that let it through would be at fault. The position is the
    // host's own.
    let keys = kinds::RESERVED_KEYS
        .iter()
        .filter(|key| !key.starts_with("seq"))
        .map(|key| json!({ "required": [key] }));
    json!({
        "title": "custom event",
        "description": "An event of the agent's own: any other type, with any fields but `seq`, `seq_from`, `run_id` and `epoch`; \
            version 2 adds its position. \
            A client that does not know the type ignores it.",
        "type": "object",
        "properties": {
            "type": {"type": "string", "minLength": 1, "not": {"enum": reserved}},
            "seq": seq_schema(),
            "seq_from": seq_from_schema()
        },
        "not": {"anyOf": keys.collect::<Vec<_>>()},
        "required": ["type"],
        "examples": [{"type": "citation", "url": "https://example.org/", "title": "Example"}]
    })
}
