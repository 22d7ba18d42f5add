//! What the host's plugins offer: agents, tools, and the plugins themselves.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::Endpoint;
use super::gate::Granted;
use crate::plugin::{
    self, ComponentInfo, GenerationState, GenerationStatus, PluginState, PluginStatus, WorkerStatus,
};
use crate::server::Host;
use crate::server::auth::Grant;
use crate::server::openapi::Operation;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let operation =
        |path, id, summary| Operation::new(Method::GET, path, id, summary).tag("catalogue");
    vec![
        Endpoint::new(
            operation("/agents", "listAgents", "List the configured agents")
                .answer::<AgentList>(StatusCode::OK, "All of them, available or not."),
            agents,
        ),
        Endpoint::new(
            operation("/tools", "listTools", "List the tools that agents may call")
                .answer::<ToolList>(
                    StatusCode::OK,
                    "The tools of all toolsets that are available, and all toolsets.",
                ),
            tools,
        ),
        Endpoint::new(
            operation("/plugins", "listPlugins", "List the configured plugins")
                .answer::<PluginList>(
                    StatusCode::OK,
                    "All of them, loaded or not, and every generation of them.",
                ),
            plugins,
        ),
    ]
}

/// The configured agents.
#[derive(Debug, Serialize, JsonSchema)]
struct AgentList {
    /// In the order of their names.
    agents: Vec<Agent>,
    /// The name of the agent that answers in a session that names none.
    default_agent: String,
}

/// A configured agent.
#[derive(Debug, Serialize, JsonSchema)]
struct Agent {
    /// The name that a session takes.
    name: String,
    /// The name for people.
    display_name: String,
    /// What it is, in a line.
    summary: String,
    /// What serves it, as `plugin/component`.
    component: String,
    available: bool,
    /// Why it is not available; null when it is.
    reason: Option<String>,
    /// How it is, by its own account; null when it is not available.
    health: Option<Health>,
    /// The names of the tools that it may call.
    tools: Vec<String>,
    /// The names of the agents that it may run.
    subagents: Vec<String>,
}

async fn agents(State(host): State<Arc<Host>>, Granted(grant): Granted) -> Json<AgentList> {
    let catalog = Arc::clone(&host.in_force().catalog);
    let agents = catalog.agents().map(|agent| Agent {
        name: agent.name().to_owned(),
        display_name: agent.display_name().to_owned(),
        summary: agent.summary().to_owned(),
        component: agent.component().to_owned(),
        available: agent.unavailable().is_none(),
        reason: agent.unavailable().map(str::to_owned),
        health: agent.health().map(|health| Health::told(&health, &grant)),
        tools: agent.tools().into_iter().map(|tool| tool.name).collect(),
        subagents: agent.subagents().to_vec(),
    });
    Json(AgentList {
        agents: agents.collect(),
        default_agent: catalog.default_agent().to_owned(),
    })
}

/// How an agent or a toolset is, by its own account.
#[derive(Debug, Serialize, JsonSchema)]
struct Health {
    /// `ok`; `degraded`, which works in part; `failing`, which does not work.
    state: &'static str,
    /// What is wrong, why, and what comes next, for the operator; empty when all is well, and for others.
    text: String,
}

impl Health {
    /// The words are for the operator: one instance serves all owners, and may repeat what it has heard of one of them.
    fn told(health: &plugin_api::Health, grant: &Grant) -> Self {
        let text = match grant.admin() {
            Ok(()) => health.text().to_owned(),
            Err(_) => String::new(),
        };
        Self {
            state: health.as_str(),
            text,
        }
    }
}

/// The tools that agents may call.
#[derive(Debug, Serialize, JsonSchema)]
struct ToolList {
    tools: Vec<Tool>,
    toolsets: Vec<Toolset>,
}

/// A tool.
#[derive(Debug, Serialize, JsonSchema)]
struct Tool {
    /// The name by which agents call it.
    name: String,
    /// What it does.
    description: String,
    /// JSON Schema (2020-12) of its arguments.
    input_schema: Value,
    /// The toolset that it is of.
    toolset: String,
    /// The plugin behind that.
    plugin: String,
}

/// A configured toolset.
#[derive(Debug, Serialize, JsonSchema)]
struct Toolset {
    name: String,
    /// What serves it, as `plugin/component`.
    component: String,
    available: bool,
    /// Why it is not available; null when it is.
    reason: Option<String>,
    /// How it is, by its own account; null when it is not available.
    health: Option<Health>,
}

async fn tools(State(host): State<Arc<Host>>, Granted(grant): Granted) -> Json<ToolList> {
    let catalog = Arc::clone(&host.in_force().catalog);
    let tools = catalog.tools().into_iter().map(|tool| Tool {
        name: tool.name,
        description: tool.description,
        input_schema: tool.input_schema,
        toolset: tool.toolset,
        plugin: tool.plugin,
    });
    let toolsets = catalog.toolsets().into_iter().map(|toolset| Toolset {
        name: toolset.name,
        component: toolset.component,
        available: toolset.unavailable.is_none(),
        reason: toolset.unavailable,
        health: toolset.health.map(|health| Health::told(&health, &grant)),
    });
    Json(ToolList {
        tools: tools.collect(),
        toolsets: toolsets.collect(),
    })
}

/// The configured plugins.
#[derive(Debug, Serialize, JsonSchema)]
struct PluginList {
    /// In the order of their names.
    plugins: Vec<Plugin>,
    /// Every library that was opened since the host started, in that order. What was opened stays in memory.
    generations: Vec<Generation>,
    /// How many may be opened, before a reload that has to open another is refused.
    max_generations: usize,
}

/// A generation of a plugin: one opened copy of its library.
#[derive(Debug, Serialize, JsonSchema)]
struct Generation {
    /// Counts them from 1.
    number: u64,
    /// The configured name of the plugin.
    plugin: String,
    /// The library that it is a copy of.
    file: String,
    /// The library's own version; empty when it did not get as far as to tell it.
    version: String,
    /// SHA-256 of the library, in hexadecimal.
    sha256: String,
    /// When it was opened, in Unix milliseconds.
    opened_at_ms: u64,
    state: Stage,
    /// Whether a run, or a call of a mapper, in it does not end.
    stuck: bool,
    /// Runs of its agents in progress, those that were abandoned and go on included.
    running: usize,
    /// Runs that it failed.
    failures: u64,
}

/// How far a generation has come.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Stage {
    /// It is opened, and its instances are made.
    Starting,
    /// New runs take it.
    Serving,
    /// New runs take another one; it ends when those that took it have.
    Retiring,
    /// Its instances have ended. Its memory stays.
    Retired,
    /// It was opened for something that was not put in force, and never served.
    Refused,
}

impl From<GenerationStatus> for Generation {
    fn from(status: GenerationStatus) -> Self {
        let since = status.opened_at.duration_since(UNIX_EPOCH);
        let millis = since.unwrap_or_default().as_millis();
        Self {
            number: status.number,
            plugin: status.plugin,
            file: status.file.to_string_lossy().into_owned(),
            version: status.version,
            sha256: plugin::hex(&status.sha256),
            opened_at_ms: u64::try_from(millis).unwrap_or(u64::MAX),
            state: match status.state {
                GenerationState::Starting => Stage::Starting,
                GenerationState::Serving => Stage::Serving,
                GenerationState::Retiring => Stage::Retiring,
                GenerationState::Retired => Stage::Retired,
                GenerationState::Refused => Stage::Refused,
            },
            stuck: status.stuck,
            running: status.running,
            failures: status.failures,
        }
    }
}

/// A configured plugin, and what became of it.
#[derive(Debug, Serialize, JsonSchema)]
struct Plugin {
    /// The configured name.
    name: String,
    /// The library that was found, or else what was looked for.
    file: String,
    /// Whether the host refuses to start without it.
    required: bool,
    state: LoadState,
    /// The generation that new runs take; null when it failed.
    generation: Option<u64>,
    /// Why it failed; empty when it is loaded.
    reasons: Vec<String>,
    /// The library's own name; null when it failed.
    library: Option<String>,
    /// The library's own version; null when it failed.
    version: Option<String>,
    /// What the library was built with; null when it failed.
    built_with: Option<String>,
    /// What there is in the library; empty when it failed.
    components: Vec<Component>,
    /// The worker process that it runs in; null for one in the host's own.
    worker: Option<Worker>,
}

/// The worker process of a plugin.
#[derive(Debug, Serialize, JsonSchema)]
struct Worker {
    /// Its number with the system; null while there is none.
    pid: Option<u32>,
    /// How many times one was started in the place of another.
    restarts: u64,
}

impl From<WorkerStatus> for Worker {
    fn from(WorkerStatus { pid, restarts }: WorkerStatus) -> Self {
        Self { pid, restarts }
    }
}

/// What became of a plugin.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum LoadState {
    /// It serves.
    Loaded,
    /// It does not.
    Failed,
}

/// A component of a plugin.
#[derive(Debug, Serialize, JsonSchema)]
struct Component {
    /// `agent`, `toolset`, `mapper`, or one that this host does not know.
    kind: String,
    name: String,
    /// What it is, in a line.
    summary: String,
    /// Whether this host can use it.
    supported: bool,
}

impl From<PluginStatus> for Plugin {
    fn from(status: PluginStatus) -> Self {
        let PluginStatus {
            name,
            file,
            required,
            state,
            generation,
            worker,
        } = status;
        let worker = worker.map(Worker::from);
        let file = file.to_string_lossy().into_owned();
        match state {
            PluginState::Loaded {
                library,
                version,
                built_with,
                components,
            } => Self {
                name,
                file,
                required,
                state: LoadState::Loaded,
                generation,
                reasons: Vec::new(),
                library: Some(library),
                version: Some(version),
                built_with: Some(built_with),
                components: components.into_iter().map(Component::from).collect(),
                worker,
            },
            PluginState::Failed { reasons } => Self {
                name,
                file,
                required,
                state: LoadState::Failed,
                generation,
                reasons,
                library: None,
                version: None,
                built_with: None,
                components: Vec::new(),
                worker,
            },
        }
    }
}

impl From<ComponentInfo> for Component {
    fn from(info: ComponentInfo) -> Self {
        let ComponentInfo {
            kind,
            name,
            summary,
            supported,
            ..
        } = info;
        Self {
            kind,
            name,
            summary,
            supported,
        }
    }
}

async fn plugins(State(host): State<Arc<Host>>) -> Json<PluginList> {
    let catalog = Arc::clone(&host.in_force().catalog);
    let (plugins, generations) = (catalog.plugins(), catalog.generations());
    Json(PluginList {
        plugins: plugins.into_iter().map(Plugin::from).collect(),
        generations: generations.into_iter().map(Generation::from).collect(),
        max_generations: catalog.generation_count().most,
    })
}
