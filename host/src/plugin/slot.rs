//! A loaded plugin: which copy of its library serves, and what happens when that one is stuck.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gate::Pass;
use super::generations::Generations;
use super::instances::{Instances, Used};
use super::library_copy::LibraryCopy;
use super::loader::{CheckedUse, LoadError, OpenedCopy, open_copy};
use super::opening::Opening;
use super::worker::{Next, Policy, WorkerSettings};

/// Copies of one library that are opened at most. What was opened stays mapped for ever, so an agent that
/// gets stuck time and again is in the end served from a copy that is stuck; but not while a call into that copy
/// hangs, so that the threads which hang in a library are as bounded as its copies.
pub const COPIES_OPENED: usize = 16;

/// After a fresh copy could not be made, the next attempt waits this long.
const RETRY_PAUSE: Duration = Duration::from_secs(10);

/// Why a worker is ended that nobody waits for any more.
const ENDING: &str = "the host is shutting its plugins down";

/// A loaded plugin.
pub(crate) struct PluginSlot {
    name: String,
    /// The copy of the file that was checked; further ones are made from it, so that a file replaced
    /// meanwhile changes nothing.
    checked: OpenedCopy,
    generations: Arc<Generations>,
    uses: Arc<[CheckedUse]>,
    /// How its workers are started, if its copies are in such.
    worker: Option<Arc<WorkerSettings>>,
    /// Why it serves no more: its workers failed time and again.
    failed: OnceLock<String>,
    /// Workers that were started in the place of another.
    restarts: AtomicU64,
    serving: Mutex<Serving>,
    /// Copies that are mapped. Only whoever renews adds to it, so it holds still while that looks.
    copies_opened: Arc<AtomicUsize>,
    /// Held while a fresh copy is made. A tokio mutex, for waiting for it is waiting for that copy.
    renewal: tokio::sync::Mutex<Renewal>,
    tasks: TaskTracker,
    /// Gives up on copies that are still in use.
    closing: CancellationToken,
}

/// What is remembered from one renewal to the next.
#[derive(Default)]
struct Renewal {
    last_failure: Option<(Instant, Arc<str>)>,
    policy: Policy,
}

/// The worker of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerStatus {
    /// Its process; `None` while there is none.
    pub pid: Option<u32>,
    /// How many times one was started in the place of another.
    pub restarts: u64,
}

struct Serving {
    copy: Arc<LibraryCopy>,
    /// New runs take another plugin in its place; those that have taken it still use it.
    superseded: bool,
    closed: bool,
}

/// A plugin cannot take new work.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum NotServing {
    #[error("the host is shutting its plugins down")]
    ShuttingDown,
    #[error("a run of it got stuck, and no fresh copy could be made: {0}")]
    NoFreshCopy(Arc<str>),
    #[error(
        "calls of it hang, in the last of the {COPIES_OPENED} copies that are opened of a library"
    )]
    Hanging,
    #[error("its library copy has no instance of it")]
    NoInstance,
    #[error("{0}")]
    Failed(String),
}

/// Leave to use an instance.
pub(crate) struct Entered<T> {
    pub(crate) copy: Arc<LibraryCopy>,
    pub(crate) instance: Arc<T>,
    pub(crate) pass: Pass,
}

impl PluginSlot {
    pub(crate) fn new(
        name: &str,
        checked: OpenedCopy,
        generations: Arc<Generations>,
        uses: Vec<CheckedUse>,
        worker: Option<Arc<WorkerSettings>>,
        copy: Arc<LibraryCopy>,
    ) -> Arc<Self> {
        let slot = Arc::new(Self {
            name: name.to_owned(),
            checked,
            generations,
            uses: uses.into(),
            worker,
            failed: OnceLock::new(),
            restarts: AtomicU64::new(0),
            serving: Mutex::new(Serving {
                copy: Arc::clone(&copy),
                superseded: false,
                closed: false,
            }),
            copies_opened: Arc::new(AtomicUsize::new(1)),
            renewal: tokio::sync::Mutex::default(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        });
        slot.watch(&copy);
        slot
    }

    /// Why it serves no more, if that is so.
    pub(crate) fn failed(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// Its worker, if it has one.
    pub(crate) fn worker_status(&self) -> Option<WorkerStatus> {
        let copy = self.current();
        let worker = copy.worker.as_ref()?;
        Some(WorkerStatus {
            pid: worker.end().is_none().then(|| worker.pid()),
            restarts: self.restarts.load(Ordering::Relaxed),
        })
    }

    /// Sees to it that a worker that ends, or in which something is stuck, is replaced at once.
    fn watch(self: &Arc<Self>, copy: &Arc<LibraryCopy>) {
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

    fn serving(&self) -> MutexGuard<'_, Serving> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The copy that serves now, stuck or not.
    pub(crate) fn current(&self) -> Arc<LibraryCopy> {
        Arc::clone(&self.serving().copy)
    }

    /// What it was loaded from, to be compared with what a reload finds.
    pub(crate) fn checked(&self) -> (&OpenedCopy, &[CheckedUse]) {
        (&self.checked, &self.uses)
    }

    /// Whether so many of its copies got stuck that no fresh one is opened any more.
    pub(crate) fn is_worn_out(&self) -> bool {
        self.worker.is_none() && self.copies_opened.load(Ordering::Acquire) >= COPIES_OPENED
    }

    /// How its workers are started, if its copies are in such.
    pub(crate) fn worker_settings(&self) -> Option<&WorkerSettings> {
        self.worker.as_deref()
    }

    /// New runs take it from now on.
    pub(crate) fn put_in_force(&self) {
        self.serving().copy.generation.put_in_force();
    }

    /// New runs take another from now on.
    pub(crate) fn supersede(&self) {
        let mut serving = self.serving();
        serving.superseded = true;
        serving.copy.generation.superseded();
    }

    /// An instance of a copy that is not stuck, and leave to use it; `find` finds it. Makes a fresh copy if
    /// need be; those who come meanwhile wait for the same.
    ///
    /// # Cancel safety
    ///
    /// Safe: a copy that is being made is finished all the same.
    pub(crate) async fn enter<T: Used>(
        self: &Arc<Self>,
        find: impl Fn(&Instances) -> Option<&Arc<T>>,
    ) -> Result<Entered<T>, NotServing> {
        loop {
            if let Some(reason) = self.failed() {
                return Err(NotServing::Failed(reason.to_owned()));
            }
            let copy = {
                let serving = self.serving();
                if serving.closed {
                    return Err(NotServing::ShuttingDown);
                }
                Arc::clone(&serving.copy)
            };
            if copy.is_stuck() {
                let slot = Arc::clone(self);
                let closing = self.closing.clone();
                let renewal = async move { closing.run_until_cancelled(slot.renew()).await };
                match self.tasks.spawn(renewal).await {
                    Ok(Some(renewed)) => renewed?,
                    Ok(None) => return Err(NotServing::ShuttingDown),
                    Err(error) => return Err(NotServing::NoFreshCopy(error.to_string().into())),
                }
                continue;
            }
            let instance = find(&copy.instances).ok_or(NotServing::NoInstance)?;
            let instance = Arc::clone(instance);
            // A closed gate means that the copy was replaced since it was looked up.
            if let Some(pass) = instance.gate().enter() {
                return Ok(Entered {
                    copy,
                    instance,
                    pass,
                });
            }
        }
    }

    async fn renew(self: &Arc<Self>) -> Result<(), NotServing> {
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
        stuck: &LibraryCopy,
        policy: &mut Policy,
    ) -> Result<(), NotServing> {
        if let Some(reason) = self.failed() {
            return Err(NotServing::Failed(reason.to_owned()));
        }
        let plugin = &self.name;
        let end = stuck.worker.as_ref().and_then(|worker| worker.end());
        let mut failure = end.map(|end| (end.served, end.how.to_string()));
        if failure.is_none() {
            tracing::warn!(
                plugin,
                "something in a worker did not stop; starting another one"
            );
        }
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
        let closing = self.closing.clone();
        self.tasks.spawn(async move {
            if closing.run_until_cancelled(old.retire()).await.is_none() {
                old.kill_worker(ENDING).await;
            }
        });
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

    /// Ends all instances of all copies that nobody uses any more. Who uses one has until this future is
    /// dropped.
    pub(crate) async fn close(&self) {
        let copy = {
            let mut serving = self.serving();
            if serving.closed {
                return;
            }
            serving.closed = true;
            Arc::clone(&serving.copy)
        };
        copy.retire().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Gives up on what is still in use.
    pub(crate) async fn give_up(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.current().kill_worker(ENDING).await;
    }
}
