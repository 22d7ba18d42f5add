//! A loaded plugin: which copy of its library serves; `renewal`: what happens when that one is stuck.

mod renewal;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gate::Pass;
use super::generations::Generations;
use super::instances::{Instances, Used};
use super::library_copy::LibraryCopy;
use super::loader::{CheckedUse, OpenedCopy};
use super::worker::WorkerSettings;
use renewal::Renewal;

/// Copies of one library that are opened at most. What was opened stays mapped for ever, so an agent that
/// gets stuck time and again is in the end served from a copy that is stuck; but not while a call into that copy
/// hangs, so that the threads which hang in a library are as bounded as its copies.
pub const COPIES_OPENED: usize = 16;

/// Workers of one plugin in which something is stuck that live at most. Each ends as soon as nothing else goes on in it, at
/// the latest after the time that a run may take; until then it takes memory, and perhaps a processor.
pub const STUCK_WORKERS: usize = 8;

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
    /// Copies that are to end, until they have.
    retiring: Arc<Mutex<Vec<Arc<LibraryCopy>>>>,
    /// Held while a fresh copy is made. A tokio mutex, for waiting for it is waiting for that copy.
    renewal: tokio::sync::Mutex<Renewal>,
    tasks: TaskTracker,
    /// Gives up on copies that are still in use.
    closing: CancellationToken,
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
    #[error(
        "something does not stop in {STUCK_WORKERS} workers of it, and no more are started until one of them has ended"
    )]
    StuckWorkers,
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
            retiring: Arc::default(),
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
