//! Makes the instances of one library copy.
#![expect(
    unsafe_code,
    reason = "an instance is made of the pointer that its component completed with"
)]

use std::sync::Arc;
use std::time::Duration;

use plugin_api::abi::import::{
    AgentFns, ComponentKind as Functions, FailureKind, InstancePtr, MapperFns, ToolsetFns,
};
use plugin_api::wire::InstanceParams;
use tokio::sync::Notify;

use super::component::ComponentKind;
use super::descriptor::LoadedComponent;
use super::entry::Entry;
use super::handle::{AgentHandle, ToolsetHandle};
use super::health::HealthCell;
use super::instances::{Instance, InstanceScope, ListError, Mapper, Toolset, Used, end};
use super::lifecycle::{self, INSTANCE_DEADLINE, LifecycleError};
use super::loader::{CheckedUse, OpenedCopy};
use super::scopes::ScopeGuard;
use super::worker::{RemoteInstance, Worker};
use crate::config::Fault;

/// How long a toolset that could not be listed may take to end.
const END_OF_UNLISTED: Duration = Duration::from_secs(5);

/// Makes instances.
pub(crate) struct Maker<'a> {
    /// The configured name of the plugin.
    pub(crate) plugin: &'a str,
    pub(crate) generation: u64,
    pub(crate) opened: &'a OpenedCopy,
}

/// An instance that was made.
pub(crate) enum Made {
    Agent(Instance<AgentHandle>),
    Toolset(Arc<Toolset>),
    Mapper(Mapper),
}

impl Maker<'_> {
    /// Makes the instance that a use wants; a toolset is listed, too.
    pub(crate) async fn make(&self, wanted: &CheckedUse) -> Result<Made, Fault> {
        let gone = || {
            wanted
                .of
                .component_fault("is not in the library any more", "")
        };
        let component = match self.opened.component(&wanted.of).ok_or_else(gone)? {
            LoadedComponent::Here(component) => component,
            LoadedComponent::InWorker(component) => {
                let worker = self.opened.worker.as_ref().ok_or_else(gone)?;
                return self.in_worker(worker, component.kind, wanted).await;
            }
        };
        match component.kind {
            Functions::Agent(functions) => self.agent(functions, wanted).await,
            Functions::Toolset(functions) => self.toolset(functions, wanted).await,
            Functions::Mapper(functions) => self.mapper(functions, wanted).await,
            _ => Err(gone()),
        }
    }

    async fn in_worker(
        &self,
        worker: &Arc<Worker>,
        kind: u32,
        wanted: &CheckedUse,
    ) -> Result<Made, Fault> {
        let (creating, component) = (Arc::clone(worker), wanted.of.component.clone());
        let create = move |scope, config: &str, params: &str| {
            creating.create(scope, (kind, &component), config, params);
        };
        let instance = |scope: &ScopeGuard<Entry>| RemoteInstance {
            worker: Arc::clone(worker),
            id: scope.id(),
        };
        match wanted.of.kind {
            ComponentKind::Agent => {
                let (_, scope) = self.create(wanted, None, create).await?;
                let handle = AgentHandle::InWorker(instance(&scope.guard));
                Ok(Made::Agent(Instance::new(handle, scope)))
            }
            ComponentKind::Toolset => {
                let changed = Arc::new(Notify::new());
                let (_, scope) = self
                    .create(wanted, Some(Arc::clone(&changed)), create)
                    .await?;
                let handle = ToolsetHandle::InWorker(instance(&scope.guard));
                self.listed(Instance::new(handle, scope), wanted, changed)
                    .await
            }
            // Refused before anything was made.
            ComponentKind::Mapper => Err(wanted.of.component_fault("cannot be in a worker", "")),
        }
    }

    async fn agent(&self, functions: AgentFns, wanted: &CheckedUse) -> Result<Made, Fault> {
        let create =
            move |scope, config: &str, params: &str| functions.create(scope, config, params);
        let (pointer, scope) = self.create_here(wanted, None, create).await?;
        // SAFETY: The pointer is what this component's `create` completed with, once.
        let handle = AgentHandle::Here(unsafe { functions.instance(pointer) });
        Ok(Made::Agent(Instance::new(handle, scope)))
    }

    async fn toolset(&self, functions: ToolsetFns, wanted: &CheckedUse) -> Result<Made, Fault> {
        let changed = Arc::new(Notify::new());
        let create =
            move |scope, config: &str, params: &str| functions.create(scope, config, params);
        let (pointer, scope) = self
            .create_here(wanted, Some(Arc::clone(&changed)), create)
            .await?;
        // SAFETY: The pointer is what this component's `create` completed with, once.
        let handle = ToolsetHandle::Here(unsafe { functions.instance(pointer) });
        self.listed(Instance::new(handle, scope), wanted, changed)
            .await
    }

    async fn listed(
        &self,
        instance: Instance<ToolsetHandle>,
        wanted: &CheckedUse,
        changed: Arc<Notify>,
    ) -> Result<Made, Fault> {
        let toolset = Toolset::new(instance, &wanted.of.prefix, changed);
        match self.list(&toolset).await {
            Ok(()) => Ok(Made::Toolset(toolset)),
            Err(error) => {
                // It was made and will not be used. That it cannot be listed is told; how it ends need not be, and not
                // whether: it may be listing still.
                let ending = end(&toolset, &self.opened.host);
                let _ = tokio::time::timeout(END_OF_UNLISTED, ending).await;
                Err(wanted
                    .of
                    .component_fault(format!("cannot be used: {error}"), ""))
            }
        }
    }

    async fn list(&self, toolset: &Arc<Toolset>) -> Result<(), ListError> {
        // Nobody has closed it yet.
        match toolset.gate().enter() {
            Some(pass) => toolset.refresh(&self.opened.host, pass).await,
            None => Ok(()),
        }
    }

    async fn mapper(&self, functions: MapperFns, wanted: &CheckedUse) -> Result<Made, Fault> {
        let create =
            move |scope, config: &str, params: &str| functions.create(scope, config, params);
        let (pointer, scope) = self.create_here(wanted, None, create).await?;
        // SAFETY: The pointer is what this component's `create` completed with, once.
        let handle = unsafe { functions.instance(pointer) };
        let kinds = handle.kinds();
        Ok(Made::Mapper(Mapper {
            instance: Instance::new(handle, scope),
            kinds,
        }))
    }

    async fn create_here(
        &self,
        wanted: &CheckedUse,
        tools_changed: Option<Arc<Notify>>,
        create: impl FnOnce(u64, &str, &str) + Send + 'static,
    ) -> Result<(InstancePtr, InstanceScope), Fault> {
        let (pointer, scope) = self.create(wanted, tools_changed, create).await?;
        let broken = LifecycleError::Broken("it finished `create` without an instance");
        let pointer = pointer.ok_or_else(|| not_made(wanted, &broken))?;
        Ok((pointer, scope))
    }

    async fn create(
        &self,
        wanted: &CheckedUse,
        tools_changed: Option<Arc<Notify>>,
        create: impl FnOnce(u64, &str, &str) + Send + 'static,
    ) -> Result<(Option<InstancePtr>, InstanceScope), Fault> {
        let made = async {
            let config = wanted.config.clone();
            let params = serde_json::to_string(&self.params(wanted))
                .map_err(|_| LifecycleError::Broken("its parameters cannot be written as JSON"))?;
            let health = HealthCell::new(&wanted.of.name);
            let host = &self.opened.host;
            let opened = host.open_instance(tools_changed, Arc::clone(&health))?;
            let create = move |scope| create(scope, &config, &params);
            let (pointer, guard) =
                lifecycle::create(host, opened, create, INSTANCE_DEADLINE).await?;
            Ok((pointer, InstanceScope { guard, health }))
        };
        made.await.map_err(|error| match error {
            LifecycleError::Failed {
                kind: FailureKind::Config,
                text,
            } => wanted
                .of
                .config
                .fault("", format!("was refused by the component: {text}"), ""),
            error => not_made(wanted, &error),
        })
    }

    fn params(&self, wanted: &CheckedUse) -> InstanceParams {
        let mut params = InstanceParams::default();
        params.name.clone_from(&wanted.of.name);
        params.generation = self.generation;
        params.plugin = self.plugin.to_owned();
        params.deadline_ms = u64::try_from(INSTANCE_DEADLINE.as_millis()).unwrap_or(u64::MAX);
        params
    }
}

fn not_made(wanted: &CheckedUse, error: &LifecycleError) -> Fault {
    wanted
        .of
        .component_fault(format!("could not be made: {error}"), "")
}
