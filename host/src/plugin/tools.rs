//! The configured toolsets, and calling their tools.

use std::sync::Arc;
use std::time::Duration;

use plugin_api::Health;
use plugin_api::abi::import::{Completion, FailureKind};
use plugin_api::wire::{ToolCallParams, ToolOutputData, ToolSpecData};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::agent::Agent;
use super::backing::Backing;
use super::gate::Pass;
use super::instances::Toolset;
use super::library_copy::LibraryCopy;
use super::library_host::{Opened, Owner};
use super::lifecycle::{self, GivenUp};
use super::listing::ListedTool;
use super::patterns::Patterns;
use super::slot::Entered;
use crate::config::Breach;

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

struct Call<'a> {
    agent: &'a Agent,
    request: ToolRequest<'a>,
    toolset: &'a ConfiguredToolset,
    tool: &'a ListedTool,
    copy: &'a Arc<LibraryCopy>,
    serving: &'a Arc<Toolset>,
}

impl Call<'_> {
    async fn run(
        &self,
        pass: Pass,
        progress: &mut (impl FnMut(&str) + Send),
        cancel: &CancellationToken,
    ) -> Result<ToolOutputData, String> {
        let ToolRequest {
            tool: name, args, ..
        } = self.request;
        let params = serde_json::to_string(&self.params()).map_err(|error| error.to_string())?;
        let args = args.to_string();
        let owner = Owner {
            agent: self.agent.name().to_owned(),
            session_id: self.request.session_id.to_owned(),
            run_id: self.request.run_id.to_owned(),
        };
        let (Opened { scope, mut end }, mut items) = self
            .copy
            .host
            .open_call(owner, pass)
            .map_err(|error| error.to_string())?;
        // Whatever way this ends, and also when it is dropped, a call that goes on is told to end.
        let given_up = GivenUp::default();
        let cancel_call = CancelOnDrop(Some(|| {
            given_up.set();
            let (serving, scope) = (Arc::clone(self.serving), scope.id());
            let cancel = move || serving.instance.handle.cancel(scope);
            self.copy.host.signals.send(cancel);
            self.copy.expect_end(scope);
        }));
        let deadline = tokio::time::sleep(self.toolset.timeout);
        tokio::pin!(deadline);
        let calling = self.begin(scope.id(), args, params, given_up.clone());
        tokio::select! {
            begun = calling => if !begun {
                return Err(format!("Tool `{name}` is not available."));
            },
            () = &mut deadline => return Err(self.timed_out()),
        }
        let completion = loop {
            // Each arm can be dropped and taken up again: a channel, a oneshot by reference, a token, a
            // pinned timer. A flood of progress must not hide the others, and none comes after the result.
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(cancelled(name)),
                () = &mut deadline => return Err(self.timed_out()),
                Some(item) = items.recv() => progress(&item),
                completion = &mut end => break completion,
            }
        };
        cancel_call.defuse();
        while let Ok(item) = items.try_recv() {
            progress(&item);
        }
        output(name, completion.ok()).map_err(|failure| self.told(failure))
    }

    fn timed_out(&self) -> String {
        self.told(Failure::Plugins(timed_out(
            self.request.tool,
            self.toolset.timeout,
        )))
    }

    /// A failure's text for the model; of what is the plugin's fault the operator hears as well.
    fn told(&self, failure: Failure) -> String {
        match failure {
            Failure::Tools(text) => text,
            Failure::Plugins(text) => {
                let (toolset, plugin) = (&self.toolset.name, &self.toolset.plugin);
                tracing::warn!(
                    toolset,
                    plugin,
                    run = self.request.run_id,
                    error = text,
                    "a tool failed"
                );
                text
            }
        }
    }

    async fn begin(&self, scope: u64, args: String, params: String, given_up: GivenUp) -> bool {
        let (serving, tool) = (Arc::clone(self.serving), self.tool.own_name.clone());
        let call = move || {
            let instance = &serving.instance.handle;
            let begun = instance.call(scope, &tool, &args, &params);
            if given_up.is_set() {
                instance.cancel(scope);
            }
            begun
        };
        lifecycle::call(&self.copy.host, call).await
    }

    fn params(&self) -> ToolCallParams {
        let mut params = ToolCallParams::default();
        params.call_id = self.request.call_id.to_owned();
        params.run_id = self.request.run_id.to_owned();
        params.session_id = self.request.session_id.to_owned();
        params.agent = self.agent.name().to_owned();
        params.timeout_ms = u64::try_from(self.toolset.timeout.as_millis()).unwrap_or(u64::MAX);
        params
    }
}

struct CancelOnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> CancelOnDrop<F> {
    fn defuse(mut self) {
        self.0 = None;
    }
}

impl<F: FnOnce()> Drop for CancelOnDrop<F> {
    fn drop(&mut self) {
        if let Some(cancel) = self.0.take() {
            cancel();
        }
    }
}

/// A call without a result.
enum Failure {
    /// The tool says that it failed, as tools may.
    Tools(String),
    /// The plugin did what it must not.
    Plugins(String),
}

fn output(name: &str, completion: Option<Completion>) -> Result<ToolOutputData, Failure> {
    let json = match completion {
        Some(Completion::Finished { json, .. } | Completion::Stopped { json }) => json,
        Some(Completion::Failed { kind, text }) => {
            let text = format!("Tool `{name}` failed: {text}");
            return Err(match kind {
                FailureKind::Internal => Failure::Plugins(text),
                _ => Failure::Tools(text),
            });
        }
        None => {
            let text = format!("Tool `{name}` ended without an answer.");
            return Err(Failure::Plugins(text));
        }
    };
    serde_json::from_str(&json).map_err(|error| {
        Failure::Plugins(format!(
            "Tool `{name}` gave an answer that is not what it must be: {error}."
        ))
    })
}

/// The text of a call's result, or of its failure.
pub(super) fn result_of(name: &str, completion: Option<Completion>) -> String {
    match output(name, completion) {
        Ok(output) => output.text,
        Err(Failure::Tools(text) | Failure::Plugins(text)) => text,
    }
}

fn failed(text: &str) -> ToolOutputData {
    let mut output = ToolOutputData::default();
    output.text = text.to_owned();
    output.success = false;
    output
}

fn cancelled(name: &str) -> String {
    format!("Tool `{name}` was cancelled.")
}

fn timed_out(name: &str, timeout: Duration) -> String {
    format!(
        "Tool `{name}` did not answer within {} seconds.",
        timeout.as_secs_f32()
    )
}

fn bad_arguments(name: &str, problems: &[Breach]) -> String {
    let lines = problems.iter().map(|problem| {
        let at = if problem.pointer.is_empty() {
            "the arguments"
        } else {
            &problem.pointer
        };
        let expected = if problem.expected.is_empty() {
            String::new()
        } else {
            format!("; {}", problem.expected)
        };
        format!("- {at}: {}{expected}", problem.problem)
    });
    let lines: Vec<String> = lines.collect();
    format!(
        "The arguments of tool `{name}` are not right:\n{}",
        lines.join("\n")
    )
}
