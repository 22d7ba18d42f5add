//! One opened copy of a library, with the instances made in it.
#![expect(
    unsafe_code,
    reason = "an instance is made of the pointer that its component completed with"
)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use plugin_api::EventKinds;
use plugin_api::abi::import::{
    AgentFns, AgentInstance, ComponentKind as Functions, FailureKind, InstancePtr, MapperFns,
    MapperInstance, ToolsetFns, ToolsetInstance,
};
use plugin_api::wire::InstanceParams;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gate::{Gate, Pass};
use super::library_host::{Entry, LibraryHost};
use super::lifecycle::{self, INSTANCE_DEADLINE, LifecycleError};
use super::listing::{Listing, ListingError};
use super::loader::{CheckedUse, OpenedCopy};
use super::scopes::ScopeGuard;
use crate::config::Fault;

/// Least time between two listings of a toolset, however often it says that its tools have changed.
const RELIST_PAUSE: Duration = Duration::from_millis(500);

/// Counts the copies of all libraries.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// A library copy that serves.
#[derive(Default)]
pub(crate) struct Instances {
    pub(crate) agents: HashMap<String, Instance<Arc<AgentInstance>>>,
    pub(crate) toolsets: HashMap<String, Arc<Toolset>>,
    pub(crate) mappers: HashMap<String, Mapper>,
}

/// An opened copy of a library and the instances made in it.
pub(crate) struct LibraryCopy {
    pub(crate) generation: u64,
    pub(crate) host: Arc<LibraryHost>,
    pub(crate) instances: Instances,
    /// Whoever uses an instance is inside.
    pub(crate) gate: Arc<Gate>,
    /// Set when a run had to be abandoned: new work goes to another copy.
    stuck: AtomicBool,
    /// Ends the tasks that listen for changed tools.
    retired: CancellationToken,
    tasks: TaskTracker,
}

/// An instance and the scope that is its own.
pub(crate) struct Instance<I> {
    pub(crate) handle: I,
    /// Kept open until the instance was shut down.
    _scope: ScopeGuard<Entry>,
}

/// An instance of a toolset and what it lists.
pub(crate) struct Toolset {
    name: String,
    prefix: String,
    pub(crate) instance: Instance<ToolsetInstance>,
    listing: Mutex<Arc<Listing>>,
    changed: Arc<Notify>,
}

/// An instance of a mapper and the events it wants.
pub(crate) struct Mapper {
    pub(crate) instance: Instance<MapperInstance>,
    pub(crate) kinds: EventKinds,
}

/// A toolset could not be listed.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("its tools could not be listed: {0}")]
    Call(#[from] LifecycleError),
    #[error(transparent)]
    Content(#[from] ListingError),
}

enum Made {
    Agent(String, Instance<Arc<AgentInstance>>),
    Toolset(String, Toolset),
    Mapper(String, Mapper),
}

impl LibraryCopy {
    /// Makes all instances, at the same time, and lists the toolsets.
    ///
    /// # Errors
    ///
    /// A fault for each that could not be made. Those that could were ended again.
    pub(crate) async fn make(
        plugin: &str,
        opened: &OpenedCopy,
        uses: &[CheckedUse],
    ) -> Result<Arc<Self>, Vec<Fault>> {
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed) + 1;
        let gate = Arc::new(Gate::default());
        let maker = Maker {
            plugin,
            generation,
            opened,
            gate: &gate,
        };
        let mut instances = Instances::default();
        let mut faults = Vec::new();
        for made in join_all(uses.iter().map(|wanted| maker.make(wanted))).await {
            match made {
                Ok(Made::Agent(name, agent)) => {
                    instances.agents.insert(name, agent);
                }
                Ok(Made::Toolset(name, toolset)) => {
                    instances.toolsets.insert(name, Arc::new(toolset));
                }
                Ok(Made::Mapper(name, mapper)) => {
                    instances.mappers.insert(name, mapper);
                }
                Err(fault) => faults.push(fault),
            }
        }
        let copy = Arc::new(Self {
            generation,
            host: Arc::clone(&opened.host),
            instances,
            gate,
            stuck: AtomicBool::new(false),
            retired: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        if !faults.is_empty() {
            copy.end().await;
            return Err(faults);
        }
        copy.listen_for_changed_tools();
        Ok(copy)
    }

    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }

    pub(crate) fn set_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
    }

    /// Tells every instance that a session is gone.
    pub(crate) fn session_ended(&self, session: &str) {
        for agent in self.instances.agents.values() {
            agent.handle.session_ended(session);
        }
        for toolset in self.instances.toolsets.values() {
            toolset.instance.handle.session_ended(session);
        }
    }

    /// Waits until nobody uses an instance, and then ends them all, at the same time.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves instances that are not told to end; it may be called again.
    pub(crate) async fn end(&self) {
        self.retired.cancel();
        self.gate.close_and_empty().await;
        self.tasks.close();
        self.tasks.wait().await;
        let Instances {
            agents,
            toolsets,
            mappers,
        } = &self.instances;
        let agents = agents.iter().map(|(name, agent)| {
            self.end_instance("agent", name, |scope| agent.handle.shutdown(scope))
        });
        let toolsets = toolsets.iter().map(|(name, toolset)| {
            self.end_instance("toolset", name, |scope| {
                toolset.instance.handle.shutdown(scope)
            })
        });
        let mappers = mappers.iter().map(|(name, mapper)| {
            self.end_instance("mapper", name, |scope| {
                mapper.instance.handle.shutdown(scope)
            })
        });
        tokio::join!(join_all(agents), join_all(toolsets), join_all(mappers));
    }

    async fn end_instance(&self, kind: &str, name: &str, shutdown: impl FnOnce(u64) -> bool) {
        let ended = match self.host.open_shutdown() {
            Ok(opened) => lifecycle::task(opened, shutdown, INSTANCE_DEADLINE).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = ended {
            tracing::warn!(kind, name, %error, "an instance did not shut down cleanly");
        }
    }

    /// Lists every toolset anew whenever it says so, until the copy is retired.
    fn listen_for_changed_tools(&self) {
        for toolset in self.instances.toolsets.values() {
            let toolset = Arc::clone(toolset);
            let (host, gate) = (Arc::clone(&self.host), Arc::clone(&self.gate));
            let retired = self.retired.clone();
            let listening = async move {
                loop {
                    toolset.changed.notified().await;
                    let Some(pass) = gate.enter() else { return };
                    if let Err(error) = toolset.refresh(&host, pass).await {
                        tracing::warn!(toolset = toolset.name, %error, "keeping the tools listed before");
                    }
                    tokio::time::sleep(RELIST_PAUSE).await;
                }
            };
            self.tasks
                .spawn(retired.run_until_cancelled_owned(listening));
        }
    }
}

impl Drop for LibraryCopy {
    fn drop(&mut self) {
        // Those tasks hold no more than the toolset, and have nothing to listen for any longer.
        self.retired.cancel();
    }
}

impl Toolset {
    /// What it listed last.
    pub(crate) fn listing(&self) -> Arc<Listing> {
        Arc::clone(&self.listing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn refresh(&self, host: &LibraryHost, pass: Pass) -> Result<(), ListError> {
        let listing = list(&self.instance.handle, host, &self.prefix, pass).await?;
        *self.listing.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(listing);
        Ok(())
    }
}

async fn list(
    instance: &ToolsetInstance,
    host: &LibraryHost,
    prefix: &str,
    pass: Pass,
) -> Result<Listing, ListError> {
    let opened = host.open_task(pass).map_err(LifecycleError::from)?;
    let json = lifecycle::task(opened, |scope| instance.list(scope), INSTANCE_DEADLINE).await?;
    Ok(Listing::parse(&json, prefix)?)
}

/// Makes the instances of one copy.
struct Maker<'a> {
    plugin: &'a str,
    generation: u64,
    opened: &'a OpenedCopy,
    gate: &'a Arc<Gate>,
}

impl Maker<'_> {
    async fn make(&self, wanted: &CheckedUse) -> Result<Made, Fault> {
        let gone = || {
            wanted
                .of
                .component_fault("is not in the library any more", "")
        };
        let name = wanted.of.name.clone();
        match self.opened.component(&wanted.of).ok_or_else(gone)?.kind {
            Functions::Agent(functions) => {
                let handle = self.agent(functions, wanted).await?;
                Ok(Made::Agent(name, handle))
            }
            Functions::Toolset(functions) => self.toolset(functions, wanted).await,
            Functions::Mapper(functions) => self.mapper(functions, wanted).await,
            _ => Err(gone()),
        }
    }

    async fn agent(
        &self,
        functions: AgentFns,
        wanted: &CheckedUse,
    ) -> Result<Instance<Arc<AgentInstance>>, Fault> {
        let create = |scope, config: &str, params: &str| functions.create(scope, config, params);
        let (pointer, scope) = self.create(wanted, None, create).await?;
        // SAFETY: The pointer is what this component's `create` completed with, once.
        let handle = unsafe { functions.instance(pointer) };
        Ok(Instance {
            handle: Arc::new(handle),
            _scope: scope,
        })
    }

    async fn toolset(&self, functions: ToolsetFns, wanted: &CheckedUse) -> Result<Made, Fault> {
        let changed = Arc::new(Notify::new());
        let create = |scope, config: &str, params: &str| functions.create(scope, config, params);
        let (pointer, scope) = self
            .create(wanted, Some(Arc::clone(&changed)), create)
            .await?;
        // SAFETY: The pointer is what this component's `create` completed with, once.
        let handle = unsafe { functions.instance(pointer) };
        let prefix = wanted.of.prefix.clone();
        let listing = match self.gate.enter() {
            Some(pass) => list(&handle, &self.opened.host, &prefix, pass).await,
            None => Ok(Listing::default()),
        };
        match listing {
            Ok(listing) => Ok(Made::Toolset(
                wanted.of.name.clone(),
                Toolset {
                    name: wanted.of.name.clone(),
                    prefix,
                    instance: Instance {
                        handle,
                        _scope: scope,
                    },
                    listing: Mutex::new(Arc::new(listing)),
                    changed,
                },
            )),
            Err(error) => {
                // It was made and will not be used.
                if let Ok(opened) = self.opened.host.open_shutdown() {
                    let shutdown = |scope| handle.shutdown(scope);
                    let _ = lifecycle::task(opened, shutdown, INSTANCE_DEADLINE).await;
                }
                Err(wanted
                    .of
                    .component_fault(format!("cannot be used: {error}"), ""))
            }
        }
    }

    async fn mapper(&self, functions: MapperFns, wanted: &CheckedUse) -> Result<Made, Fault> {
        let create = |scope, config: &str, params: &str| functions.create(scope, config, params);
        let (pointer, scope) = self.create(wanted, None, create).await?;
        // SAFETY: The pointer is what this component's `create` completed with, once.
        let handle = unsafe { functions.instance(pointer) };
        let kinds = handle.kinds();
        let instance = Instance {
            handle,
            _scope: scope,
        };
        Ok(Made::Mapper(
            wanted.of.name.clone(),
            Mapper { instance, kinds },
        ))
    }

    async fn create(
        &self,
        wanted: &CheckedUse,
        tools_changed: Option<Arc<Notify>>,
        create: impl FnOnce(u64, &str, &str),
    ) -> Result<(InstancePtr, ScopeGuard<Entry>), Fault> {
        let mut params = InstanceParams::default();
        params.name.clone_from(&wanted.of.name);
        params.generation = self.generation;
        params.plugin = self.plugin.to_owned();
        params.deadline_ms = u64::try_from(INSTANCE_DEADLINE.as_millis()).unwrap_or(u64::MAX);
        let made = async {
            let params = serde_json::to_string(&params)
                .map_err(|_| LifecycleError::Broken("its parameters cannot be written as JSON"))?;
            let opened = self.opened.host.open_instance(tools_changed)?;
            let create = |scope| create(scope, &wanted.config, &params);
            lifecycle::create(opened, create, INSTANCE_DEADLINE).await
        };
        made.await.map_err(|error| match error {
            LifecycleError::Failed {
                kind: FailureKind::Config,
                text,
            } => wanted
                .of
                .config
                .fault("", format!("was refused by the component: {text}"), ""),
            error => wanted
                .of
                .component_fault(format!("could not be made: {error}"), ""),
        })
    }
}
