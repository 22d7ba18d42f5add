//! The catalogue: everything that a configuration's plugins offer, as one immutable whole.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::wire::ToolOutputData;
use tokio_util::sync::CancellationToken;

use super::agent::Agent;
use super::changes::{PluginChange, changes};
use super::generation::GenerationStatus;
use super::generations::{GenerationCount, Generations, Lease};
use super::loader::ComponentInfo;
use super::slot::WorkerStatus;
use super::tools::{ToolEntry, ToolRegistry, ToolRequest, ToolsetStatus};

/// What one configuration's plugins offer. Immutable: a new configuration makes a new one. (Which library
/// copy serves, and what a toolset lists, may change behind it.)
pub struct Catalog {
    pub(crate) plugins: Vec<Plugin>,
    pub(crate) agents: BTreeMap<String, Arc<Agent>>,
    pub(crate) default_agent: String,
    pub(crate) tools: Arc<ToolRegistry>,
    pub(crate) generations: Arc<Generations>,
}

pub(crate) struct Plugin {
    pub(crate) status: PluginStatus,
    pub(crate) lease: Option<Arc<Lease>>,
    /// What is configured for its library, but for the file.
    pub(crate) settings: serde_json::Value,
}

impl Plugin {
    /// The generation that new runs take; none of one that failed.
    pub(crate) fn generation(&self) -> Option<u64> {
        let lease = self.lease.as_ref()?;
        Some(lease.slot.current().generation.number())
    }
}

/// A configured plugin, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginStatus {
    /// The configured name.
    pub name: String,
    /// The file that was found, or else what was looked for.
    pub file: PathBuf,
    /// Whether the host refuses to start without it.
    pub required: bool,
    /// What became of it.
    pub state: PluginState,
    /// The generation that new runs take; none of one that failed.
    pub generation: Option<u64>,
    /// The worker process that it is in; `None` for one in the host's own.
    pub worker: Option<WorkerStatus>,
}

/// What became of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub enum PluginState {
    /// It serves.
    Loaded {
        /// The library's own name.
        library: String,
        /// The library's own version.
        version: String,
        /// What built it.
        built_with: String,
        /// Its components.
        components: Vec<ComponentInfo>,
    },
    /// It does not.
    Failed {
        /// All that is wrong, each naming the file, both versions or the key at fault.
        reasons: Vec<String>,
    },
}

impl Catalog {
    /// The agent of this name, available or not.
    #[must_use]
    pub fn agent(&self, name: &str) -> Option<&Arc<Agent>> {
        self.agents.get(name)
    }

    /// All agents, in the order of their names.
    pub fn agents(&self) -> impl ExactSizeIterator<Item = &Arc<Agent>> {
        self.agents.values()
    }

    /// The name of the agent of a session that names none.
    #[must_use]
    pub fn default_agent(&self) -> &str {
        &self.default_agent
    }

    /// All tools of all toolsets that are available, as of now.
    #[must_use]
    pub fn tools(&self) -> Vec<ToolEntry> {
        self.tools.entries()
    }

    /// All configured toolsets.
    #[must_use]
    pub fn toolsets(&self) -> Vec<ToolsetStatus> {
        self.tools.toolsets()
    }

    /// All configured plugins, in the order of their names.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginStatus> {
        let status = |plugin: &Plugin| {
            let mut status = PluginStatus {
                generation: plugin.generation(),
                ..plugin.status.clone()
            };
            if let Some(lease) = &plugin.lease {
                status.worker = lease.slot.worker_status();
                if let Some(reason) = lease.slot.failed() {
                    let reasons = vec![reason.to_owned()];
                    status.state = PluginState::Failed { reasons };
                }
            }
            status
        };
        self.plugins.iter().map(status).collect()
    }

    /// All generations of all plugins since the process began, those of other catalogues included, in the order in which
    /// they were opened.
    #[must_use]
    pub fn generations(&self) -> Vec<GenerationStatus> {
        self.generations.statuses()
    }

    /// How many generations were opened, of how many that may be.
    #[must_use]
    pub fn generation_count(&self) -> GenerationCount {
        self.generations.count()
    }

    /// Changes how many generations may be opened.
    pub fn allow_generations(&self, most: usize) {
        self.generations.allow(most);
    }

    /// New runs take this catalogue from now on, and no longer `before`. Runs that took that keep it; its plugins that
    /// are not in this one end when the last such run has.
    pub fn put_in_force(&self, before: Option<&Self>) {
        for lease in self.leases() {
            lease.slot.put_in_force();
        }
        let is_here = |old: &Arc<Lease>| self.leases().any(|lease| Arc::ptr_eq(lease, old));
        for old in before.into_iter().flat_map(Self::leases) {
            if !is_here(old) {
                old.slot.supersede();
            }
        }
    }

    /// What is different from `before`, plugin by plugin.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Vec<PluginChange> {
        changes(&before.plugins, &self.plugins)
    }

    /// The plugin of this name, loaded or not.
    pub(crate) fn plugin(&self, name: &str) -> Option<&Plugin> {
        self.plugins
            .iter()
            .find(|plugin| plugin.status.name == name)
    }

    /// Calls a tool on an agent's behalf: checks that it may, checks the arguments against the tool's schema,
    /// and waits for the result at most as long as its toolset is configured to take. `progress` gets each
    /// item of progress as JSON, before this returns and never after.
    ///
    /// What the model that asked for the call can be at fault for, and what goes wrong with the tool, is a
    /// result as well: not a success, with a text that says what is wrong.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it has asked the tool to end, and its result goes nowhere.
    pub async fn call_tool(
        &self,
        agent: &Agent,
        request: ToolRequest<'_>,
        progress: impl FnMut(&str) + Send,
        cancel: &CancellationToken,
    ) -> ToolOutputData {
        self.tools.call(agent, request, progress, cancel).await
    }

    /// Tells every agent and toolset, those of other catalogues included, that a session is gone for good.
    pub fn session_ended(&self, session_id: &str) {
        for slot in self.generations.slots() {
            slot.current().session_ended(session_id);
        }
    }

    /// Ends every instance, those of other catalogues included, once no run, call or mapper uses it, and takes no new
    /// work. What is still in use when `deadline` is over is left as it is.
    pub async fn shutdown(&self, deadline: Duration) {
        self.generations.shut_down(deadline).await;
    }

    fn leases(&self) -> impl Iterator<Item = &Arc<Lease>> {
        self.plugins
            .iter()
            .filter_map(|plugin| plugin.lease.as_ref())
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agents = self.agents().map(|agent| agent.name());
        f.debug_struct("Catalog")
            .field("agents", &agents.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
