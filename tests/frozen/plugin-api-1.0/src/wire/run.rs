use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ToolSpecData;

/// The parameters of a run.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RunParams {
    /// The run.
    pub run_id: String,
    /// Its session.
    pub session_id: String,
    /// The configured name of the agent.
    pub agent: String,
    /// What the agent is asked: the client's text and the host's notes on images and files.
    pub content: String,
    /// The client's own text alone.
    pub user_text: String,
    /// Images of the message, without their bytes.
    pub images: Vec<ImageInfo>,
    /// Uploaded files that the message names.
    pub files: Vec<FileInfo>,
    /// The tools that the agent may call.
    pub tools: Vec<ToolSpecData>,
    /// The agents that this one may run as subagents.
    pub subagents: Vec<SubagentInfo>,
    /// 0 for a run that a client started, 1 for a subagent's, and so on.
    pub depth: u32,
    /// The `data` of this agent's outcome in its previous turn in the session.
    pub outcome_data: Option<Value>,
    /// The session's metadata, an object or null.
    pub metadata: Value,
    /// The profile that is chosen for the session; absent: none is, the agent uses its own default. Never there for
    /// a subagent.
    pub profile: Option<String>,
    /// Milliseconds that the agent has to end after a stop; 0: not said.
    pub grace_ms: u64,
}

/// An image of a run. The bytes are fetched by `handle`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ImageInfo {
    /// Names the image within its run.
    pub handle: u64,
    /// For example `image/png`.
    pub media_type: String,
    /// Size of the decoded image in bytes.
    pub bytes: u64,
}

/// An uploaded file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FileInfo {
    /// The name the client gave it.
    pub name: String,
    /// Where it lies on the host's disk, absolute.
    pub path: String,
}

/// An agent that may be run as a subagent.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SubagentInfo {
    /// Its configured name.
    pub name: String,
    /// One sentence on what it is for.
    pub summary: String,
}

/// How a run ended, from the agent's point of view.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct OutcomeData {
    /// The final text.
    pub content: String,
    /// Tokens of the context in use after the turn.
    pub context_tokens: u64,
    /// Tokens that the context can hold.
    pub max_context_tokens: u64,
    /// Tokens that the turn has used.
    pub token_count: u64,
    /// Anything the agent wants to get back with its next turn in this session.
    pub data: Option<Value>,
}
