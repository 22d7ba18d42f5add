//! All generations of a host's plugins: what was opened so far, how much may be, and the end of what is no longer used.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::generation::{Generation, GenerationStatus, Home};
use super::slot::PluginSlot;
use super::staging::Staging;

/// Of the generations that may be opened, the share after which the operator is warned.
const WARN_AT: (usize, usize) = (3, 4);

/// Generations that were in workers and have ended, of which something is told still.
const GONE_KEPT: usize = 32;

/// See the module. One for each host; it lives as long as anything of its plugins does.
pub(crate) struct Generations {
    pub(crate) staging: Staging,
    /// The program by which libraries in this process start others, see `child_guard`; `None` for no such.
    pub(crate) child_guard: Option<String>,
    most: AtomicUsize,
    opened: Mutex<Vec<Arc<Generation>>>,
    /// Those that may have instances.
    slots: Mutex<Vec<Weak<PluginSlot>>>,
    /// Each ends one slot when its time has come.
    ends: TaskTracker,
    /// Everything is to end, used or not.
    closing: CancellationToken,
    /// What is still in use is left as it is.
    given_up: CancellationToken,
}

/// How many generations were opened, of how many that may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerationCount {
    /// Opened since the process began.
    pub opened: usize,
    /// Most that a reload goes up to.
    pub most: usize,
}

impl GenerationCount {
    /// Whether so many are left that nobody need care.
    #[must_use]
    pub fn is_ample(self) -> bool {
        self.opened * WARN_AT.1 < self.most * WARN_AT.0
    }

    /// How many may be opened yet.
    #[must_use]
    pub fn left(self) -> usize {
        self.most.saturating_sub(self.opened)
    }
}

/// A loaded plugin as those hold it who may use it: catalogues, and what is made of them. When the last of them is gone,
/// its instances end, so that whoever took it can count on it to the end.
pub(crate) struct Lease {
    pub(crate) slot: Arc<PluginSlot>,
    _released: DropGuard,
}

impl Generations {
    pub(crate) fn new(staging: Staging, child_guard: Option<String>, most: usize) -> Arc<Self> {
        Arc::new(Self {
            staging,
            child_guard,
            most: AtomicUsize::new(most),
            opened: Mutex::default(),
            slots: Mutex::default(),
            ends: TaskTracker::new(),
            closing: CancellationToken::new(),
            given_up: CancellationToken::new(),
        })
    }

    /// Notes that a copy of `file` was opened, whatever comes of it: its memory is taken.
    pub(crate) fn opened(
        &self,
        plugin: &str,
        file: &Path,
        sha256: [u8; 32],
        home: Home,
    ) -> Arc<Generation> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        // Workers may be started again for as long as the host runs.
        if opened.iter().filter(|one| one.is_gone()).count() >= GONE_KEPT
            && let Some(oldest) = opened.iter().position(|one| one.is_gone())
        {
            opened.remove(oldest);
        }
        let number = opened.last().map_or(0, |last| last.number()) + 1;
        let generation = Arc::new(Generation::new(number, plugin, file, sha256, home));
        opened.push(Arc::clone(&generation));
        generation
    }
    /// The system refused to open it: nothing of it is in memory.
    pub(crate) fn never_opened(&self, generation: &Arc<Generation>) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.retain(|one| !Arc::ptr_eq(one, generation));
    }

    pub(crate) fn count(&self) -> GenerationCount {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        GenerationCount {
            opened: opened.iter().filter(|one| one.home() == Home::Host).count(),
            most: self.most.load(Ordering::Relaxed),
        }
    }

    /// Changes how many may be opened.
    pub(crate) fn allow(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// All of them, in the order in which they were opened.
    pub(crate) fn statuses(&self) -> Vec<GenerationStatus> {
        // Without the lock: each looks into its instances.
        let opened = {
            let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            opened.clone()
        };
        opened
            .iter()
            .map(|generation| generation.status())
            .collect()
    }

    /// Every plugin that may have instances, those in no catalogue any more included.
    pub(crate) fn slots(&self) -> Vec<Arc<PluginSlot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.iter().filter_map(Weak::upgrade).collect()
    }

    /// Hands a loaded plugin out. It ends when the lease and all clones of it are gone, or with everything else.
    pub(crate) fn lease(&self, slot: Arc<PluginSlot>) -> Arc<Lease> {
        let released = CancellationToken::new();
        self.slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::downgrade(&slot));
        let (ending, given_up) = (Arc::clone(&slot), self.given_up.clone());
        let (free, closing) = (released.clone(), self.closing.clone());
        self.ends.spawn(async move {
            tokio::select! {
                () = free.cancelled() => {}
                () = closing.cancelled() => {}
            }
            if given_up.run_until_cancelled(ending.close()).await.is_none() {
                ending.give_up().await;
            }
        });
        Arc::new(Lease {
            slot,
            _released: released.drop_guard(),
        })
    }

    /// Ends everything, once no run, call or mapper uses it, and takes no new work. What is still in use when
    /// `deadline` is over is left as it is.
    pub(crate) async fn shut_down(&self, deadline: Duration) {
        self.closing.cancel();
        self.ends.close();
        if tokio::time::timeout(deadline, self.ends.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                "plugins were still in use {} s after the end",
                deadline.as_secs_f32()
            );
        }
        self.given_up.cancel();
        self.ends.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::GenerationCount;

    #[test]
    fn the_warning_comes_well_before_the_end() {
        let count = |opened| GenerationCount { opened, most: 256 };
        assert!(count(191).is_ample());
        assert!(!count(192).is_ample());
        assert_eq!((count(192).left(), count(300).left()), (64, 0));
    }
}
