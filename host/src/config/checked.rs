//! The checked configuration: what every other room sees.
//!
//! It is made once, by lowering [`super::raw`], and is complete: every default is
//! filled in, every path absolute or relative to the working directory, every name
//! that refers to another entry known to exist.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::located::Located;

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the host listens and whom it lets in.
    pub server: Server,
    /// What a client, a run and the host as a whole may use up.
    pub limits: Limits,
    /// How often a silent connection is told that it is alive, and when it counts as dead.
    pub heartbeat: Heartbeat,
    /// How a run is stopped.
    pub stop: Stop,
    /// Where the host keeps what it stores.
    pub storage: Storage,
    /// Who may use the host.
    pub auth: Auth,
    /// What the host logs, and how.
    pub log: Log,
    /// What the host counts of itself.
    pub metrics: Metrics,
    /// How the host takes up changes while it runs.
    pub reload: Reload,
    /// What the host tells an OpenTelemetry collector.
    pub telemetry: Telemetry,
    /// Where plugin libraries are found, and which ones there are.
    pub plugins: Plugins,
    /// The agents by name; at least one.
    pub agents: BTreeMap<String, Agent>,
    /// The configured toolsets by name.
    pub tools: BTreeMap<String, Toolset>,
    /// The agent of a session that names none; a key of [`agents`](Self::agents).
    pub default_agent: String,
    /// The mappers that the events of every agent pass through, in this order, after
    /// the agent's own.
    pub mappers: Vec<Mapper>,
}

/// `[server]`
#[derive(Debug, Clone)]
pub struct Server {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Origins that may use the host from a browser, besides its own. Normalised as a
    /// browser sends them: lower case, default port left out, no trailing slash.
    pub origins: Vec<String>,
    /// Most WebSocket connections at a time; at least 1.
    pub max_connections: usize,
    /// Most WebSocket connections of one owner at a time; 0 sets no limit.
    pub max_connections_per_owner: usize,
    /// How long runs in progress may go on when the host is told to end.
    pub drain: Duration,
    /// Longest time over which clients are sent away then, and asked to come back.
    pub drain_spread: Duration,
}

/// `[limits]`
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most records in a session's replay; at least 1.
    pub replay_records: usize,
    /// Most bytes in a session's replay.
    pub replay_bytes: usize,
    /// How long the events of a run that has ended are kept in memory.
    pub replay_keep: Duration,
    /// Most messages that wait in a session for the runs before them.
    pub queue: usize,
    /// Most messages that one owner may send in a minute; 0 sets no limit.
    pub messages_per_minute: u32,
    /// Most bytes of all sessions' logs together.
    pub log_bytes: usize,
    /// Largest event that an agent may emit, in bytes.
    pub event_bytes: usize,
    /// Most bytes of events that a saved turn keeps.
    pub history_bytes: usize,
    /// Most images in a message; 0 allows none.
    pub images: usize,
    /// Largest image, in decoded bytes.
    pub image_bytes: usize,
    /// Most decoded bytes of a message's images together.
    pub images_total_bytes: usize,
    /// Largest uploaded file, in bytes.
    pub file_bytes: u64,
    /// Largest WebSocket message from a client, in bytes; at least 4/3 of
    /// [`images_total_bytes`](Self::images_total_bytes), which base64 needs.
    pub frame_bytes: usize,
    /// Deepest nesting of objects and lists in JSON from a client or a plugin.
    pub json_depth: usize,
    /// How long a run may take before it is stopped.
    pub run_time: Duration,
    /// How many agents may run inside one another, below the one a client talks to.
    pub subagent_depth: u32,
    /// Longest time that one `emit` waits for clients that lag; zero turns this off.
    pub slow_wait: Duration,
}

/// `[heartbeat]`
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// Silence on a connection after which a heartbeat is sent; more than zero.
    pub interval: Duration,
    /// Silence of a client after which it is pinged; zero turns this off.
    pub ping: Duration,
    /// How long it may be silent after that; more than zero.
    pub pong_deadline: Duration,
}

/// `[stop]`
#[derive(Debug, Clone)]
pub struct Stop {
    /// How long an agent may take to end after a stop before it is abandoned.
    pub grace: Duration,
}

/// `[storage]`
#[derive(Debug, Clone)]
pub struct Storage {
    /// The data folder: database, uploads, staged plugin libraries.
    pub path: PathBuf,
}

/// `[auth]`
#[derive(Debug, Clone)]
pub enum Auth {
    /// Everybody who reaches the host may use it, as one and the same owner.
    None,
    /// A bearer token is needed; the list is not empty.
    Tokens(Vec<Token>),
}

/// One bearer token, known only by its hash.
#[derive(Clone)]
pub struct Token {
    /// Whose sessions the token opens.
    pub owner: String,
    /// SHA-256 of the token's UTF-8 bytes.
    pub sha256: [u8; 32],
    /// Whether it opens what is the operator's, too.
    pub admin: bool,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("owner", &self.owner)
            .field("sha256", &"***")
            .field("admin", &self.admin)
            .finish()
    }
}

/// `[log]`
#[derive(Debug, Clone)]
pub struct Log {
    /// Directives as `tracing_subscriber::EnvFilter` reads them; known to parse.
    pub filter: String,
    /// How a line is written.
    pub format: LogFormat,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[metrics]`
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Whether they may be read without a token.
    pub public: bool,
}

/// `[reload]`
#[derive(Debug, Clone)]
pub struct Reload {
    /// How often the files are looked at; zero for never.
    pub watch: Duration,
    /// Most library copies that are opened in the life of the process; at least 1.
    pub max_generations: usize,
}

/// `[telemetry]`
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// Where spans are sent by OTLP; `None` for nowhere.
    pub otlp_endpoint: Option<String>,
}

/// `[plugins]`
#[derive(Debug, Clone)]
pub struct Plugins {
    /// Folders that are searched for a library given by a bare name, before the host's own.
    pub search_paths: Vec<PathBuf>,
    /// The plugins by the name that components refer to.
    pub libraries: BTreeMap<String, Library>,
    /// The `roundhouse` that worker processes run, for a host within another program, such as a test. `None`, which
    /// is what configuration makes it, for the program that this process runs.
    pub worker_executable: Option<PathBuf>,
}

/// `[plugins.libraries.NAME]`
#[derive(Debug, Clone)]
pub struct Library {
    /// Which file to load.
    pub file: LibraryFile,
    /// Whether the host refuses to start without this plugin.
    pub required: bool,
    /// What the file's SHA-256 must be.
    pub sha256: Option<[u8; 32]>,
    /// Where its code runs.
    pub isolation: Isolation,
    /// The entry as written: what a fault found later is blamed on.
    pub entry: Located,
}

/// Where a plugin's code runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// In the host's own process.
    InProcess,
    /// In a worker process of its own.
    Process(Confinement),
}

/// What a worker process may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    /// Most bytes of data that it may have; at least 64 MiB.
    pub memory_limit: Option<u64>,
    /// The environment variables that it gets.
    pub env: Vec<String>,
    /// The files that it may use; `None` for all that the host may use.
    pub files: Option<FileRules>,
}

/// Files and folders, with all that is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRules {
    /// May be read.
    pub read: Vec<PathBuf>,
    /// May be read and changed.
    pub write: Vec<PathBuf>,
}

/// How a plugin's library is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LibraryFile {
    /// A name without separator and suffix: gets the platform's prefix and suffix and is
    /// looked for in the search paths.
    Bare(String),
    /// A path, already resolved against the file that named it.
    Path(PathBuf),
}

/// A component of a plugin, written `plugin/component`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentName {
    /// A key of [`Plugins::libraries`].
    pub plugin: String,
    /// The component's name inside the plugin.
    pub component: String,
}

impl fmt::Display for ComponentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.plugin, self.component)
    }
}

/// `[agents.NAME]`
#[derive(Debug, Clone)]
pub struct Agent {
    /// The backend behind the name.
    pub component: ComponentName,
    /// The component's own configuration: always an object.
    pub config: Located,
    /// Patterns of the tools that the agent may call; `*` stands for any characters.
    pub tools: Vec<String>,
    /// Names of the agents that it may run; each is configured.
    pub subagents: Vec<String>,
    /// What people see; the agent's name unless configured.
    pub display_name: String,
    /// Its own mappers, which come before [`Config::mappers`].
    pub mappers: Vec<Mapper>,
}

/// `[tools.NAME]`
#[derive(Debug, Clone)]
pub struct Toolset {
    /// The component that holds the tools.
    pub component: ComponentName,
    /// The component's own configuration: always an object.
    pub config: Located,
    /// How long one call may take; more than zero.
    pub timeout: Duration,
    /// Put before the name of each of its tools; may be empty.
    pub prefix: String,
}

/// One entry of a `mappers` list.
#[derive(Debug, Clone)]
pub struct Mapper {
    /// The component that maps.
    pub component: ComponentName,
    /// The component's own configuration: always an object.
    pub config: Located,
}
