//! The processes of an instance: one for each session that has talked lately, and no more than configured.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plugin_api::tokio;
use plugin_api::tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use plugin_api::tokio::time::Instant;
use plugin_api::tracing;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the end of all processes is waited for. Their guards end them sooner.
const END_WAIT: Duration = Duration::from_secs(8);

/// How long one that is to be started waits for the end of one that has made room for it. As above.
const ROOM_WAIT: Duration = Duration::from_secs(8);

/// There is no process for a session. Clients read it.
#[derive(Debug, Error)]
pub(crate) enum PoolError {
    #[error("All {0} processes of this agent are busy (max_children). Try again later.")]
    Busy(usize),
    #[error(
        "All {0} processes of this agent are busy or being ended (max_children). Try again in a moment."
    )]
    Full(usize),
    #[error("A turn of this session is still being ended. Try again in a moment.")]
    Ending,
    #[error("This agent is being shut down.")]
    Closed,
}

/// What the pool keeps: in earnest sessions with their processes.
#[derive(Debug)]
pub(crate) struct Pool<S> {
    slots: Mutex<Slots<S>>,
    most: usize,
    idle: Duration,
    /// A permit for each process that may be there, also where it has no slot any more and is being ended.
    room: Arc<Semaphore>,
    changed: Arc<Notify>,
    closing: CancellationToken,
    /// Those who watch over processes, and the one who ends idle ones.
    pub(crate) tasks: TaskTracker,
}

#[derive(Debug)]
struct Slots<S> {
    by_key: HashMap<String, Slot<S>>,
    next_token: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Slot<S> {
    token: u64,
    /// None while it is in use.
    idle: Option<(S, Instant)>,
}

impl<S: Send + 'static> Pool<S> {
    pub(crate) fn new(most: usize, idle: Duration) -> Arc<Self> {
        let pool = Arc::new(Self {
            slots: Mutex::new(Slots {
                by_key: HashMap::new(),
                next_token: 0,
                is_closed: false,
            }),
            most,
            idle,
            room: Arc::new(Semaphore::new(most)),
            changed: Arc::default(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        // It holds the pool only while it looks, so that one that is simply dropped is not kept by it.
        let (weak, closing) = (Arc::downgrade(&pool), pool.closing.clone());
        let changed = Arc::clone(&pool.changed);
        pool.tasks.spawn(async move {
            while let Some(next) = weak.upgrade().map(|pool| pool.end_idle()) {
                let wait = async {
                    match next {
                        Some(at) => tokio::time::sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = closing.cancelled() => return,
                    () = changed.notified() => {}
                    () = wait => {}
                }
            }
        });
        pool
    }

    fn lock(&self) -> MutexGuard<'_, Slots<S>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the place of a key, with what is there.
    pub(crate) fn take(self: &Arc<Self>, key: &str) -> Result<Lease<S>, PoolError> {
        let mut slots = self.lock();
        if slots.is_closed {
            return Err(PoolError::Closed);
        }
        let mut evicted = None;
        if !slots.by_key.contains_key(key) && slots.by_key.len() >= self.most {
            let idle = slots.by_key.iter().filter_map(|(key, slot)| {
                let (_, since) = slot.idle.as_ref()?;
                Some((*since, key.clone()))
            });
            let Some((_, oldest)) = idle.min() else {
                return Err(PoolError::Busy(self.most));
            };
            evicted = slots.by_key.remove(&oldest);
        }
        let token = slots.next_token;
        slots.next_token += 1;
        let before = match slots.by_key.get_mut(key) {
            Some(slot) if slot.idle.is_none() => return Err(PoolError::Ending),
            Some(slot) => {
                // The number stays: whoever watches over what is there has been told of it.
                return Ok(Lease {
                    key: key.to_owned(),
                    token: slot.token,
                    held: slot.idle.take().map(|(held, _)| held),
                    pool: Arc::clone(self),
                });
            }
            None => slots
                .by_key
                .insert(key.to_owned(), Slot { token, idle: None }),
        };
        drop(slots);
        drop((evicted, before));
        Ok(Lease {
            key: key.to_owned(),
            token,
            held: None,
            pool: Arc::clone(self),
        })
    }

    /// Room for one more process, to be kept until it has ended. There are no more slots than processes, so that somebody
    /// else's is waited for only while it ends.
    ///
    /// # Errors
    ///
    /// [`PoolError::Full`]: none ends.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(crate) async fn room(&self) -> Result<OwnedSemaphorePermit, PoolError> {
        let room = Arc::clone(&self.room).acquire_owned();
        match tokio::time::timeout(ROOM_WAIT, room).await {
            Ok(Ok(room)) => Ok(room),
            // Nobody closes it.
            Ok(Err(_)) | Err(_) => Err(PoolError::Full(self.most)),
        }
    }

    /// Ends what has been idle for long enough; when to look again.
    fn end_idle(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut slots = self.lock();
        let is_over = |slot: &Slot<S>| {
            let since = slot.idle.as_ref().map(|(_, since)| *since);
            since.is_some_and(|since| since + self.idle <= now)
        };
        let over: Vec<_> = slots.by_key.extract_if(|_, slot| is_over(slot)).collect();
        let since = slots
            .by_key
            .values()
            .filter_map(|slot| Some(slot.idle.as_ref()?.1));
        let next = since.min().map(|since| since + self.idle);
        drop(slots);
        for (session, _) in &over {
            tracing::debug!(session, "the program has been idle for long and is ended");
        }
        next
    }

    /// Forgets a key; what is idle there is dropped, and what is in use when it is given back.
    pub(crate) fn forget(&self, key: &str) {
        let slot = self.lock().by_key.remove(key);
        drop(slot);
    }

    /// What was started under this number has ended.
    pub(crate) fn gone(&self, key: &str, token: u64) {
        let mut slots = self.lock();
        let is_it = |slot: &Slot<S>| slot.token == token && slot.idle.is_some();
        let slot = match slots.by_key.get(key).is_some_and(is_it) {
            true => slots.by_key.remove(key),
            false => None,
        };
        drop(slots);
        drop(slot);
    }

    /// Drops everything and waits until all tasks have ended.
    pub(crate) async fn close(&self) {
        let all = {
            let mut slots = self.lock();
            slots.is_closed = true;
            std::mem::take(&mut slots.by_key)
        };
        drop(all);
        self.closing.cancel();
        self.tasks.close();
        if tokio::time::timeout(END_WAIT, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(left = self.tasks.len(), "programs do not end");
        }
    }
}

impl<S> Drop for Pool<S> {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// The place of a key, held by one run. Dropped without [`give_back`](Self::give_back), it is free again, and what was
/// there is gone.
#[derive(Debug)]
pub(crate) struct Lease<S: Send + 'static> {
    pub(crate) key: String,
    token: u64,
    pub(crate) held: Option<S>,
    pool: Arc<Pool<S>>,
}

impl<S: Send + 'static> Lease<S> {
    /// Lets go of what is held, and gives a number for what comes in its place: the end of the one is not that of the
    /// other.
    pub(crate) fn renew(&mut self) -> u64 {
        self.held = None;
        let mut slots = self.pool.lock();
        let token = slots.next_token;
        slots.next_token += 1;
        let slot = slots.by_key.get_mut(&self.key);
        if let Some(slot) = slot.filter(|slot| slot.token == self.token) {
            slot.token = token;
        }
        self.token = token;
        token
    }

    /// Keeps what is held for the next run, from now on idle.
    pub(crate) fn give_back(mut self) {
        let held = self.held.take();
        let mut slots = self.pool.lock();
        let refused = match slots.by_key.get_mut(&self.key) {
            Some(slot) if slot.token == self.token => {
                slot.idle = held.map(|held| (held, Instant::now()));
                None
            }
            _ => held,
        };
        drop(slots);
        drop(refused);
        self.pool.changed.notify_one();
    }
}

impl<S: Send + 'static> Drop for Lease<S> {
    fn drop(&mut self) {
        let mut slots = self.pool.lock();
        let is_in_use = |slot: &Slot<S>| slot.token == self.token && slot.idle.is_none();
        if slots.by_key.get(&self.key).is_some_and(is_in_use) {
            slots.by_key.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(most: usize) -> Arc<Pool<Arc<str>>> {
        Pool::new(most, Duration::from_secs(600))
    }

    fn keep(pool: &Arc<Pool<Arc<str>>>, key: &str) -> std::sync::Weak<str> {
        let mut lease = pool.take(key).unwrap();
        let held: Arc<str> = key.into();
        let weak = Arc::downgrade(&held);
        lease.held = Some(held);
        lease.give_back();
        weak
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_given_back_is_there_again() {
        let pool = pool(2);
        let a = keep(&pool, "a");
        let again = pool.take("a").unwrap();
        assert_eq!(again.held.as_deref(), Some("a"));
        assert!(matches!(pool.take("a"), Err(PoolError::Ending)));
        drop(again);
        assert!(a.upgrade().is_none());
        assert!(pool.take("a").unwrap().held.is_none());
        pool.close().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_makes_room_and_the_busy_do_not() {
        let pool = pool(2);
        let (a, b) = (keep(&pool, "a"), keep(&pool, "b"));
        let c = pool.take("c").unwrap();
        assert!(a.upgrade().is_none() && b.upgrade().is_some());
        let d = pool.take("d").unwrap();
        assert!(b.upgrade().is_none());
        assert!(matches!(pool.take("e"), Err(PoolError::Busy(2))));
        drop((c, d));
        assert!(pool.take("e").is_ok());
        pool.close().await;
        assert!(matches!(pool.take("e"), Err(PoolError::Closed)));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_ones_end_in_time() {
        let pool = pool(2);
        let a = keep(&pool, "a");
        tokio::time::sleep(Duration::from_secs(400)).await;
        let b = keep(&pool, "b");
        tokio::time::sleep(Duration::from_secs(201)).await;
        assert!(a.upgrade().is_none() && b.upgrade().is_some());
        tokio::time::sleep(Duration::from_secs(400)).await;
        assert!(b.upgrade().is_none());
        pool.close().await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_dropped_keeps_nothing() {
        let pool = pool(2);
        let a = keep(&pool, "a");
        let tasks = pool.tasks.clone();
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(pool);
        assert!(a.upgrade().is_none());
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_being_ended_has_its_room_still() {
        let pool = pool(1);
        let room = pool.room().await.unwrap();
        assert!(matches!(pool.room().await, Err(PoolError::Full(1))));
        tokio::spawn(async move {
            tokio::time::sleep(ROOM_WAIT / 2).await;
            drop(room);
        });
        assert!(pool.room().await.is_ok());
        pool.close().await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_forgotten_meanwhile_is_not_kept() {
        let pool = pool(2);
        let a = keep(&pool, "a");
        let lease = pool.take("a").unwrap();
        pool.forget("a");
        lease.give_back();
        assert!(a.upgrade().is_none());
        pool.close().await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_ends_late_does_not_take_its_successor_along() {
        let pool = pool(2);
        keep(&pool, "a");
        let mut lease = pool.take("a").unwrap();
        let first = lease.token;
        let second = lease.renew();
        let held: Arc<str> = "b".into();
        let b = Arc::downgrade(&held);
        lease.held = Some(held);
        pool.gone("a", first);
        lease.give_back();
        pool.gone("a", first);
        assert!(b.upgrade().is_some());
        pool.gone("a", second);
        assert!(b.upgrade().is_none());
        let a = keep(&pool, "a");
        pool.close().await;
        assert!(a.upgrade().is_none());
    }
}
