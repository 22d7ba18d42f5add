//! What the steps of a script act on.

use std::future::Future;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plugin_api::serde_json::{self, Value};
use plugin_api::{EmitError, Event, RunContext, RunError, RunRequest, ServiceError};

use crate::script::Received;

/// A run, as far as scripts can see it. There is one besides [`Run`], in the tests.
pub(crate) trait Stage: Sync {
    /// Shows an event.
    fn emit(&self, event: &Event) -> impl Future<Output = Result<(), EmitError>> + Send;

    /// Resolves when the run is asked to stop.
    fn stopped(&self) -> impl Future<Output = ()> + Send;

    /// Whether the run was asked to stop.
    fn is_stopped(&self) -> bool;

    /// What the agent has received, as the text of an `echo` step.
    fn received(&self, what: Received) -> impl Future<Output = Result<String, RunError>> + Send;

    /// Calls a tool. What it gives is the host's to show.
    fn call_tool(
        &self,
        name: &str,
        args: Value,
    ) -> impl Future<Output = Result<(), ServiceError>> + Send;

    /// Runs a subagent; the answer is whether it ended as stopped.
    fn run_agent(
        &self,
        agent: &str,
        content: String,
    ) -> impl Future<Output = Result<bool, ServiceError>> + Send;
}

/// A real run.
pub(crate) struct Run {
    request: RunRequest,
    ctx: RunContext,
}

impl Run {
    pub(crate) fn new(request: RunRequest, ctx: RunContext) -> Self {
        Self { request, ctx }
    }

    /// The client's own text.
    pub(crate) fn text(&self) -> &str {
        &self.request.user_text
    }

    /// JSON: null, or the list of the images in base64.
    fn images(&self) -> Result<String, RunError> {
        if self.request.images.is_empty() {
            return Ok("null".to_owned());
        }
        let images: Vec<String> = self
            .request
            .images
            .iter()
            .map(|image| Ok(STANDARD.encode(image.bytes()?)))
            .collect::<Result<_, RunError>>()?;
        json(&images)
    }

    /// JSON: the list of all turns, the oldest first.
    async fn history(&self) -> Result<String, RunError> {
        json(&self.ctx.history().latest(usize::MAX).await?)
    }
}

fn json(value: &impl plugin_api::serde::Serialize) -> Result<String, RunError> {
    serde_json::to_string(value).map_err(RunError::internal)
}

impl Stage for Run {
    #[inline]
    fn emit(&self, event: &Event) -> impl Future<Output = Result<(), EmitError>> + Send {
        self.ctx.emit_ref(event)
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send {
        self.ctx.stopped()
    }

    fn is_stopped(&self) -> bool {
        self.ctx.is_stopped()
    }

    async fn received(&self, what: Received) -> Result<String, RunError> {
        match what {
            Received::User => Ok(self.request.content.clone()),
            Received::Images => self.images(),
            Received::Files => json(&self.request.files),
            Received::History => self.history().await,
        }
    }

    async fn call_tool(&self, name: &str, args: Value) -> Result<(), ServiceError> {
        self.ctx.call_tool(name, args).await.map(drop)
    }

    async fn run_agent(&self, agent: &str, content: String) -> Result<bool, ServiceError> {
        let outcome = self.ctx.run_agent(agent, content).await?;
        Ok(outcome.stopped)
    }
}
