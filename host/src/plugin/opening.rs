//! The opening of a library as those see it who wait for it: only so long.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::generation::{Generation, Home};
use super::generations::Generations;
use super::lifecycle::{NotOpened, OPENS_WITHIN};
use super::staging::Staging;

/// One opening. What comes of it after it was given up is nobody's.
pub(crate) struct Opening {
    generations: Arc<Generations>,
    state: Mutex<State>,
}

enum State {
    /// With the generation, once there is one.
    Awaited(Option<Arc<Generation>>),
    GivenUp,
}

impl Opening {
    pub(crate) fn new(generations: &Arc<Generations>) -> Arc<Self> {
        Arc::new(Self {
            generations: Arc::clone(generations),
            state: Mutex::new(State::Awaited(None)),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn staging(&self) -> &Staging {
        &self.generations.staging
    }

    pub(crate) fn child_guard(&self) -> Option<&str> {
        self.generations.child_guard.as_deref()
    }

    /// See [`Generations::opened`].
    pub(crate) fn begun(
        &self,
        plugin: &str,
        file: &Path,
        sha256: [u8; 32],
        home: Home,
    ) -> Arc<Generation> {
        let generation = self.generations.opened(plugin, file, sha256, home);
        match &mut *self.state() {
            State::Awaited(of) => *of = Some(Arc::clone(&generation)),
            State::GivenUp => generation.ended(),
        }
        generation
    }

    /// See [`Generations::never_opened`].
    pub(crate) fn refused(&self, generation: &Arc<Generation>) {
        self.generations.never_opened(generation);
    }

    /// Waits for `opened`, which goes on when that takes too long; its generation has ended then, whatever comes of it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves the opening to itself.
    pub(crate) async fn within<'a, T>(
        &self,
        file: &'a Path,
        opened: impl Future<Output = T>,
    ) -> Result<T, NotOpened<'a>> {
        match tokio::time::timeout(OPENS_WITHIN, opened).await {
            Ok(opened) => Ok(opened),
            Err(_elapsed) => {
                let before = std::mem::replace(&mut *self.state(), State::GivenUp);
                if let State::Awaited(Some(generation)) = before {
                    generation.ended();
                }
                Err(NotOpened(file))
            }
        }
    }
}
