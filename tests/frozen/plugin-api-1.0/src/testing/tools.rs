//! Tools under test.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;

use super::agent::context;
use super::host::{self, Scope, Script};
use crate::abi::export::in_memory;
use crate::abi::import::Completion;
use crate::tool::SingleTool;
use crate::wire::ToolCallParams;
use crate::{CreateError, Event, SessionId, ToolCall, ToolOutput, ToolSpec, Toolset};

/// How long a call may take by the test's clock before the test fails.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// An instance of a toolset, without a host around it.
#[derive(Debug)]
pub struct TestTools<T> {
    toolset: Arc<T>,
}

/// An instance of a [`Tool`](crate::Tool): a toolset of one.
pub type TestTool<T> = TestTools<SingleTool<T>>;

impl<T: Toolset> TestTools<T> {
    /// Makes an instance as a host does, of the configuration that an operator would write, as JSON. A host checks
    /// it against its schema before.
    ///
    /// # Errors
    ///
    /// The configuration does not fit, or `create` fails.
    pub async fn create(config: impl Into<Value>) -> Result<Self, CreateError> {
        let config = in_memory::config(&config.into().to_string())?;
        Ok(Self::new(T::create(config, context()).await?))
    }

    /// An instance that was made in another way.
    pub fn new(toolset: T) -> Self {
        Self {
            toolset: Arc::new(toolset),
        }
    }

    /// The instance itself.
    pub fn toolset(&self) -> &T {
        &self.toolset
    }

    /// The tools.
    pub async fn list(&self) -> Vec<ToolSpec> {
        self.toolset.list().await
    }

    /// Calls a tool and waits for its result. A host checks the arguments against the tool's schema before.
    ///
    /// # Panics
    ///
    /// It does not end within an hour of the test's clock, or there is no tokio runtime: see
    /// [`block_on`](super::block_on).
    pub async fn call(&self, name: impl Into<String>, args: impl Into<Value>) -> Called {
        self.start(name, args).finish().await
    }

    /// Starts a call. It gets on whenever the test awaits something.
    ///
    /// # Panics
    ///
    /// There is no tokio runtime: see [`block_on`](super::block_on).
    pub fn start(&self, name: impl Into<String>, args: impl Into<Value>) -> RunningCall {
        let scope = Scope::open(Script::default());
        let params = ToolCallParams {
            call_id: "call".to_owned(),
            run_id: "run".to_owned(),
            session_id: "session".to_owned(),
            agent: "agent".to_owned(),
            timeout_ms: 0,
        };
        let call = ToolCall::new(name, args);
        let call = host::host().call(scope.id(), Arc::clone(&self.toolset), call, params);
        RunningCall {
            task: tokio::spawn(call),
            scope,
        }
    }

    /// Tells the instance that a session is gone for good.
    pub fn session_ended(&self, session: &str) {
        self.toolset.session_ended(&SessionId::from(session));
    }

    /// Ends the instance.
    pub async fn shutdown(self) {
        self.toolset.shutdown().await;
    }
}

/// A call that goes on. Dropping it drops the tool's future where it awaits.
#[derive(Debug)]
pub struct RunningCall {
    scope: Arc<Scope>,
    task: JoinHandle<()>,
}

impl RunningCall {
    /// Asks the call to end.
    pub fn cancel(&self) {
        self.scope.stop();
    }

    /// Waits for the result.
    ///
    /// # Panics
    ///
    /// It does not come within an hour of the test's clock.
    pub async fn finish(self) -> Called {
        let ended = self.scope.wait_for(|seen| seen.completion.take());
        let Ok(completion) = tokio::time::timeout(LIMIT, ended).await else {
            panic!("the call has not ended within an hour of the test's clock");
        };
        let result = match completion {
            Completion::Finished { json, .. } | Completion::Stopped { json } => {
                serde_json::from_str(&json).map_err(|error| format!("the result: {error}"))
            }
            Completion::Failed { text, .. } => Err(text),
        };
        let events = std::mem::take(&mut self.scope.seen().events);
        let message = |event: Event| match event {
            Event::Custom(event) => event.fields.get("message")?.as_str().map(str::to_owned),
            _ => None,
        };
        Called {
            result,
            progress: events.into_iter().filter_map(message).collect(),
        }
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Called {
    /// What the tool gave, which may be without success; or the text of its error, as an agent gets to see it.
    pub result: Result<ToolOutput, String>,
    /// What it said on the way.
    pub progress: Vec<String>,
}

impl Called {
    /// What the tool gave.
    ///
    /// # Panics
    ///
    /// The call has failed.
    #[track_caller]
    pub fn output(&self) -> &ToolOutput {
        match &self.result {
            Ok(output) => output,
            Err(error) => panic!("the call has failed: {error}"),
        }
    }

    /// The text of the error.
    ///
    /// # Panics
    ///
    /// The call has not failed.
    #[track_caller]
    pub fn failure(&self) -> &str {
        match &self.result {
            Ok(output) => panic!("the call has not failed: {:?}", output.text),
            Err(error) => error,
        }
    }
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(output) => f.write_str(&output.text),
            Err(error) => f.write_str(error),
        }
    }
}
