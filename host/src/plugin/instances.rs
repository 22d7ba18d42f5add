//! Instances of components, and who uses them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plugin_api::abi::import::MapperInstance;
use plugin_api::{EventKinds, Health};
use tokio::sync::Notify;

use super::entry::Entry;
use super::gate::{Gate, Pass};
use super::handle::{AgentHandle, ToolsetHandle};
use super::health::HealthCell;
use super::library_host::LibraryHost;
use super::lifecycle::{self, INSTANCE_DEADLINE, LifecycleError};
use super::listing::{Listing, ListingError};
use super::scopes::ScopeGuard;

/// Least time between two listings of a toolset, however often it says that its tools have changed.
const RELIST_PAUSE: Duration = Duration::from_millis(500);

/// All instances of a library copy, by their names.
#[derive(Default)]
pub(crate) struct Instances {
    pub(crate) agents: HashMap<String, Arc<Instance<AgentHandle>>>,
    pub(crate) toolsets: HashMap<String, Arc<Toolset>>,
    pub(crate) mappers: HashMap<String, Arc<Mapper>>,
}

/// An instance.
pub(crate) struct Instance<I> {
    pub(crate) handle: I,
    /// Whoever uses the instance is inside.
    gate: Arc<Gate>,
    scope: InstanceScope,
}

/// The scope of an instance's own, kept open until it was shut down, and what the instance says by it.
pub(crate) struct InstanceScope {
    pub(crate) guard: ScopeGuard<Entry>,
    pub(crate) health: Arc<HealthCell>,
}

/// An instance of a toolset and what it lists.
pub(crate) struct Toolset {
    pub(crate) instance: Instance<ToolsetHandle>,
    prefix: String,
    listing: Mutex<Arc<Listing>>,
    changed: Arc<Notify>,
}

/// An instance of a mapper and the events it wants.
pub(crate) struct Mapper {
    pub(crate) instance: Instance<MapperInstance>,
    pub(crate) kinds: EventKinds,
}

/// Something that is used, and ended when nobody does.
pub(crate) trait Used: Send + Sync + 'static {
    fn gate(&self) -> &Arc<Gate>;

    /// Asks it to end; that ends with the completion of the scope.
    fn shutdown(&self, scope: u64) -> bool;
}

impl<I> Instance<I> {
    pub(crate) fn new(handle: I, scope: InstanceScope) -> Self {
        Self {
            handle,
            gate: Arc::default(),
            scope,
        }
    }

    /// How it is, by its own account.
    pub(crate) fn health(&self) -> Health {
        self.scope.health.get()
    }
}

impl Used for Instance<AgentHandle> {
    fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    fn shutdown(&self, scope: u64) -> bool {
        self.handle.shutdown(scope)
    }
}

impl Used for Toolset {
    fn gate(&self) -> &Arc<Gate> {
        &self.instance.gate
    }

    fn shutdown(&self, scope: u64) -> bool {
        self.instance.handle.shutdown(scope)
    }
}

impl Used for Mapper {
    fn gate(&self) -> &Arc<Gate> {
        &self.instance.gate
    }

    fn shutdown(&self, scope: u64) -> bool {
        self.instance.handle.shutdown(scope)
    }
}

/// Waits until nobody uses an instance, and then ends it.
///
/// # Cancel safety
///
/// Dropped, it leaves an instance that takes no new work and perhaps is not told to end.
pub(crate) async fn end(
    instance: &Arc<impl Used>,
    host: &LibraryHost,
) -> Result<(), LifecycleError> {
    instance.gate().close_and_empty().await;
    let opened = host.open_shutdown()?;
    let ending = Arc::clone(instance);
    lifecycle::task(
        host,
        opened,
        move |scope| ending.shutdown(scope),
        INSTANCE_DEADLINE,
    )
    .await?;
    Ok(())
}

/// A toolset could not be listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    #[error("its tools could not be listed: {0}")]
    Call(#[from] LifecycleError),
    #[error(transparent)]
    Content(#[from] ListingError),
}

impl Toolset {
    /// One that has not been listed yet. `changed` is told when it says that its tools have changed.
    pub(crate) fn new(
        instance: Instance<ToolsetHandle>,
        prefix: &str,
        changed: Arc<Notify>,
    ) -> Arc<Self> {
        let (prefix, listing) = (prefix.to_owned(), Mutex::default());
        Arc::new(Self {
            instance,
            prefix,
            listing,
            changed,
        })
    }

    /// What it listed last.
    pub(crate) fn listing(&self) -> Arc<Listing> {
        Arc::clone(&self.listing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lists it anew. On an error the listing stays as it was.
    pub(crate) async fn refresh(
        self: &Arc<Self>,
        host: &LibraryHost,
        pass: Pass,
    ) -> Result<(), ListError> {
        let opened = host.open_task(pass).map_err(LifecycleError::from)?;
        let toolset = Arc::clone(self);
        let list = move |scope| toolset.instance.handle.list(scope);
        let json = lifecycle::task(host, opened, list, INSTANCE_DEADLINE).await?;
        let listing = Arc::new(Listing::parse(&json, &self.prefix)?);
        *self.listing.lock().unwrap_or_else(PoisonError::into_inner) = listing;
        Ok(())
    }

    /// Lists it anew whenever it says so. Ends when it is shut down.
    pub(crate) async fn keep_fresh(self: Arc<Self>, name: String, host: Arc<LibraryHost>) {
        loop {
            self.changed.notified().await;
            let Some(pass) = self.gate().enter() else {
                return;
            };
            if let Err(error) = self.refresh(&host, pass).await {
                tracing::warn!(toolset = name, %error, "keeping the tools that were listed before");
            }
            tokio::time::sleep(RELIST_PAUSE).await;
        }
    }
}
