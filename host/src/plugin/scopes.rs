//! What a library may still touch of the host: its scopes.
//!
//! A scope is a random `u64` that stands for an instance, a run, a tool call, or something the host waits
//! for. Each library copy has a table of its own, so a scope means nothing to any other library; and since
//! an entry leaves the table when what it stands for is over, whatever comes late finds nothing.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

/// More shards than cores in most machines, so that runs seldom share a lock.
const SHARDS: usize = 16;

/// What a scope may stand for.
pub(crate) trait ScopeEntry: Clone {
    /// It is not in the table any more: whoever still has it is to see that.
    fn ended(&self) {}
}

/// A library's table of what its scopes stand for. `T` is cheap to clone.
pub(crate) struct ScopeTable<T> {
    shards: [RwLock<Shard<T>>; SHARDS],
}

type Shard<T> = HashMap<u64, T, BuildHasherDefault<AlreadyRandom>>;

/// The operating system's random numbers could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random number: {0}")]
pub(crate) struct NoRandom(getrandom::Error);

impl<T: ScopeEntry> ScopeTable<T> {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
        }
    }

    /// Opens a scope that stands for `entry` as long as the guard lives. If the guard is dropped while the
    /// entry is still there, `afterwards` takes its place for good.
    pub(crate) fn open(
        self: &Arc<Self>,
        entry: T,
        afterwards: Option<T>,
    ) -> Result<ScopeGuard<T>, NoRandom> {
        let scope = loop {
            let scope = getrandom::u64().map_err(NoRandom)?;
            // 0 means "no scope" in a log line.
            if scope != 0 && self.get(scope).is_none() {
                break scope;
            }
        };
        self.write(scope).insert(scope, entry);
        Ok(ScopeGuard {
            table: Arc::clone(self),
            scope,
            afterwards,
        })
    }

    /// What `scope` stands for. The lock is not held afterwards: callers go on into plugin code.
    pub(crate) fn get(&self, scope: u64) -> Option<T> {
        let shard = self
            .shard(scope)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        shard.get(&scope).cloned()
    }

    /// Ends a scope; what it stood for goes to whoever came first.
    pub(crate) fn remove(&self, scope: u64) -> Option<T> {
        let mut shard = self.write(scope);
        let taken = shard.remove(&scope);
        if let Some(entry) = &taken {
            entry.ended();
        }
        taken
    }

    /// Ends all scopes that stand for something of the kind that is wanted, and answers what.
    pub(crate) fn take_all(&self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            let ended = shard.extract_if(|_, entry| wanted(entry));
            taken.extend(ended.map(|(_, entry)| entry).inspect(ScopeEntry::ended));
        }
        taken
    }

    fn write(&self, scope: u64) -> RwLockWriteGuard<'_, Shard<T>> {
        self.shard(scope)
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, scope: u64) -> &RwLock<Shard<T>> {
        // Other bits than those the map itself goes by, which are the lowest and the highest.
        &self.shards[(scope >> 32) as usize % SHARDS]
    }
}

/// Keeps a scope open, and ends it when dropped.
pub(crate) struct ScopeGuard<T: ScopeEntry> {
    table: Arc<ScopeTable<T>>,
    scope: u64,
    afterwards: Option<T>,
}

impl<T: ScopeEntry> ScopeGuard<T> {
    pub(crate) fn id(&self) -> u64 {
        self.scope
    }
}

impl<T: ScopeEntry> Drop for ScopeGuard<T> {
    fn drop(&mut self) {
        let mut shard = self.table.write(self.scope);
        // What is taken out is dropped after the lock: it may be the last of something that calls back.
        let taken = shard.remove(&self.scope);
        if let Some(entry) = &taken {
            entry.ended();
            if let Some(afterwards) = self.afterwards.take() {
                shard.insert(self.scope, afterwards);
            }
        }
        drop(shard);
        drop(taken);
    }
}

/// A hasher for keys that are random already.
#[derive(Default)]
pub(crate) struct AlreadyRandom(u64);

impl Hasher for AlreadyRandom {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl ScopeEntry for String {}
    impl ScopeEntry for &str {}
    impl ScopeEntry for u8 {}
    impl ScopeEntry for u16 {}
    impl ScopeEntry for i32 {}

    #[test]
    fn a_scope_lasts_as_long_as_its_guard() {
        let table = Arc::new(ScopeTable::new());
        let first = table.open("first".to_owned(), None).unwrap();
        let second = table.open("second".to_owned(), None).unwrap();
        assert_ne!(first.id(), second.id());
        assert_eq!(table.get(first.id()).as_deref(), Some("first"));
        let ended = first.id();
        drop(first);
        assert_eq!(table.get(ended), None);
        assert_eq!(table.get(second.id()).as_deref(), Some("second"));
    }

    #[test]
    fn removing_hands_out_the_entry_once() {
        let table = Arc::new(ScopeTable::new());
        let guard = table.open(7, None).unwrap();
        assert_eq!(table.remove(guard.id()), Some(7));
        assert_eq!(table.remove(guard.id()), None);
    }

    #[test]
    fn what_is_dropped_before_its_end_leaves_something_behind() {
        let table = Arc::new(ScopeTable::new());
        let ended = table.open("open", Some("left")).unwrap();
        let dropped = table.open("open", Some("left")).unwrap();
        let (ended_scope, dropped_scope) = (ended.id(), dropped.id());
        assert_eq!(table.remove(ended_scope), Some("open"));
        drop((ended, dropped));
        assert_eq!(table.get(ended_scope), None);
        assert_eq!(table.remove(dropped_scope), Some("left"));
        assert_eq!(table.get(dropped_scope), None);
    }

    #[test]
    fn scopes_of_one_table_mean_nothing_to_another() {
        let one = Arc::new(ScopeTable::new());
        let other: Arc<ScopeTable<u8>> = Arc::new(ScopeTable::new());
        let guards: Vec<_> = (0..1000u16).map(|n| one.open(n, None).unwrap()).collect();
        for (n, guard) in guards.iter().enumerate() {
            assert_eq!(one.get(guard.id()), Some(u16::try_from(n).unwrap()));
            assert_eq!(other.get(guard.id()), None);
        }
    }
}
