//! What the host has started in this worker and what has not ended.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::plugin::scopes::AlreadyRandom;

/// What a scope stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Instance,
    /// A `list` or a `shutdown`.
    Task,
    Run,
    Call,
}

/// Something that the host has started.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) kind: Kind,
    /// The instance that it is of.
    pub(super) instance: u64,
    over: AtomicBool,
    stopping: AtomicBool,
    paused: AtomicBool,
    /// The count of the latest resumption.
    resumed: AtomicU64,
    /// Whether an event was refused here before.
    refused: AtomicBool,
}

impl Scope {
    pub(super) fn new(kind: Kind, instance: u64) -> Self {
        Self {
            kind,
            instance,
            over: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            resumed: AtomicU64::new(0),
            refused: AtomicBool::new(false),
        }
    }

    /// The host wants nothing more of it.
    pub(super) fn set_over(&self) {
        self.over.store(true, Ordering::Release);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// It was asked to stop.
    pub(super) fn set_stopping(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The host was slow to take an event, before which it had resumed `seen` times. Only the thread that reads
    /// says this and [`Self::resume`].
    pub(super) fn pause(&self, seen: u64) {
        if self.resumed.load(Ordering::Acquire) <= seen {
            self.paused.store(true, Ordering::Release);
        }
    }

    /// It may go on, by the host's resumption with this count.
    pub(super) fn resume(&self, count: u64) {
        self.resumed.store(count, Ordering::Release);
        self.paused.store(false, Ordering::Release);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Notes that an event was refused; true for the first.
    pub(super) fn first_refused(&self) -> bool {
        !self.refused.swap(true, Ordering::Relaxed)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Scopes(RwLock<HashMap<u64, Arc<Scope>, BuildHasherDefault<AlreadyRandom>>>);

impl Scopes {
    pub(super) fn insert(&self, id: u64, kind: Kind, instance: u64) -> Arc<Scope> {
        let scope = Arc::new(Scope::new(kind, instance));
        let mut scopes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        scopes.insert(id, Arc::clone(&scope));
        scope
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<Scope>> {
        let scopes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        scopes.get(&id).cloned()
    }

    pub(super) fn remove(&self, id: u64) -> Option<Arc<Scope>> {
        let mut scopes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        scopes.remove(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_was_answered_before_it_came_is_none() {
        let scope = Scope::new(Kind::Run, 1);
        scope.pause(3);
        assert!(scope.is_paused());
        scope.resume(5);
        assert!(!scope.is_paused());
        // The host answered SLOW before its fifth resumption, which has overtaken the pause.
        scope.pause(4);
        assert!(!scope.is_paused());
        scope.pause(5);
        assert!(scope.is_paused());
    }
}
