//! A loaded plugin: which copy of its library serves, and what happens when that one is stuck.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gate::Pass;
use super::generations::Generations;
use super::instances::{Instances, Used};
use super::library_copy::LibraryCopy;
use super::loader::{CheckedUse, LoadError, OpenedCopy, open_copy};

/// Copies of one library that are opened at most. What was opened stays mapped for ever, so an agent that
/// gets stuck time and again is in the end served from a copy that is stuck; but not while a call into that copy
/// hangs, so that the threads which hang in a library are as bounded as its copies.
pub const COPIES_OPENED: usize = 16;

/// After a fresh copy could not be made, the next attempt waits this long.
const RETRY_PAUSE: Duration = Duration::from_secs(10);

/// A loaded plugin.
pub(crate) struct PluginSlot {
    name: String,
    /// The copy of the file that was checked; further ones are made from it, so that a file replaced
    /// meanwhile changes nothing.
    checked: OpenedCopy,
    generations: Arc<Generations>,
    uses: Arc<[CheckedUse]>,
    serving: Mutex<Serving>,
    /// Copies that are mapped. Only whoever renews adds to it, so it holds still while that looks.
    copies_opened: Arc<AtomicUsize>,
    /// Held while a fresh copy is made. A tokio mutex, for waiting for it is waiting for that copy.
    renewal: tokio::sync::Mutex<LastFailure>,
    tasks: TaskTracker,
    /// Gives up on copies that are still in use.
    closing: CancellationToken,
}

type LastFailure = Option<(Instant, Arc<str>)>;

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
        copy: Arc<LibraryCopy>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            checked,
            generations,
            uses: uses.into(),
            serving: Mutex::new(Serving {
                copy,
                superseded: false,
                closed: false,
            }),
            copies_opened: Arc::new(AtomicUsize::new(1)),
            renewal: tokio::sync::Mutex::new(None),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
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
        self.copies_opened.load(Ordering::Acquire) >= COPIES_OPENED
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
        let mut last_failure = self.renewal.lock().await;
        let stuck = self.current();
        if !stuck.is_stuck() {
            return Ok(());
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
        if let Some((when, reason)) = &*last_failure
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
                let old = {
                    let mut serving = self.serving();
                    if serving.closed {
                        copy
                    } else {
                        copy.generation.put_in_force();
                        if serving.superseded {
                            copy.generation.superseded();
                        }
                        let old = std::mem::replace(&mut serving.copy, copy);
                        old.generation.superseded();
                        old
                    }
                };
                let closing = self.closing.clone();
                self.tasks
                    .spawn(async move { closing.run_until_cancelled(old.end()).await });
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

    async fn make_copy(&self) -> Result<Arc<LibraryCopy>, String> {
        let (file, generations, name) = (
            self.checked.staged.clone(),
            Arc::clone(&self.generations),
            self.name.clone(),
        );
        let copies = Arc::clone(&self.copies_opened);
        // Counted where it is opened: it stays mapped, whether or not somebody still waits for it.
        let open = move || {
            let opened = open_copy(&name, &file, None, &generations)?;
            copies.fetch_add(1, Ordering::AcqRel);
            Ok::<_, LoadError>(opened)
        };
        let opened = tokio::task::spawn_blocking(open)
            .await
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
        copy.end().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Gives up on what is still in use.
    pub(crate) async fn give_up(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
