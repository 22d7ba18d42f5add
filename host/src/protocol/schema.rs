//! The published JSON Schemas (2020-12), made from the types that read and write the frames.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use super::client::ClientMessage;
use super::kinds;
use super::v1::ServerMessage;

/// The schema of what a client sends.
#[must_use]
pub fn client_schema() -> Value {
    schema_of::<ClientMessage>(SchemaSettings::draft2020_12().into_generator())
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
    generator.into_root_schema_for::<T>().to_value()
}

fn custom_event() -> Value {
    let reserved: Vec<&str> = [
        &kinds::SERVER_TYPES[..],
        &kinds::CLIENT_TYPES,
        &kinds::FUTURE_TYPES,
    ]
    .concat();
    json!({
        "description": "An event of the agent's own: any other type, with any fields. \
            A client that does not know the type ignores it.",
        "type": "object",
        "properties": {
            "type": {"type": "string", "minLength": 1, "not": {"enum": reserved}}
        },
        "required": ["type"],
        "examples": [{"type": "citation", "url": "https://example.org/", "title": "Example"}]
    })
}
