//! Putting a changed configuration and changed plugins in force while the host runs: read again, checked whole, and put in
//! force whole or not at all.
//!
//! What began keeps what it began with. A run has its plugins and limits to its end, since it holds the catalogue that it
//! began with; a connection keeps its limits, its heartbeat and what it was told of them; a session's events in memory
//! keep their bounds until they are given up. All else goes by what is in force at the moment.

mod fixed;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::Notify;

use crate::config::{Faults, Loader};
use crate::plugin::{self, CatalogError, ChangeKind, GenerationCount, PluginChange};

use super::host::{Host, InForce};

pub(super) use watch::{looks, watch};

/// What became of a reload.
type Answer = Result<Reloaded, Arc<ReloadError>>;

/// Where a host's configuration is read again, one reload at a time.
pub(super) struct Reloads {
    source: Option<Loader>,
    turn: tokio::sync::Mutex<()>,
    /// The one that waits for its turn. It has read nothing yet, so it does for whoever else asks.
    waiting: Mutex<Option<Shared<BoxFuture<'static, Answer>>>>,
    /// Told when something else was put in force.
    changed: Arc<Notify>,
}

impl Reloads {
    pub(super) fn new(source: Option<Loader>) -> Self {
        Self {
            source,
            turn: tokio::sync::Mutex::default(),
            waiting: Mutex::default(),
            changed: Arc::default(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Shared<BoxFuture<'static, Answer>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reload that was put in force.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// Every plugin, and what became of it.
    pub plugins: Vec<PluginChange>,
    /// Keys whose new values are not in force, since they need a restart.
    pub needs_restart: Vec<&'static str>,
    /// How many generations were opened so far.
    pub generations: GenerationCount,
}

/// Nothing was changed: the host serves as before.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The host was started with a configuration that is in no file.
    #[error("the host was not started from a configuration that can be read again")]
    NoSource,
    /// The host ends.
    #[error("the host is shutting down")]
    ShuttingDown,
    /// The configuration or a plugin is wrong. These are all faults.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// The plugins could not be loaded beside those that serve.
    #[error(transparent)]
    Plugins(CatalogError),
    /// The host failed at it.
    #[error("the reload broke off")]
    Broken(#[source] tokio::task::JoinError),
}

impl From<CatalogError> for ReloadError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Plugins(faults) => Self::Faults(faults),
            error => Self::Plugins(error),
        }
    }
}

impl Reloaded {
    /// What an operator should look at although all went well, in words.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for plugin in &self.plugins {
            for reason in &plugin.reasons {
                warnings.push(format!(
                    "plugin {} failed, but is not required: {reason}",
                    plugin.name
                ));
            }
        }
        let GenerationCount { opened, most } = self.generations;
        if !self.generations.is_ample() {
            warnings.push(format!(
                "{opened} of at most {most} generations have been opened; each stays in memory, so restart the host before \
                 they are used up, or raise reload.max_generations"
            ));
        }
        warnings
    }
}

impl Host {
    /// Reads the configuration and the plugins again, and puts both in force if nothing is wrong with either. Runs in
    /// progress are not touched.
    ///
    /// One at a time. Those that are asked for while one is in progress are one: it begins after all of them were asked
    /// for, so that it sees what any of them was asked for, and each gets its answer.
    ///
    /// # Errors
    ///
    /// [`ReloadError`]; nothing was changed then.
    ///
    /// # Cancel safety
    ///
    /// Safe: one that nobody waits for is finished all the same. The host's end waits for it.
    pub async fn reload(self: &Arc<Self>) -> Result<Reloaded, Arc<ReloadError>> {
        let reload = {
            // Held until it is noted, so that it does not begin before.
            let mut waiting = self.reloads.waiting();
            waiting.get_or_insert_with(|| self.begin_reload()).clone()
        };
        reload.await
    }

    fn begin_reload(self: &Arc<Self>) -> Shared<BoxFuture<'static, Answer>> {
        let host = Arc::clone(self);
        let reloading = self.errands.spawn(async move {
            let _turn = host.reloads.turn.lock().await;
            // Whoever asks from now on may have changed what this has read.
            host.reloads.waiting().take();
            let done = host.reload_in_turn().await;
            host.metrics.reloaded(done.is_ok());
            tell(&done);
            done
        });
        let answer = async {
            let done = reloading.await;
            let done = done.unwrap_or_else(|error| Err(ReloadError::Broken(error)));
            done.map_err(Arc::new)
        };
        answer.boxed().shared()
    }

    async fn reload_in_turn(&self) -> Result<Reloaded, ReloadError> {
        // As an errand it is waited for, so that the end cannot begin after this look and overtake it.
        if self.registry.is_draining() {
            return Err(ReloadError::ShuttingDown);
        }
        let source = self.reloads.source.clone().ok_or(ReloadError::NoSource)?;
        let before = self.in_force();
        let source = source.listening_on(before.config.server.listen);
        let read = tokio::task::spawn_blocking(move || source.load());
        let mut config = read.await.map_err(ReloadError::Broken)??;
        let needs_restart = fixed::keep(&mut config, &before.config);
        let catalog = plugin::reload(&config, &before.catalog).await?;

        self.registry.log_budget().allow(config.limits.log_bytes);
        catalog.allow_generations(config.reload.max_generations);
        let new = InForce::new(config, Arc::clone(&catalog), Some(&before));
        self.put_in_force(Arc::clone(&new));
        catalog.put_in_force(Some(&before.catalog));
        before.access.revoke_what_is_not_in(&new.access);
        self.reloads.changed.notify_waiters();
        Ok(Reloaded {
            plugins: catalog.changes_since(&before.catalog),
            needs_restart,
            generations: catalog.generation_count(),
        })
    }
}

/// Writes down what became of a reload.
fn tell(done: &Result<Reloaded, ReloadError>) {
    let reloaded = match done {
        Ok(reloaded) => reloaded,
        Err(error) => {
            tracing::error!(%error, "reload refused; the host serves as before");
            return;
        }
    };
    let changed: Vec<_> = reloaded
        .plugins
        .iter()
        .filter(|plugin| plugin.kind != ChangeKind::Kept)
        .map(|plugin| plugin.name.as_str())
        .collect();
    tracing::info!(
        plugins = changed.join(", "),
        generations = reloaded.generations.opened,
        "reloaded"
    );
    for key in &reloaded.needs_restart {
        tracing::warn!(key, "the new value needs a restart");
    }
    for warning in reloaded.warnings() {
        tracing::warn!("{warning}");
    }
}
