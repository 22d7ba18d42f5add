use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a component says of itself.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ComponentDescription {
    /// One sentence for people.
    pub summary: String,
    /// JSON Schema (2020-12) of the configuration. A secret is marked `"x-roundhouse-secret": true`.
    pub config_schema: Value,
}

/// With what an instance of a component is made, besides its configuration.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct InstanceParams {
    /// The name the operator gave the instance.
    pub name: String,
    /// Tells the instances of one name apart: it grows with each copy of a library that the host opens.
    pub generation: u64,
    /// The name under which the configuration knows the library.
    pub plugin: String,
    /// Milliseconds after which the host gives up on `create`; 0: not said.
    pub deadline_ms: u64,
}

/// The run that a mapper's state is opened for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MapperParams {
    /// The run.
    pub run_id: String,
    /// Its session.
    pub session_id: String,
    /// The configured name of the agent.
    pub agent: String,
}
