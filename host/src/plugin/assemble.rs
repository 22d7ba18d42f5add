//! Puts a catalogue together from what became of each plugin.

use std::collections::HashMap;
use std::sync::Arc;

use super::agent::Agent;
use super::backing::Backing;
use super::catalog::{Catalog, Plugin, PluginState, PluginStatus};
use super::chain::ChainLink;
use super::component::{ComponentKind, mapper_name};
use super::generations::Generations;
use super::load::{Attempt, LoadedPlugin};
use super::patterns::Patterns;
use super::plan;
use super::tools::{ConfiguredToolset, ToolRegistry};
use crate::config::{ComponentName, Config, Fault, Mapper, Toolset};

/// The catalogue of what loaded, and of what did not with the reason. No required plugin is among the latter.
pub(super) fn catalog(
    config: &Config,
    attempts: Vec<Attempt<'_>>,
    generations: Arc<Generations>,
) -> Catalog {
    let mut backings: HashMap<String, Backing> = HashMap::new();
    let mut plugins = Vec::new();
    for Attempt {
        name,
        library,
        file,
        result,
    } in attempts
    {
        let (state, lease, backing) = match result {
            Ok(LoadedPlugin {
                library,
                version,
                built_with,
                components,
                lease,
                kept: _,
            }) => {
                let backing = Backing::Loaded(Arc::clone(&lease));
                let state = PluginState::Loaded {
                    library,
                    version,
                    built_with,
                    components,
                };
                (state, Some(lease), backing)
            }
            Err(faults) => {
                let reasons: Vec<String> = faults.iter().map(Fault::to_string).collect();
                let all = reasons.join("; ");
                tracing::warn!(
                    plugin = name,
                    reasons = all,
                    "an optional plugin failed to load"
                );
                let backing =
                    Backing::Failed(format!("plugin `{name}` failed to load: {all}").into());
                (PluginState::Failed { reasons }, None, backing)
            }
        };
        backings.insert(name.to_owned(), backing);
        let status = PluginStatus {
            name: name.to_owned(),
            file,
            required: library.required,
            state,
            generation: None,
            worker: None,
        };
        plugins.push(Plugin {
            status,
            lease,
            settings: plan::settings(library),
        });
    }
    let parts = Parts {
        config,
        plugins: &plugins,
        backings: &backings,
    };
    let tools = Arc::new(parts.tools());
    let agent = |(name, agent): (&String, _)| {
        let agent = parts.agent(name, agent, &tools);
        warn_of_missing_tools(&agent);
        (name.clone(), Arc::new(agent))
    };
    let agents = config.agents.iter().map(agent).collect();
    let default_agent = config.default_agent.clone();
    Catalog {
        plugins,
        agents,
        default_agent,
        tools,
        generations,
    }
}

/// A tool that an agent is allowed by its full name may come later, but more likely the name is wrong.
fn warn_of_missing_tools(agent: &Agent) {
    let tools = agent.tools();
    for name in agent.patterns.plain_names() {
        if !tools.iter().any(|tool| tool.name == name) {
            tracing::warn!(
                agent = agent.name,
                tool = name,
                "an agent may call a tool that no toolset has"
            );
        }
    }
}

/// What agents and toolsets are put together from.
struct Parts<'a> {
    config: &'a Config,
    plugins: &'a [Plugin],
    backings: &'a HashMap<String, Backing>,
}

impl Parts<'_> {
    fn backing(&self, component: &ComponentName) -> Backing {
        self.backings
            .get(&component.plugin)
            .cloned()
            .unwrap_or_else(|| {
                Backing::Failed(format!("plugin `{}` is not configured", component.plugin).into())
            })
    }

    fn tools(&self) -> ToolRegistry {
        let configured = |(name, toolset): (&String, &Toolset)| ConfiguredToolset {
            name: name.clone(),
            component: toolset.component.to_string(),
            plugin: toolset.component.plugin.clone(),
            timeout: toolset.timeout,
            backing: self.backing(&toolset.component),
        };
        ToolRegistry::new(self.config.tools.iter().map(configured).collect())
    }

    fn agent(&self, name: &str, agent: &crate::config::Agent, tools: &Arc<ToolRegistry>) -> Agent {
        let link = |mapper: &Mapper| ChainLink {
            instance: mapper_name(mapper),
            component: mapper.component.to_string(),
            backing: self.backing(&mapper.component),
        };
        Agent {
            name: name.to_owned(),
            display_name: agent.display_name.clone(),
            summary: self.summary(&agent.component).unwrap_or_default(),
            component: agent.component.to_string(),
            backing: self.backing(&agent.component),
            registry: Arc::clone(tools),
            patterns: Patterns::new(agent.tools.iter().cloned()),
            subagents: agent.subagents.clone(),
            mappers: agent
                .mappers
                .iter()
                .chain(&self.config.mappers)
                .map(link)
                .collect(),
        }
    }

    fn summary(&self, component: &ComponentName) -> Option<String> {
        let plugin = self
            .plugins
            .iter()
            .find(|plugin| plugin.status.name == component.plugin)?;
        let PluginState::Loaded { components, .. } = &plugin.status.state else {
            return None;
        };
        let kind = ComponentKind::Agent.as_str();
        let info = components
            .iter()
            .find(|info| info.kind == kind && info.name == component.component)?;
        Some(info.summary.clone())
    }
}
