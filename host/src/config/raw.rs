//! The configuration as it is written: the shape of the files, and the source of the
//! published JSON Schema. The doc comments here are the schema's descriptions.
//!
//! Nothing outside this room sees these types; [`super::lower`] turns them into
//! [`super::Config`]. Fields that the schema requires have a serde default all the same,
//! so that the checks after the schema's can still run when one is missing.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::values::{ByteSize, HumanDuration};

mod entries;
mod isolation;

pub(crate) use entries::{Agent, ComponentRef, Library, Mapper, Sha256Hex, Toolset};
pub(crate) use isolation::{Files, Isolation};

/// Configuration of the Roundhouse host.
///
/// Layers, each overriding the one before: built-in defaults, `config/roundhouse.toml`,
/// the file of `--config`, environment variables (`ROUNDHOUSE_SERVER__LISTEN` for
/// `server.listen`), flags. Tables are merged key by key; lists are replaced whole.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Roundhouse configuration", example = example())]
pub(crate) struct Raw {
    /// Where the host listens and whom it lets in.
    pub(crate) server: Server,
    /// What a client, a run and the host as a whole may use up.
    pub(crate) limits: Limits,
    /// How a silent connection is kept alive, and how a dead one is found.
    pub(crate) heartbeat: Heartbeat,
    /// How a run is stopped.
    pub(crate) stop: Stop,
    /// Where the host keeps what it stores.
    pub(crate) storage: Storage,
    /// Who may use the host.
    pub(crate) auth: Auth,
    /// What the host logs, and how.
    pub(crate) log: Log,
    /// What the host counts of itself.
    pub(crate) metrics: Metrics,
    /// How the host takes up changes while it runs.
    pub(crate) reload: Reload,
    /// What the host tells an OpenTelemetry collector.
    pub(crate) telemetry: Telemetry,
    /// Where plugin libraries are found, and which ones there are.
    pub(crate) plugins: Plugins,
    /// The agents that clients can talk to, by name. When no file defines one, the host
    /// serves an agent named `echo` with the component `echo/echo`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = name_schema()))]
    pub(crate) agents: BTreeMap<String, Agent>,
    /// The toolsets whose tools agents may call, by name. One component may stand behind any
    /// number of them, each with its own configuration.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = name_schema()))]
    pub(crate) tools: BTreeMap<String, Toolset>,
    /// The agent of a session that names none. May be left out when there is only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"echo")]
    pub(crate) default_agent: Option<String>,
    /// Event mappers that the events of every agent pass through, in this order, after the
    /// agent's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) mappers: Vec<Mapper>,
}

/// Where the host listens and whom it lets in.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    /// IP address and port to listen on; port 0 takes a free one. An address other than
    /// loopback needs tokens under `auth`, or `auth.mode = "none"`.
    #[schemars(example = "127.0.0.1:8080", example = "[::1]:8080")]
    pub(crate) listen: String,
    /// Origins (`scheme://host[:port]`) of web pages that may use the host, besides pages of
    /// the host's own origin.
    #[schemars(example = &["https://chat.example.com"])]
    pub(crate) origins: Vec<String>,
    /// Most WebSocket connections at a time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_connections: u32,
    /// Most WebSocket connections of one owner at a time; 0 sets no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) max_connections_per_owner: u32,
    /// How long runs in progress may go on when the host is told to end; then they are stopped.
    pub(crate) drain: HumanDuration,
    /// Longest time over which clients are sent away when the host ends, and over which they are
    /// asked to come back, so that they do not all come at once: a millisecond for each, at most
    /// this; 0 sends all away at the same moment.
    pub(crate) drain_spread: HumanDuration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            origins: Vec::new(),
            max_connections: 10_000,
            max_connections_per_owner: 0,
            drain: HumanDuration(Duration::from_secs(10)),
            drain_spread: HumanDuration(Duration::from_secs(5)),
        }
    }
}

/// What a client, a run and the host as a whole may use up.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Most records in a session's replay; adjacent deltas count as one record.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) replay_records: u32,
    /// Most bytes in a session's replay.
    pub(crate) replay_bytes: ByteSize,
    /// How long the events of a run that has ended are kept in memory for clients that come back.
    pub(crate) replay_seconds: HumanDuration,
    /// Most messages that wait in a session for the runs before them.
    #[schemars(range(min = 0, max = 1_000))]
    pub(crate) queue: u32,
    /// Most messages that one owner may send in a minute, of which an owner that has been silent
    /// may send all at once; 0 sets no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) messages_per_minute: u32,
    /// Most bytes of the logs of all sessions together. Over it, logs of finished runs go
    /// first, oldest first.
    pub(crate) log_bytes: ByteSize,
    /// Largest event that an agent may emit; a mapper may make one a quarter larger.
    pub(crate) event_bytes: ByteSize,
    /// Most bytes of events that a saved turn keeps, and of an answer's content and of its data.
    pub(crate) history_bytes: ByteSize,
    /// Most images in a message; 0 allows none.
    #[schemars(range(min = 0, max = 1_000))]
    pub(crate) images: u32,
    /// Largest image, decoded.
    pub(crate) image_bytes: ByteSize,
    /// Most bytes of a message's images together, decoded.
    pub(crate) images_total_bytes: ByteSize,
    /// Largest uploaded file.
    pub(crate) file_bytes: ByteSize,
    /// Largest WebSocket message from a client: at least 4/3 of `images_total_bytes`, since
    /// images arrive as base64.
    pub(crate) frame_bytes: ByteSize,
    /// Deepest nesting of objects and lists in JSON from a client or a plugin.
    #[schemars(range(min = 4, max = 127))]
    pub(crate) json_depth: u32,
    /// How long a run may take before it is stopped.
    pub(crate) run_seconds: HumanDuration,
    /// How many agents may run inside one another, below the one the client talks to; 0 allows
    /// no subagents.
    #[schemars(range(min = 0, max = 32))]
    pub(crate) subagent_depth: u32,
    /// Longest time that an agent's `emit` waits for clients that lag behind; 0 turns
    /// the waiting off.
    pub(crate) slow_wait: HumanDuration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            replay_records: 500,
            replay_bytes: ByteSize::mib(8),
            replay_seconds: HumanDuration(Duration::from_mins(5)),
            queue: 16,
            messages_per_minute: 0,
            log_bytes: ByteSize::mib(512),
            event_bytes: ByteSize::mib(1),
            history_bytes: ByteSize::mib(16),
            images: 10,
            image_bytes: ByteSize::mib(5),
            images_total_bytes: ByteSize::mib(20),
            file_bytes: ByteSize::mib(100),
            frame_bytes: ByteSize::mib(32),
            json_depth: 64,
            run_seconds: HumanDuration(Duration::from_hours(1)),
            subagent_depth: 3,
            slow_wait: HumanDuration(Duration::from_millis(100)),
        }
    }
}

/// How a silent connection is kept alive, and how a dead one is found.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Heartbeat {
    /// Silence on a connection after which a heartbeat is sent; more than zero.
    pub(crate) interval: HumanDuration,
    /// Silence of a client after which it is sent a WebSocket ping; 0 sends none.
    pub(crate) ping: HumanDuration,
    /// How long a client may take to send anything after a ping before it is given up; more
    /// than zero.
    pub(crate) pong_deadline: HumanDuration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            interval: HumanDuration(Duration::from_secs(20)),
            ping: HumanDuration(Duration::from_secs(30)),
            pong_deadline: HumanDuration(Duration::from_secs(20)),
        }
    }
}

/// How a run is stopped.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Stop {
    /// How long an agent may take to end after a stop; then it is abandoned.
    pub(crate) grace: HumanDuration,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            grace: HumanDuration(Duration::from_secs(10)),
        }
    }
}

/// Where the host keeps what it stores.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Storage {
    /// The data folder: database, uploads, copies of plugin libraries. Made when missing.
    /// Relative to this file.
    #[schemars(length(min = 1))]
    pub(crate) path: String,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            path: "data".to_owned(),
        }
    }
}

/// Who may use the host.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Auth {
    /// `tokens` asks every client for a bearer token, `none` lets everybody in. Left out, it
    /// is `tokens` when any are listed, and otherwise `none`, but on loopback only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "AuthMode")]
    pub(crate) mode: Option<AuthMode>,
    /// The bearer tokens that are let in.
    pub(crate) tokens: Vec<Token>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum AuthMode {
    None,
    Tokens,
}

/// A bearer token, stored as its hash.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["owner", "sha256"]))]
pub(crate) struct Token {
    /// The name of whose sessions the token opens. Several tokens may have the same owner.
    #[schemars(
        title = "a name that is not blank",
        regex(pattern = r"\S"),
        example = &"alice"
    )]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) owner: String,
    /// The SHA-256 of the token, in hexadecimal: `printf %s "$TOKEN" | sha256sum`.
    #[serde(skip_serializing_if = "Sha256Hex::is_empty")]
    pub(crate) sha256: Sha256Hex,
    /// Whether who has the token may have the host read its configuration and plugins again.
    pub(crate) admin: bool,
}

/// What the host logs, and how.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`, `off`), or
    /// comma-separated directives as in `info,roundhouse_host::run=debug`.
    pub(crate) filter: String,
    /// `text` for people, `json` for one JSON object a line.
    pub(crate) format: LogFormat,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// What the host tells an OpenTelemetry collector.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Telemetry {
    /// Where spans of runs and tool calls are sent, by OTLP over HTTP without TLS; left out,
    /// nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        title = "an http:// address",
        regex(pattern = r"^http://[^\s/?#]+(/[^\s?#]*)?$"),
        example = &"http://127.0.0.1:4318/v1/traces"
    )]
    pub(crate) otlp_endpoint: Option<String>,
}

/// What the host counts of itself.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Metrics {
    /// Whether `/metrics` needs no token, although tokens are configured.
    pub(crate) public: bool,
}

/// How the host takes up changes while it runs.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Reload {
    /// How often the host looks whether its configuration file or a plugin's file has changed, to
    /// take the change up by itself; 0: it does not look.
    pub(crate) watch: HumanDuration,
    /// Most generations of all plugins, a generation being one opened copy of a library. What was
    /// opened stays in memory, so a reload that would go beyond it is refused until a restart.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) max_generations: u32,
}

impl Default for Reload {
    fn default() -> Self {
        Self {
            watch: HumanDuration(Duration::ZERO),
            max_generations: 256,
        }
    }
}

/// Where plugin libraries are found, and which ones there are.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Plugins {
    /// Folders that are searched, before the host's own, for a library that is given by a bare
    /// name. Relative to this file.
    #[schemars(inner(length(min = 1)), example = &["/opt/roundhouse/plugins"])]
    pub(crate) search_paths: Vec<String>,
    /// The plugins by the name that `component` keys refer to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = name_schema()))]
    pub(crate) libraries: BTreeMap<String, Library>,
}

/// What the operator's own names may look like.
fn name_schema() -> Value {
    serde_json::json!({
        "title": "a name of letters, digits, `.`, `_` and `-` that starts with a letter or a digit",
        "type": "string",
        "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
    })
}

/// A small configuration, as the schema shows it.
fn example() -> Value {
    serde_json::json!({
        "default_agent": "helper",
        "server": {"listen": "127.0.0.1:9000"},
        "heartbeat": {"interval": "15s"},
        "plugins": {"libraries": {
            "scripted": {"file": "roundhouse_scripted"},
            "toolbox": {"file": "roundhouse_toolbox", "required": false},
        }},
        "agents": {"helper": {
            "component": "scripted/scripted",
            "tools": ["calculator"],
            "display_name": "Helper",
        }},
        "tools": {"toolbox": {"component": "toolbox/toolbox", "timeout": "10s"}},
    })
}
