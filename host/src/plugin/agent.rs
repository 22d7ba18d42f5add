//! A configured agent.

use std::sync::Arc;

use plugin_api::Health;
use plugin_api::wire::{MapperParams, RunParams, ToolSpecData};

use super::RunHost;
use super::backing::Backing;
use super::chain::{ChainLink, MapperChain, MapperFault};
use super::entry::Owner;
use super::patterns::Patterns;
use super::run_handle::RunHandle;
use super::slot::{Entered, NotServing};
use super::tools::ToolRegistry;

/// An agent of the catalogue: a name, and the component and everything else that configuration put behind it.
pub struct Agent {
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) summary: String,
    pub(crate) component: String,
    pub(crate) backing: Backing,
    pub(crate) registry: Arc<ToolRegistry>,
    pub(crate) patterns: Patterns,
    pub(crate) subagents: Vec<String>,
    pub(crate) mappers: Vec<ChainLink>,
}

/// A run could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The agent cannot be used at all, for a plugin of its failed to load.
    #[error("agent `{agent}` is not available: {reason}")]
    Unavailable {
        /// The agent's name.
        agent: String,
        /// Which plugin, and why.
        reason: String,
    },
    /// The agent cannot be used now.
    #[error("agent `{agent}` cannot start a run: {reason}")]
    NotServing {
        /// The agent's name.
        agent: String,
        /// Why not.
        reason: String,
    },
}

impl Agent {
    /// The configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name for people.
    #[must_use]
    pub fn display_name(&self) -> &str {
        &self.display_name
    }

    /// The component's own summary; empty when it has none or is not available.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The component behind the name, as `plugin/component`.
    #[must_use]
    pub fn component(&self) -> &str {
        &self.component
    }

    /// Why the agent cannot be used: a plugin that it needs, for itself or a mapper, failed to load.
    #[must_use]
    pub fn unavailable(&self) -> Option<&str> {
        self.backing.unavailable().or_else(|| {
            self.mappers
                .iter()
                .find_map(|link| link.backing.unavailable())
        })
    }

    /// How its instance is, by its own account; `None` for one that is not available.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        let copy = self.backing.slot().ok()?.current();
        let instance = copy.instances.agents.get(&self.name)?;
        Some(instance.health())
    }

    /// The tools it may call, as of now.
    #[must_use]
    pub fn tools(&self) -> Vec<ToolSpecData> {
        self.registry.specs(&self.patterns)
    }

    /// Whether its configuration allows it to call the tool of this name.
    #[must_use]
    pub fn may_call(&self, tool: &str) -> bool {
        self.patterns.allow(tool)
    }

    /// The names of the agents that it may run.
    #[must_use]
    pub fn subagents(&self) -> &[String] {
        &self.subagents
    }

    /// Starts a run. If a run of the same library got stuck before, this waits for a fresh copy of it.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the agent is not available. What goes wrong in the run itself is its end.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it is done, it has started no run, or one that was asked to stop and goes nowhere.
    pub async fn start(
        &self,
        params: &RunParams,
        host: Arc<dyn RunHost>,
    ) -> Result<RunHandle, StartError> {
        if let Some(reason) = self.unavailable() {
            return Err(self.unavailable_error(reason));
        }
        let slot = self
            .backing
            .slot()
            .map_err(|reason| self.unavailable_error(reason))?;
        let entering = slot.enter(|instances| instances.agents.get(&self.name));
        let Entered {
            copy,
            instance,
            pass,
        } = entering.await.map_err(|error| {
            slot.current().generation.failed();
            self.not_serving(&error)
        })?;
        let owner = Owner {
            agent: params.agent.clone(),
            session_id: params.session_id.clone(),
            run_id: params.run_id.clone(),
        };
        let json = serde_json::to_string(params).map_err(|error| self.not_serving(&error))?;
        let opened = copy
            .host
            .open_run(host, owner, pass)
            .map_err(|error| self.not_serving(&error))?;
        let handle = RunHandle::new(copy, instance, opened);
        if handle.begin(json).await {
            Ok(handle)
        } else {
            Err(self.not_serving(&NotServing::ShuttingDown))
        }
    }

    /// Opens the mappers that a run's events pass through: its own, then those of every agent.
    ///
    /// # Errors
    ///
    /// [`MapperFault`] naming the one that could not be opened. The run must not go on without it.
    pub async fn open_mappers(&self, params: &MapperParams) -> Result<MapperChain, MapperFault> {
        MapperChain::open(&self.mappers, params).await
    }

    fn unavailable_error(&self, reason: &str) -> StartError {
        StartError::Unavailable {
            agent: self.name.clone(),
            reason: reason.to_owned(),
        }
    }

    fn not_serving(&self, error: &dyn std::error::Error) -> StartError {
        StartError::NotServing {
            agent: self.name.clone(),
            reason: error.to_string(),
        }
    }
}
