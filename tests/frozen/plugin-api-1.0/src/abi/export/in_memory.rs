//! The author's types without a library around them: what [`testing`](crate::testing) is made of.
//!
//! A run or a call here takes the way of one in a library: the same task, the same C functions of the host. Only
//! what a library has one of, its host and its runtime, is the caller's.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::host::Host;
use super::{agent, lifecycle, scope, toolset};
use crate::abi::import::{self, HostLibrary};
use crate::wire::{InstanceParams, RunParams, ToolCallParams};
use crate::{AgentBackend, CreateError, InstanceContext, ToolCall, Toolset};

/// A host that is no program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InMemory(&'static Host);

impl InMemory {
    /// Made once and kept: what it needs is never freed.
    pub(crate) fn new(host: Arc<dyn HostLibrary>) -> Option<Self> {
        let host = Host::of(import::table(host))?;
        Some(Self(Box::leak(Box::new(host))))
    }

    /// The context of an instance whose scope is `scope`.
    pub(crate) fn instance(self, scope: u64, params: InstanceParams) -> InstanceContext {
        InstanceContext::new(params, scope::Scope::new(scope, self.0))
    }

    /// A run; it ends with the completion of `scope`.
    pub(crate) fn run<A: AgentBackend>(
        self,
        scope: u64,
        agent: Arc<A>,
        params: RunParams,
    ) -> impl Future<Output = ()> + Send {
        agent::run_on(self.0, scope, agent, params)
    }

    /// A call; it ends with the completion of `scope`.
    pub(crate) fn call<T: Toolset>(
        self,
        scope: u64,
        toolset: Arc<T>,
        call: ToolCall,
        params: ToolCallParams,
    ) -> impl Future<Output = ()> + Send {
        toolset::call_on(self.0, scope, toolset, call, params)
    }
}

/// Asks a run to stop, or a call to end. Nothing happens for one that is over.
pub(crate) fn stop(scope: u64) {
    scope::stop(scope);
}

/// Reads a configuration as a library does.
pub(crate) fn config<C: DeserializeOwned>(json: &str) -> Result<C, CreateError> {
    lifecycle::read_config(json).map_err(CreateError::Config)
}
