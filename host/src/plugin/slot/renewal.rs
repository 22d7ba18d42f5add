//! Another copy in the place of one that is stuck, or whose worker has ended.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{COPIES_OPENED, ENDING, NotServing, PluginSlot, STUCK_WORKERS};
use crate::plugin::library_copy::LibraryCopy;
use crate::plugin::loader::{LoadError, open_copy};
use crate::plugin::opening::Opening;
use crate::plugin::worker::{Next, Policy};

/// After a fresh copy could not be made, the next attempt waits this long.
const RETRY_PAUSE: Duration = Duration::from_secs(10);

/// What is remembered from one renewal to the next.
#[derive(Default)]
pub(super) struct Renewal {
    last_failure: Option<(Instant, Arc<str>)>,
    policy: Policy,
}

impl PluginSlot {
    /// Sees to it that a worker that ends, or in which something is stuck, is replaced at once.
    pub(super) fn watch(self: &Arc<Self>, copy: &Arc<LibraryCopy>) {
        let Some(worker) = &copy.worker else { return };
        let (ended, stuck) = (worker.ended_token(), copy.was_stuck());
        let (slot, copy) = (Arc::downgrade(self), Arc::downgrade(copy));
        let closing = self.closing.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = stuck.cancelled() => {}
                () = closing.cancelled() => return,
            }
            let (Some(slot), Some(copy)) = (slot.upgrade(), copy.upgrade()) else {
                return;
            };
            let end = copy.worker.as_ref().and_then(|worker| worker.end());
            if end.is_some_and(|end| end.dismissed) {
                return;
            }
            copy.set_stuck(true);
            // What comes of it is in the log, and whoever needs it tries again.
            let _ = closing.run_until_cancelled(slot.renew()).await;
        });
    }

    pub(super) async fn renew(self: &Arc<Self>) -> Result<(), NotServing> {
        let mut renewal = self.renewal.lock().await;
        let Renewal {
            last_failure,
            policy,
        } = &mut *renewal;
        let stuck = {
            let serving = self.serving();
            if serving.closed {
                return Err(NotServing::ShuttingDown);
            }
            Arc::clone(&serving.copy)
        };
        if !stuck.is_stuck() {
            return Ok(());
        }
        if self.worker.is_some() {
            return self.restart(&stuck, policy).await;
        }
        if self.copies_opened.load(Ordering::Acquire) >= COPIES_OPENED {
            if stuck.has_hanging_calls() {
                return Err(NotServing::Hanging);
            }
            tracing::error!(
                plugin = self.name,
                "{COPIES_OPENED} copies of the library got stuck; it is served from the last one from now on"
            );
            stuck.set_stuck(false);
            return Ok(());
        }
        if let Some((when, reason)) = &last_failure
            && when.elapsed() < RETRY_PAUSE
        {
            return Err(NotServing::NoFreshCopy(Arc::clone(reason)));
        }
        tracing::warn!(
            plugin = self.name,
            generation = stuck.generation.number(),
            "a run got stuck; opening a fresh copy"
        );
        match self.make_copy().await {
            Ok(copy) => {
                *last_failure = None;
                self.replace(copy);
                Ok(())
            }
            Err(reason) => {
                let reason: Arc<str> = reason.into();
                tracing::error!(plugin = self.name, %reason, "no fresh copy could be made");
                *last_failure = Some((Instant::now(), Arc::clone(&reason)));
                Err(NotServing::NoFreshCopy(reason))
            }
        }
    }

    /// Starts a worker in the place of one that has ended or in which something is stuck; those that end at once
    /// again later each time, and in the end not at all.
    async fn restart(
        self: &Arc<Self>,
        stuck: &Arc<LibraryCopy>,
        policy: &mut Policy,
    ) -> Result<(), NotServing> {
        if let Some(reason) = self.failed() {
            return Err(NotServing::Failed(reason.to_owned()));
        }
        let plugin = &self.name;
        let end = stuck.worker.as_ref().and_then(|worker| worker.end());
        if end.is_none() {
            // Also when no other can take its place yet: its end makes room for one.
            let stuck_workers = self.retire(Arc::clone(stuck));
            if stuck_workers >= STUCK_WORKERS {
                let error = NotServing::StuckWorkers;
                tracing::error!(plugin, %error, "a plugin cannot take new work");
                return Err(error);
            }
            tracing::warn!(
                plugin,
                "something in a worker did not stop; starting another one"
            );
        }
        // One that was told to end did not fail.
        let failed = end.filter(|end| !end.dismissed);
        let mut failure = failed.map(|end| (end.served, end.how.to_string()));
        loop {
            if let Some((served, how)) = failure {
                match policy.failed(served) {
                    Next::Start(pause) => {
                        tracing::warn!(plugin, ?pause, how, "starting another worker");
                        tokio::time::sleep(pause).await;
                    }
                    Next::GiveUp(times) => {
                        let reason = format!(
                            "its worker failed {times} times in a row and is not started again; the last time: {how}"
                        );
                        tracing::error!(plugin, reason, "a plugin has failed");
                        stuck.generation.ended();
                        let _ = self.failed.set(reason.clone());
                        return Err(NotServing::Failed(reason));
                    }
                }
            }
            match self.make_copy().await {
                Ok(copy) => {
                    self.restarts.fetch_add(1, Ordering::Relaxed);
                    self.replace(copy);
                    return Ok(());
                }
                Err(reason) => failure = Some((Duration::ZERO, reason)),
            }
        }
    }

    /// Has `copy` serve from now on, and ends the one before it as soon as nobody uses that.
    fn replace(self: &Arc<Self>, copy: Arc<LibraryCopy>) {
        let old = {
            let mut serving = self.serving();
            if serving.closed {
                copy
            } else {
                copy.generation.put_in_force();
                if serving.superseded {
                    copy.generation.superseded();
                }
                self.watch(&copy);
                let old = std::mem::replace(&mut serving.copy, copy);
                old.generation.superseded();
                old
            }
        };
        self.retire(old);
    }

    /// Ends a copy as soon as nobody uses it, unless it is about to end already. Answers how many are.
    fn retire(&self, copy: Arc<LibraryCopy>) -> usize {
        let count = {
            let mut retiring = self.retiring.lock().unwrap_or_else(PoisonError::into_inner);
            if retiring.iter().any(|other| Arc::ptr_eq(other, &copy)) {
                return retiring.len();
            }
            retiring.push(Arc::clone(&copy));
            retiring.len()
        };
        let (closing, retiring) = (self.closing.clone(), Arc::clone(&self.retiring));
        self.tasks.spawn(async move {
            if closing.run_until_cancelled(copy.retire()).await.is_none() {
                copy.kill_worker(ENDING).await;
            }
            let mut retiring = retiring.lock().unwrap_or_else(PoisonError::into_inner);
            retiring.retain(|other| !Arc::ptr_eq(other, &copy));
        });
        count
    }

    async fn make_copy(&self) -> Result<Arc<LibraryCopy>, String> {
        let (file, name) = (self.checked.staged.clone(), self.name.clone());
        let opening = Opening::new(&self.generations);
        let (copies, worker) = (Arc::clone(&self.copies_opened), self.worker.clone());
        // Counted where it is opened: it stays mapped, whether or not somebody still waits for it.
        let beginning = Arc::clone(&opening);
        let open = move || {
            let opened = open_copy(&name, &file, None, &beginning, worker.as_deref())?;
            copies.fetch_add(1, Ordering::AcqRel);
            Ok::<_, LoadError>(opened)
        };
        let opened = opening
            .within(&self.checked.staged, tokio::task::spawn_blocking(open))
            .await
            .map_err(|late| late.to_string())?
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        opened.generation.came_from(&self.checked.generation);
        LibraryCopy::make(&self.name, &opened, &self.uses)
            .await
            .map_err(|faults| {
                let texts: Vec<String> = faults.iter().map(|fault| fault.problem.clone()).collect();
                texts.join("; ")
            })
    }
}
