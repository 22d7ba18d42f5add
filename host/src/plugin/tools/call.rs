//! One call of a tool, from its start to its result.

use std::sync::Arc;
use std::time::Duration;

use plugin_api::abi::import::{Completion, FailureKind};
use plugin_api::wire::{ToolCallParams, ToolOutputData};
use tokio_util::sync::CancellationToken;

use super::{ConfiguredToolset, ToolRequest};
use crate::config::Breach;
use crate::plugin::agent::Agent;
use crate::plugin::entry::Owner;
use crate::plugin::gate::Pass;
use crate::plugin::instances::Toolset;
use crate::plugin::library_copy::LibraryCopy;
use crate::plugin::library_host::Opened;
use crate::plugin::lifecycle::{self, GivenUp};
use crate::plugin::listing::ListedTool;

/// A call whose arguments are what they must be.
pub(super) struct Call<'a> {
    pub(super) agent: &'a Agent,
    pub(super) request: ToolRequest<'a>,
    pub(super) toolset: &'a ConfiguredToolset,
    pub(super) tool: &'a ListedTool,
    pub(super) copy: &'a Arc<LibraryCopy>,
    pub(super) serving: &'a Arc<Toolset>,
}

impl Call<'_> {
    pub(super) async fn run(
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
pub(in crate::plugin) fn result_of(name: &str, completion: Option<Completion>) -> String {
    match output(name, completion) {
        Ok(output) => output.text,
        Err(Failure::Tools(text) | Failure::Plugins(text)) => text,
    }
}

pub(super) fn cancelled(name: &str) -> String {
    format!("Tool `{name}` was cancelled.")
}

pub(super) fn timed_out(name: &str, timeout: Duration) -> String {
    format!(
        "Tool `{name}` did not answer within {} seconds.",
        timeout.as_secs_f32()
    )
}

pub(super) fn bad_arguments(name: &str, problems: &[Breach]) -> String {
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
