//! The schemas of a document, made from types and collected as its components.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};

use super::operation::SchemaOf;

/// Collects the schemas of types as a document refers to them.
#[derive(Debug)]
pub(super) struct Schemas {
    requests: SchemaGenerator,
    responses: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            requests: settings().for_deserialize().into_generator(),
            responses: settings().for_serialize().into_generator(),
        }
    }

    /// The schema of what a client sends; usually a reference to a component.
    pub(super) fn request(&mut self, schema: SchemaOf) -> Value {
        tidied(schema(&mut self.requests))
    }

    /// The schema of what a client gets; usually a reference to a component.
    pub(super) fn response(&mut self, schema: SchemaOf) -> Value {
        tidied(schema(&mut self.responses))
    }

    /// All components so far, in the order of their names.
    pub(super) fn components(mut self) -> Map<String, Value> {
        let mut components = self.requests.take_definitions(true);
        for (name, schema) in self.responses.take_definitions(true) {
            // Two types may share a name only if they look the same, which a test makes sure of.
            components.insert(name, schema);
        }
        let tidy = |schema: Value| Schema::try_from(schema).map_or(Value::Null, tidied);
        let mut components: Map<String, Value> = components
            .into_iter()
            .map(|(name, schema)| (name, tidy(schema)))
            .collect();
        components.sort_keys();
        components
    }
}

/// Makes a schema read well for people and for every validator.
fn tidied(mut schema: Schema) -> Value {
    RecursiveTransform(tidy).transform(&mut schema);
    schema.to_value()
}

fn tidy(schema: &mut Schema) {
    // Formats such as `uint64` say nothing that the schema does not, and strict validators refuse what they do
    // not know.
    if schema
        .get("format")
        .and_then(Value::as_str)
        .is_some_and(|format| format.starts_with("uint") || format == "double")
    {
        schema.remove("format");
    }
    // That a key may be left out is said by its absence from `required`.
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    if let Some(Value::String(description)) = schema.get_mut("description") {
        // Line breaks of the source say nothing; empty lines part paragraphs.
        let paragraphs = description
            .split("\n\n")
            .map(|paragraph| paragraph.replace('\n', " "));
        *description = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
}
