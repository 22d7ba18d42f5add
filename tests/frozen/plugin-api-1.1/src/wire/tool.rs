use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A tool, as an agent (and its model) sees it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ToolSpecData {
    /// The tool's name, unique among the tools of an agent.
    pub name: String,
    /// What it does and when to use it, for the model.
    pub description: String,
    /// JSON Schema (2020-12) of the arguments, an object.
    pub input_schema: Value,
}

/// The tools of a toolset, or those that an agent may call.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ToolList {
    /// The tools.
    pub tools: Vec<ToolSpecData>,
}

/// The parameters of a tool call, besides the tool's name and arguments.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ToolCallParams {
    /// The call.
    pub call_id: String,
    /// The run that it belongs to.
    pub run_id: String,
    /// The session that it belongs to.
    pub session_id: String,
    /// The configured name of the agent that calls.
    pub agent: String,
    /// Milliseconds after which the host gives up; 0: not said.
    pub timeout_ms: u64,
}

/// What a tool call gave.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ToolOutputData {
    /// The result as text; what clients see and models read.
    pub text: String,
    /// False when the call did not do what it was asked; `text` says why.
    pub success: bool,
    /// Facts about the call for clients.
    pub metadata: Option<Map<String, Value>>,
    /// What goes to the caller alone.
    pub parts: Vec<Part>,
}

/// An empty text, and a success: a tool that says nothing of success has succeeded.
impl Default for ToolOutputData {
    fn default() -> Self {
        Self {
            text: String::new(),
            success: true,
            metadata: None,
            parts: Vec::new(),
        }
    }
}

/// A part of a tool's output that goes to the caller alone.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// An image.
    #[non_exhaustive]
    Image {
        /// For example `image/png`.
        #[serde(default)]
        media_type: String,
        /// The bytes in base64.
        #[serde(default)]
        data: String,
    },
    /// A JSON value.
    #[non_exhaustive]
    Json {
        /// The value.
        #[serde(default)]
        value: Value,
    },
    /// A part that this release does not know, as it came.
    #[serde(untagged)]
    Unknown(Value),
}

impl Part {
    /// An image; `data` is base64.
    pub fn image(media_type: impl Into<String>, data: impl Into<String>) -> Self {
        Self::Image {
            media_type: media_type.into(),
            data: data.into(),
        }
    }

    /// A JSON value.
    pub fn json(value: impl Into<Value>) -> Self {
        Self::Json {
            value: value.into(),
        }
    }
}
