//! The host: everything that serves, put together.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::auth::Access;
use super::places::Places;
use super::reload::{self, Reloads};
use crate::config::{Config, Loader};
use crate::connection::MessageRate;
use crate::metrics::Metrics;
use crate::plugin::{self, Catalog, CatalogError};
use crate::run::{LogBudget, RunHostParts, RunRegistry, RunSettings, SettingsSource, recorder};
use crate::session::{
    OpenError, SessionStore, SqliteOptions, SqliteStore, StoreError, UploadFolders,
};

/// How long plugins may take to shut down.
const SHUTDOWN_TIME: Duration = Duration::from_secs(10);

/// What is in force: read from configuration, replaced whole.
#[derive(Debug)]
pub struct InForce {
    /// The configuration.
    pub config: Config,
    /// The plugins that it names.
    pub catalog: Arc<Catalog>,
    /// Its limits of runs.
    pub settings: Arc<RunSettings>,
    /// Whom it lets in.
    pub access: Access,
}

impl InForce {
    /// What a configuration and its plugins come to, in place of what was in force `before`.
    pub(super) fn new(config: Config, catalog: Arc<Catalog>, before: Option<&Self>) -> Arc<Self> {
        Arc::new(Self {
            settings: Arc::new(RunSettings::of(&config)),
            access: Access::of(&config, before.map(|before| &before.access)),
            config,
            catalog,
        })
    }
}

/// Hands new runs what is in force.
#[derive(Debug)]
struct Current(RwLock<Arc<InForce>>);

impl Current {
    fn get(&self) -> Arc<InForce> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SettingsSource for Current {
    fn both(&self) -> (Arc<Catalog>, Arc<RunSettings>) {
        let in_force = self.get();
        (
            Arc::clone(&in_force.catalog),
            Arc::clone(&in_force.settings),
        )
    }

    fn settings(&self) -> Arc<RunSettings> {
        Arc::clone(&self.get().settings)
    }
}

/// Why the host does not start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The session store cannot be opened.
    #[error("the session store cannot be opened")]
    Open(#[source] OpenError),
    /// What an earlier process left cannot be cleaned up.
    #[error("runs of an earlier process cannot be marked as lost")]
    Recover(#[source] StoreError),
    /// Required plugins cannot be loaded, or what uses them is wrong.
    #[error(transparent)]
    Plugins(CatalogError),
}

/// A started host, without a socket: what the routes work on.
pub struct Host {
    current: Arc<Current>,
    /// Sessions.
    pub store: Arc<dyn SessionStore>,
    /// Upload folders of sessions.
    pub uploads: UploadFolders,
    /// Sessions in use and their runs.
    pub registry: Arc<RunRegistry>,
    /// Cancelled when clients are to be sent away.
    pub closing: CancellationToken,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Every connection's task.
    pub connections: TaskTracker,
    /// How many of them each owner has.
    pub places: Arc<Places>,
    /// How many messages each owner has sent lately.
    pub rate: Arc<MessageRate>,
    /// What has to come to its end although nobody may wait for it: deletions, uploads being put in their place,
    /// the closes of refused connections.
    pub errands: TaskTracker,
    /// Where the configuration is read again, and whose turn it is.
    pub(super) reloads: Reloads,
    recording: CancellationToken,
    background: TaskTracker,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Opens the session store, marks the runs of an earlier process as lost, and loads the plugins. The configuration
    /// stays as it is as long as the host lives.
    ///
    /// # Errors
    ///
    /// [`HostError`]; nothing is left running then.
    pub async fn start(config: Config) -> Result<Arc<Self>, HostError> {
        Self::start_from(config, None).await
    }

    /// The same with a configuration that came from `source`, and that is read there again whenever
    /// [`Host::reload`] is called, or a watched file has changed.
    ///
    /// # Errors
    ///
    /// As [`Host::start`].
    pub async fn start_reloadable(config: Config, source: Loader) -> Result<Arc<Self>, HostError> {
        Self::start_from(config, Some(source)).await
    }

    async fn start_from(config: Config, source: Option<Loader>) -> Result<Arc<Self>, HostError> {
        let data = config.storage.path.clone();
        let store = SqliteStore::open(SqliteOptions::new(&data))
            .await
            .map_err(HostError::Open)?;
        let store: Arc<dyn SessionStore> = Arc::new(store);
        let started = Self::start_with(config, source, Arc::clone(&store)).await;
        if started.is_err()
            && let Err(error) = store.close().await
        {
            tracing::error!(%error, "the session store did not close");
        }
        started
    }

    async fn start_with(
        config: Config,
        source: Option<Loader>,
        store: Arc<dyn SessionStore>,
    ) -> Result<Arc<Self>, HostError> {
        let metrics = Arc::new(Metrics::default());
        for lost in store.recover().await.map_err(HostError::Recover)? {
            metrics.run_ended("lost");
            tracing::warn!(session = %lost.session, run = %lost.run, agent = lost.agent, "run lost: the host ended before it did");
        }
        let data = config.storage.path.clone();
        // Before they are read: a change that comes meanwhile is not to go unnoticed.
        let looks = match &source {
            Some(source) if !config.reload.watch.is_zero() => reload::looks(&config, source),
            _ => Vec::new(),
        };
        let catalog = plugin::load(&config).await.map_err(HostError::Plugins)?;
        let budget = Arc::new(LogBudget::new(config.limits.log_bytes));
        let in_force = InForce::new(config, catalog, None);
        let current = Arc::new(Current(RwLock::new(in_force)));
        let registry = RunRegistry::new(RunHostParts {
            store: Arc::clone(&store),
            source: Arc::clone(&current) as _,
            budget,
            metrics: Arc::clone(&metrics),
        });
        registry
            .take_up_queues()
            .await
            .map_err(HostError::Recover)?;
        let (recording, background) = (CancellationToken::new(), TaskTracker::new());
        background.spawn(recorder::record(Arc::clone(&registry), recording.clone()));
        let host = Arc::new(Self {
            current,
            store,
            uploads: UploadFolders::in_data_folder(&data),
            registry,
            closing: CancellationToken::new(),
            metrics,
            connections: TaskTracker::new(),
            places: Arc::default(),
            rate: Arc::default(),
            errands: TaskTracker::new(),
            reloads: Reloads::new(source),
            recording,
            background,
        });
        let watching = reload::watch(Arc::downgrade(&host), looks);
        let closing = host.closing.clone();
        host.background
            .spawn(closing.run_until_cancelled_owned(watching));
        Ok(host)
    }

    /// What is in force now.
    pub fn in_force(&self) -> Arc<InForce> {
        self.current.get()
    }

    /// Puts something else in force, for everything that begins from now on.
    pub(super) fn put_in_force(&self, new: Arc<InForce>) {
        *self
            .current
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner) = new;
    }

    /// Ends the host in order: no new runs, `time` for those in progress, then their stop; clients are closed,
    /// plugins shut down, the store closed. Every step is bounded.
    pub async fn shut_down(&self, time: Duration) {
        self.registry.drain(time).await;
        self.closing.cancel();
        self.connections.close();
        self.connections.wait().await;
        self.errands.close();
        self.errands.wait().await;
        self.recording.cancel();
        self.background.close();
        self.background.wait().await;
        self.in_force().catalog.shutdown(SHUTDOWN_TIME).await;
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the session store did not close");
        }
    }
}
