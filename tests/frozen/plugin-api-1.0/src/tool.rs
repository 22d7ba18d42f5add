//! Tools: what agents call.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::abi::export::Scope;
use crate::wire::{Part, ToolCallParams};
use crate::{CallId, CreateError, InstanceContext, RunId, SessionId, ToolError};

pub use crate::wire::{ToolOutputData as ToolOutput, ToolSpecData as ToolSpec};

/// Any number of tools that share a configuration.
#[async_trait]
pub trait Toolset: Send + Sync + Sized + 'static {
    /// What the operator can configure. Its schema is checked by the host before `create`.
    type Config: DeserializeOwned + JsonSchema + Send;

    /// One sentence for people.
    const SUMMARY: &'static str = "";

    /// Makes an instance. The host gives up on it after a deadline, and then drops the future.
    async fn create(config: Self::Config, ctx: InstanceContext) -> Result<Self, CreateError>;

    /// The tools. Asked after `create`, and again after [`InstanceContext::tools_changed`].
    async fn list(&self) -> Vec<ToolSpec>;

    /// Calls a tool; the host has checked the arguments against its schema. Several calls run at a time.
    ///
    /// When the call is cancelled or takes too long, [`ToolContext::cancelled`] resolves and the future is
    /// dropped where it awaits.
    async fn call(&self, call: ToolCall, ctx: ToolContext) -> Result<ToolOutput, ToolError>;

    /// Ends the instance. The host calls nothing of it afterwards, and does not wait for ever.
    async fn shutdown(&self) {}

    /// A session is gone for good; what the instance keeps of it can go. Must be quick.
    fn session_ended(&self, _session: &SessionId) {}
}

/// One tool with typed arguments: a [`Toolset`] of one.
#[async_trait]
pub trait Tool: Send + Sync + Sized + 'static {
    /// What the operator can configure. Its schema is checked by the host before `create`.
    type Config: DeserializeOwned + JsonSchema + Send;

    /// The arguments, a struct.
    type Args: DeserializeOwned + JsonSchema + Send;

    /// The tool's name, as models call it.
    const NAME: &'static str;

    /// What it does and when to use it, for models.
    const DESCRIPTION: &'static str;

    /// Makes an instance. The host gives up on it after a deadline, and then drops the future.
    async fn create(config: Self::Config, ctx: InstanceContext) -> Result<Self, CreateError>;

    /// Calls the tool. See [`Toolset::call`].
    async fn call(&self, args: Self::Args, ctx: ToolContext) -> Result<ToolOutput, ToolError>;

    /// Ends the instance. The host calls nothing of it afterwards, and does not wait for ever.
    async fn shutdown(&self) {}
}

/// A call of one of a toolset's tools.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ToolCall {
    /// The tool's name.
    pub name: String,
    /// Its arguments, an object that fits the tool's schema.
    pub args: Value,
}

impl ToolCall {
    /// A call.
    pub fn new(name: impl Into<String>, args: impl Into<Value>) -> Self {
        Self {
            name: name.into(),
            args: args.into(),
        }
    }

    /// The arguments as a type of the author's.
    ///
    /// # Errors
    ///
    /// They do not fit the type.
    pub fn args_as<T: DeserializeOwned>(&self) -> Result<T, ToolError> {
        T::deserialize(&self.args).map_err(ToolError::invalid_args)
    }
}

/// What a tool call knows of where it was made, and its connection to the host.
#[derive(Clone, Debug)]
pub struct ToolContext {
    params: Arc<ToolCallParams>,
    scope: Arc<Scope>,
}

impl ToolContext {
    pub(crate) fn new(params: ToolCallParams, scope: Arc<Scope>) -> Self {
        Self {
            params: Arc::new(params),
            scope,
        }
    }

    /// The call.
    pub fn call_id(&self) -> CallId {
        CallId::from(self.params.call_id.as_str())
    }

    /// The run that the call belongs to.
    pub fn run_id(&self) -> RunId {
        RunId::from(self.params.run_id.as_str())
    }

    /// The session that the call belongs to.
    pub fn session_id(&self) -> SessionId {
        SessionId::from(self.params.session_id.as_str())
    }

    /// The configured name of the agent that calls.
    pub fn agent(&self) -> &str {
        &self.params.agent
    }

    /// Resolves when the call was cancelled, at once if that was before.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: made for `select!`.
    pub async fn cancelled(&self) {
        self.scope.stopped().await;
    }

    /// Whether the call was cancelled, or is over.
    pub fn is_cancelled(&self) -> bool {
        self.scope.is_stopped()
    }

    /// Reports to the caller how far the call is. Nothing happens if nobody listens.
    pub fn progress(&self, message: impl Into<String>) {
        let mut fields = Map::new();
        fields.insert("message".to_owned(), Value::String(message.into()));
        self.scope.progress(fields);
    }
}

impl ToolSpec {
    /// A tool with a schema of the author's own.
    pub fn new(
        name: impl Into<String>,
        description: impl Into<String>,
        input_schema: Value,
    ) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            input_schema,
        }
    }

    /// A tool whose arguments are the struct `Args`.
    pub fn with_args<Args: JsonSchema>(
        name: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        Self::new(name, description, schema_for!(Args).to_value())
    }
}

impl ToolOutput {
    /// A success.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// A failure that the model should read.
    pub fn failure(text: impl Into<String>) -> Self {
        Self {
            success: false,
            ..Self::text(text)
        }
    }

    /// Facts about the call for clients.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Map<String, Value>) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Adds a part that goes to the caller alone.
    #[must_use]
    pub fn with_part(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }
}

/// A [`Tool`] as the [`Toolset`] that it is.
#[doc(hidden)]
#[derive(Debug)]
pub struct SingleTool<T>(T);

#[async_trait]
impl<T: Tool> Toolset for SingleTool<T> {
    type Config = T::Config;

    const SUMMARY: &'static str = T::DESCRIPTION;

    async fn create(config: Self::Config, ctx: InstanceContext) -> Result<Self, CreateError> {
        T::create(config, ctx).await.map(Self)
    }

    async fn list(&self) -> Vec<ToolSpec> {
        vec![ToolSpec::with_args::<T::Args>(T::NAME, T::DESCRIPTION)]
    }

    async fn call(&self, call: ToolCall, ctx: ToolContext) -> Result<ToolOutput, ToolError> {
        if call.name != T::NAME {
            return Err(ToolError::unknown_tool(call.name));
        }
        self.0.call(call.args_as()?, ctx).await
    }

    async fn shutdown(&self) {
        self.0.shutdown().await;
    }
}
