//! The host: everything that serves, put together.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::places::Places;
use crate::config::Config;
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
    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.get().catalog)
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
    /// Opens the session store, marks the runs of an earlier process as lost, and loads the plugins.
    ///
    /// # Errors
    ///
    /// [`HostError`]; nothing is left running then.
    pub async fn start(config: Config) -> Result<Arc<Self>, HostError> {
        let data = config.storage.path.clone();
        let store = SqliteStore::open(SqliteOptions::new(&data))
            .await
            .map_err(HostError::Open)?;
        let store: Arc<dyn SessionStore> = Arc::new(store);
        let started = Self::start_with(config, Arc::clone(&store)).await;
        if started.is_err()
            && let Err(error) = store.close().await
        {
            tracing::error!(%error, "the session store did not close");
        }
        started
    }

    async fn start_with(
        config: Config,
        store: Arc<dyn SessionStore>,
    ) -> Result<Arc<Self>, HostError> {
        let metrics = Arc::new(Metrics::default());
        for lost in store.recover().await.map_err(HostError::Recover)? {
            metrics.run_ended("lost");
            tracing::warn!(session = %lost.session, run = %lost.run, agent = lost.agent, "run lost: the host ended before it did");
        }
        let data = config.storage.path.clone();
        let catalog = plugin::load(&config).await.map_err(HostError::Plugins)?;
        let settings = Arc::new(RunSettings::of(&config));
        let budget = Arc::new(LogBudget::new(config.limits.log_bytes));
        let current = Arc::new(Current(RwLock::new(Arc::new(InForce {
            config,
            catalog,
            settings,
        }))));
        let source: Arc<dyn SettingsSource> = Arc::clone(&current) as _;
        let registry = RunRegistry::new(RunHostParts {
            store: Arc::clone(&store),
            source,
            budget,
            metrics: Arc::clone(&metrics),
        });
        registry
            .take_up_queues()
            .await
            .map_err(HostError::Recover)?;
        let (recording, background) = (CancellationToken::new(), TaskTracker::new());
        background.spawn(recorder::record(Arc::clone(&registry), recording.clone()));
        Ok(Arc::new(Self {
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
            recording,
            background,
        }))
    }

    /// What is in force now.
    pub fn in_force(&self) -> Arc<InForce> {
        self.current.get()
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
