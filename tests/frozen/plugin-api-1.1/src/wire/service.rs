//! Services of the host: the methods of `request`, their parameters and answers.
//!
//! | method | parameters | answer | items |
//! | --- | --- | --- | --- |
//! | [`TOOLS_LIST`] | `{}` | [`ToolList`](super::ToolList) | |
//! | [`TOOLS_CALL`] | [`ToolsCall`] | [`ToolOutputData`](super::ToolOutputData) | the tool's progress |
//! | [`AGENTS_RUN`] | [`AgentsRun`] | [`AgentsRunAnswer`] | the subagent's events, `{"type": …}` |
//! | [`HISTORY_LIST`] | [`HistoryQuery`] | [`HistoryPage`] | |
//! | [`HISTORY_IMAGE`] | [`HistoryImage`] | [`ImageInfo`] | |
//! | [`STATE_GET`] | [`StateGet`] | [`StateGetAnswer`] | |
//! | [`STATE_PUT`] | [`StatePut`] | [`StatePutAnswer`] | |
//! | [`TOOLS_CHANGED`] | `{}` | `{}` | |
//!
//! A request that fails answers [`ServiceErrorData`]. A method that the host does not know answers the code
//! `unsupported`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FileInfo, ImageInfo, OutcomeData};

/// Lists the tools that the run's agent may call.
pub const TOOLS_LIST: &str = "tools/list";
/// Calls a tool.
pub const TOOLS_CALL: &str = "tools/call";
/// Runs a subagent to its end.
pub const AGENTS_RUN: &str = "agents/run";
/// Reads a page of the session's history.
pub const HISTORY_LIST: &str = "history/list";
/// Has the host lend an image of an earlier turn. Its bytes are fetched like those of the run's own, by the `handle` of the
/// answer, until the run is over.
pub const HISTORY_IMAGE: &str = "history/image";
/// Reads a value of the state that an agent keeps in a session.
pub const STATE_GET: &str = "state/get";
/// Writes a value of the state that an agent keeps in a session. Committed with the turn.
pub const STATE_PUT: &str = "state/put";
/// Remembers a text for the session's owner, across sessions. Written at once, whatever becomes of the run.
pub const MEMORY_PUT: &str = "memory/put";
/// Reads what is remembered under a key.
pub const MEMORY_GET: &str = "memory/get";
/// Looks for what is remembered by its words.
pub const MEMORY_SEARCH: &str = "memory/search";
/// Forgets what is remembered under a key.
pub const MEMORY_DELETE: &str = "memory/delete";
/// From a toolset's instance: its tools are others now, list them again.
pub const TOOLS_CHANGED: &str = "tools/changed";

/// Why a request failed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ServiceErrorData {
    /// `not_found`, `not_allowed`, `invalid`, `conflict`, `too_large`, `timeout`, `unsupported`,
    /// `internal`, `cancelled`; a reader takes one that it does not know for `internal`.
    pub code: String,
    /// For people.
    pub message: String,
}

/// Parameters of [`TOOLS_CALL`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ToolsCall {
    /// The tool's name.
    pub tool: String,
    /// Its arguments, an object.
    pub args: Value,
}

/// Parameters of [`AGENTS_RUN`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AgentsRun {
    /// The configured name of the agent to run.
    pub agent: String,
    /// What it is asked.
    pub content: String,
}

/// Answer of [`AGENTS_RUN`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AgentsRunAnswer {
    /// The subagent's final text.
    pub content: String,
    /// `finished` or `stopped`.
    pub status: String,
    /// All of its outcome.
    pub outcome: OutcomeData,
}

/// Parameters of [`HISTORY_LIST`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HistoryQuery {
    /// Only turns before this one; absent: the latest.
    pub before: Option<u64>,
    /// The most turns to return; 0: as many as the host sees fit. The host may return fewer.
    pub limit: u32,
}

/// Parameters of [`HISTORY_IMAGE`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HistoryImage {
    /// The user's turn that the image came with.
    pub turn: u64,
    /// Its place among that turn's images, from 0.
    pub image: u32,
}

/// Answer of [`HISTORY_LIST`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HistoryPage {
    /// The turns, the oldest first.
    pub turns: Vec<HistoryTurn>,
    /// Whether there are turns before these.
    pub more: bool,
    /// What `before` is in the query for the page before this one.
    pub before: Option<u64>,
}

/// One turn of a session.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HistoryTurn {
    /// Counts the session's turns from 1.
    pub turn: u64,
    /// `user` or `assistant`.
    pub role: String,
    /// What the user asked (with the host's notes), or what the agent answered.
    pub content: String,
    /// A user's turn: the client's own text alone.
    pub user_text: Option<String>,
    /// An assistant's turn: `completed`, `stopped`, `error` or `lost`.
    pub status: String,
    /// Images of a user's turn. Their `handle` says nothing: [`HISTORY_IMAGE`] gives one.
    pub images: Vec<ImageInfo>,
    /// Files of a user's turn.
    pub files: Vec<FileInfo>,
    /// Events of an assistant's turn as emitted, adjacent deltas folded, each `{"type": …}`.
    pub events: Vec<Value>,
    /// The `data` of the outcome.
    pub data: Option<Value>,
}

/// Parameters of [`STATE_GET`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StateGet {
    /// The name of the value.
    pub key: String,
}

/// Answer of [`STATE_GET`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StateGetAnswer {
    /// The value; null when it was never written.
    pub value: Value,
    /// Counts the writes; 0 when it was never written.
    pub version: u64,
}

/// Parameters of [`STATE_PUT`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StatePut {
    /// The name of the value.
    pub key: String,
    /// The value; null removes it.
    pub value: Value,
    /// Write only if this is the version; otherwise the answer is the error `conflict`. 0: only if it was
    /// never written. Absent: in any case.
    pub expected_version: Option<u64>,
}

/// Answer of [`STATE_PUT`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StatePutAnswer {
    /// The value's version now.
    pub version: u64,
}

/// Something that is remembered.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MemoryEntry {
    /// Its name, unique for the owner.
    pub key: String,
    /// The text.
    pub text: String,
    /// When it was last written, in Unix milliseconds.
    pub updated_at_ms: u64,
}

/// Parameters of [`MEMORY_PUT`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MemoryPut {
    /// The name, 1 to 200 bytes. What has the same name is replaced.
    pub key: String,
    /// The text, 1 byte to 64 KiB.
    pub text: String,
}

/// Answer of [`MEMORY_PUT`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MemoryPutAnswer {
    /// Whether nothing had this name before.
    pub is_new: bool,
}

/// Parameters of [`MEMORY_GET`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MemoryGet {
    /// The name.
    pub key: String,
}

/// Answer of [`MEMORY_GET`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MemoryGetAnswer {
    /// What is remembered; null where there is nothing.
    pub entry: Option<MemoryEntry>,
}

/// Parameters of [`MEMORY_SEARCH`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MemorySearch {
    /// Words, of which an entry must have any. Without words: all entries, the latest first.
    pub query: String,
    /// The most entries to return; 0: as many as the host sees fit. The host may return fewer.
    pub limit: u32,
}

/// Answer of [`MEMORY_SEARCH`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MemorySearchAnswer {
    /// The entries, the best match first.
    pub entries: Vec<MemoryEntry>,
}

/// Parameters of [`MEMORY_DELETE`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MemoryDelete {
    /// The name.
    pub key: String,
}

/// Answer of [`MEMORY_DELETE`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MemoryDeleteAnswer {
    /// Whether there was something.
    pub deleted: bool,
}
