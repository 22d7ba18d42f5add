//! The configured toolsets, and calling their tools; `call`: one call of one.

mod call;

use std::sync::Arc;
use std::time::Duration;

use plugin_api::Health;
use plugin_api::wire::{ToolOutputData, ToolSpecData};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::agent::Agent;
use super::backing::Backing;
use super::listing::ListedTool;
use super::patterns::Patterns;
use super::slot::Entered;
pub(super) use call::result_of;
use call::{Call, bad_arguments, cancelled, timed_out};

/// All configured toolsets, in the order of their names.
pub(crate) struct ToolRegistry {
    toolsets: Vec<ConfiguredToolset>,
}

/// A toolset as configured.
pub(crate) struct ConfiguredToolset {
    pub(crate) name: String,
    /// `plugin/component`.
    pub(crate) component: String,
    pub(crate) plugin: String,
    pub(crate) timeout: Duration,
    pub(crate) backing: Backing,
}

/// A tool of the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolEntry {
    /// The name by which agents call it, prefix included.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub input_schema: Value,
    /// The configured toolset that it is of.
    pub toolset: String,
    /// The plugin behind that.
    pub plugin: String,
}

/// A configured toolset, and whether it can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolsetStatus {
    /// The configured name.
    pub name: String,
    /// The component behind it, as `plugin/component`.
    pub component: String,
    /// Why it cannot be used, when it cannot.
    pub unavailable: Option<String>,
    /// How its instance is, by its own account; `None` for one that is not available.
    pub health: Option<Health>,
}

/// A call of a tool on an agent's behalf.
#[derive(Debug, Clone, Copy)]
pub struct ToolRequest<'a> {
    /// The tool's name as the agent knows it.
    pub tool: &'a str,
    /// Its arguments.
    pub args: &'a Value,
    /// The call.
    pub call_id: &'a str,
    /// The run that it is made in.
    pub run_id: &'a str,
    /// That run's session.
    pub session_id: &'a str,
}

impl ConfiguredToolset {
    fn health(&self) -> Option<Health> {
        let copy = self.backing.slot().ok()?.current();
        let toolset = copy.instances.toolsets.get(&self.name)?;
        Some(toolset.instance.health())
    }
}

impl ToolRegistry {
    pub(crate) fn new(toolsets: Vec<ConfiguredToolset>) -> Self {
        Self { toolsets }
    }

    /// The tools of all toolsets. Of two with one name, which a toolset that lists anew can bring about, the first
    /// counts: it is the one that a call gets.
    fn listed(&self) -> Vec<(&ConfiguredToolset, Arc<ListedTool>)> {
        let mut all: Vec<(&ConfiguredToolset, Arc<ListedTool>)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        for toolset in &self.toolsets {
            let Ok(slot) = toolset.backing.slot() else {
                continue;
            };
            let copy = slot.current();
            let Some(listed) = copy.instances.toolsets.get(&toolset.name) else {
                continue;
            };
            for tool in listed.listing().tools() {
                if names.insert(tool.spec.name.clone()) {
                    all.push((toolset, Arc::clone(tool)));
                }
            }
        }
        all
    }

    pub(crate) fn entries(&self) -> Vec<ToolEntry> {
        let entry = |(toolset, tool): (&ConfiguredToolset, Arc<ListedTool>)| ToolEntry {
            name: tool.spec.name.clone(),
            description: tool.spec.description.clone(),
            input_schema: tool.spec.input_schema.clone(),
            toolset: toolset.name.clone(),
            plugin: toolset.plugin.clone(),
        };
        self.listed().into_iter().map(entry).collect()
    }

    pub(crate) fn specs(&self, patterns: &Patterns) -> Vec<ToolSpecData> {
        let listed = self.listed().into_iter().map(|(_, tool)| tool);
        listed
            .filter(|tool| patterns.allow(&tool.spec.name))
            .map(|tool| tool.spec.clone())
            .collect()
    }

    pub(crate) fn toolsets(&self) -> Vec<ToolsetStatus> {
        let status = |toolset: &ConfiguredToolset| ToolsetStatus {
            name: toolset.name.clone(),
            component: toolset.component.clone(),
            unavailable: toolset.backing.unavailable().map(str::to_owned),
            health: toolset.health(),
        };
        self.toolsets.iter().map(status).collect()
    }

    /// The toolset that has a tool of this name.
    fn find(&self, name: &str) -> Option<&ConfiguredToolset> {
        self.toolsets.iter().find(|toolset| {
            let Ok(slot) = toolset.backing.slot() else {
                return false;
            };
            let copy = slot.current();
            let listed = copy.instances.toolsets.get(&toolset.name);
            listed.is_some_and(|listed| listed.listing().get(name).is_some())
        })
    }

    /// See [`Catalog::call_tool`](super::Catalog::call_tool).
    pub(crate) async fn call(
        &self,
        agent: &Agent,
        request: ToolRequest<'_>,
        mut progress: impl FnMut(&str) + Send,
        cancel: &CancellationToken,
    ) -> ToolOutputData {
        let calling = self.call_checked(agent, request, &mut progress, cancel);
        calling.await.unwrap_or_else(|text| failed(&text))
    }

    /// An error's text is for the model.
    async fn call_checked(
        &self,
        agent: &Agent,
        request: ToolRequest<'_>,
        progress: &mut (impl FnMut(&str) + Send),
        cancel: &CancellationToken,
    ) -> Result<ToolOutputData, String> {
        let name = request.tool;
        // The same words for a tool that is not there and for one that is not allowed: a model cannot do
        // anything about either, and need not know what others have.
        let unknown = || {
            let mut names: Vec<String> = agent.tools().into_iter().map(|tool| tool.name).collect();
            names.truncate(NAMES_SHOWN);
            let known = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            format!("There is no tool `{name}`. Available: {known}.")
        };
        if !agent.may_call(name) {
            return Err(unknown());
        }
        let toolset = self.find(name).ok_or_else(unknown)?;
        let slot = toolset.backing.slot().map_err(str::to_owned)?;
        let entering = slot.enter(|instances| instances.toolsets.get(&toolset.name));
        let entering = tokio::time::timeout(toolset.timeout, entering);
        let Entered {
            copy,
            instance: serving,
            pass,
        } = tokio::select! {
            () = cancel.cancelled() => return Err(cancelled(name)),
            entered = entering => entered
                .map_err(|_| timed_out(name, toolset.timeout))?
                .map_err(|error| {
                    tracing::error!(tool = name, toolset = toolset.name, %error, "a tool is not available");
                    format!("Tool `{name}` is not available.")
                })?,
        };
        // A fresh copy may list other tools than the one that was asked above.
        let tool = serving.listing().get(name).cloned().ok_or_else(unknown)?;
        let problems = tool.input.breaches(request.args);
        if !problems.is_empty() {
            return Err(bad_arguments(name, &problems));
        }
        let call = Call {
            agent,
            request,
            toolset,
            tool: &tool,
            copy: &copy,
            serving: &serving,
        };
        call.run(pass, progress, cancel).await
    }
}

/// Names that a model is told when it calls a tool that it does not have.
const NAMES_SHOWN: usize = 50;

fn failed(text: &str) -> ToolOutputData {
    let mut output = ToolOutputData::default();
    output.text = text.to_owned();
    output.success = false;
    output
}
