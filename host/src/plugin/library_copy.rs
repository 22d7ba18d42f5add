//! One opened copy of a library, with the instances made in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clock::MAPPER_THREADS;
use super::generation::Generation;
use super::instances::{Instances, Used, end};
use super::library_host::LibraryHost;
use super::loader::{CheckedUse, OpenedCopy};
use super::maker::{Made, Maker};
use super::worker::Worker;
use crate::config::Fault;

/// How long the other instances in a worker may take to end in which something is stuck.
const END_OF_OTHERS: Duration = Duration::from_secs(2);

/// How long a worker that was killed is waited for; longer than its process is.
const KILLED_WITHIN: Duration = Duration::from_secs(8);

/// How long a call that was cancelled may go on. The SDK gives it two seconds, after which it is dropped where it awaits;
/// what goes on after that keeps a thread of the library's.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// An opened copy of a library and the instances made in it.
pub(crate) struct LibraryCopy {
    pub(crate) generation: Arc<Generation>,
    pub(crate) host: Arc<LibraryHost>,
    pub(crate) instances: Instances,
    /// The process that it is in, if that is not the host's.
    pub(crate) worker: Option<Arc<Worker>>,
    /// Set when a run had to be abandoned or a call goes on for too long: new work goes to another copy.
    stuck: AtomicBool,
    /// Cancelled when it is stuck for the first time.
    was_stuck: CancellationToken,
    /// Calls that go on for too long, each on a thread of the host's or of another plugin.
    hanging: AtomicUsize,
    /// What calls of its mappers on threads of the host's hold.
    pub(crate) mapper_threads: Arc<Semaphore>,
    /// Ends the tasks that listen for changed tools.
    retired: CancellationToken,
    tasks: TaskTracker,
}

impl LibraryCopy {
    /// Makes all instances, at the same time, and lists the toolsets.
    ///
    /// # Errors
    ///
    /// A fault for each that could not be made. Those that could were ended again.
    pub(crate) async fn make(
        plugin: &str,
        opened: &OpenedCopy,
        uses: &[CheckedUse],
    ) -> Result<Arc<Self>, Vec<Fault>> {
        let generation = Arc::clone(&opened.generation);
        let maker = Maker {
            plugin,
            generation: generation.number(),
            opened,
        };
        let all_made = join_all(uses.iter().map(|wanted| maker.make(wanted))).await;
        let mut instances = Instances::default();
        let mut faults = Vec::new();
        for (wanted, made) in uses.iter().zip(all_made) {
            let name = wanted.of.name.clone();
            match made {
                Ok(Made::Agent(agent)) => drop(instances.agents.insert(name, Arc::new(agent))),
                Ok(Made::Toolset(toolset)) => drop(instances.toolsets.insert(name, toolset)),
                Ok(Made::Mapper(mapper)) => drop(instances.mappers.insert(name, Arc::new(mapper))),
                Err(fault) => faults.push(fault),
            }
        }
        let copy = Arc::new(Self {
            generation,
            host: Arc::clone(&opened.host),
            instances,
            worker: opened.worker.clone(),
            stuck: AtomicBool::new(false),
            was_stuck: CancellationToken::new(),
            hanging: AtomicUsize::new(0),
            mapper_threads: Arc::new(Semaphore::new(MAPPER_THREADS)),
            retired: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        if !faults.is_empty() {
            copy.retire().await;
            return Err(faults);
        }
        copy.generation.made(&copy);
        for (name, toolset) in &copy.instances.toolsets {
            let keeping = Arc::clone(toolset).keep_fresh(name.clone(), Arc::clone(&copy.host));
            copy.tasks
                .spawn(copy.retired.clone().run_until_cancelled_owned(keeping));
        }
        Ok(copy)
    }

    /// Whether it takes nothing new; so does one whose worker has ended, from before anybody hears of that.
    pub(crate) fn is_stuck(&self) -> bool {
        let ended = |worker: &Arc<Worker>| worker.end().is_some();
        self.stuck.load(Ordering::Relaxed) || self.worker.as_ref().is_some_and(ended)
    }

    pub(crate) fn set_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
        if stuck {
            self.was_stuck.cancel();
        }
    }

    /// Cancelled when it is stuck for the first time.
    pub(crate) fn was_stuck(&self) -> CancellationToken {
        self.was_stuck.clone()
    }

    /// Runs of its agents that have not ended.
    pub(crate) fn running(&self) -> usize {
        let agents = self.instances.agents.values();
        agents.map(|agent| agent.gate().users()).sum()
    }

    /// Counts a call that goes on for too long.
    pub(crate) fn call_hangs(&self) {
        self.hanging.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes back a [`Self::call_hangs`].
    pub(crate) fn call_returned(&self) {
        self.hanging.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether a call goes on for too long.
    pub(crate) fn has_hanging_calls(&self) -> bool {
        self.hanging.load(Ordering::Acquire) > 0
    }

    /// Looks later whether a call that was cancelled has ended, and counts as stuck if it has not: the library has only
    /// so many threads, and other calls need them.
    pub(crate) fn expect_end(self: &Arc<Self>, scope: u64) {
        let copy = Arc::downgrade(self);
        // Nobody awaits it, since the copy may have to be ended because of what it finds; it lasts some seconds.
        tokio::spawn(async move {
            tokio::time::sleep(ENDS_WITHIN).await;
            let Some(copy) = copy.upgrade() else { return };
            if copy.host.is_given_up(scope) {
                tracing::warn!(
                    generation = copy.generation.number(),
                    "a call does not end although it was cancelled"
                );
                copy.set_stuck(true);
            }
        });
    }

    /// Tells every agent and toolset that a session is gone.
    pub(crate) fn session_ended(&self, session: &str) {
        let session: Arc<str> = session.into();
        for agent in self.instances.agents.values() {
            let (agent, session) = (Arc::clone(agent), Arc::clone(&session));
            let ended = move || agent.handle.session_ended(&session);
            self.host.signals.send(ended);
        }
        for toolset in self.instances.toolsets.values() {
            let (toolset, session) = (Arc::clone(toolset), Arc::clone(&session));
            let ended = move || toolset.instance.handle.session_ended(&session);
            self.host.signals.send(ended);
        }
    }

    /// Ends all instances, each as soon as nobody uses it, and the worker that they are in. If something is stuck in
    /// that, it is ended as soon as nothing else goes on in it, at the latest after the time that a run may take.
    ///
    /// # Cancel safety
    ///
    /// As [`Self::end`]; the worker goes on.
    pub(crate) async fn retire(&self) {
        let Some(worker) = &self.worker else {
            return self.end().await;
        };
        tokio::select! {
            biased;
            () = worker.ended() => {
                self.retired.cancel();
                self.generation.ended();
            }
            () = self.end() => worker.dismiss().await,
            () = self.only_stuck(worker.run_time()) => {
                self.host.forget_given_up();
                // The others may have something to put in order.
                if tokio::time::timeout(END_OF_OTHERS, self.end()).await.is_err() {
                    tracing::debug!(generation = self.generation.number(), "instances in a worker did not end");
                }
                self.kill_worker("something in it did not stop").await;
            }
        }
    }

    /// Waits until it is stuck, and then until nothing else goes on in it.
    async fn only_stuck(&self, at_the_latest: Duration) {
        self.was_stuck.cancelled().await;
        let unwanted = self.host.nothing_wanted();
        if tokio::time::timeout(at_the_latest, unwanted).await.is_err() {
            tracing::warn!(
                generation = self.generation.number(),
                "what still goes on in a worker that is stuck is ended with it"
            );
        }
    }

    /// Ends the worker at once.
    pub(crate) async fn kill_worker(&self, why: &str) {
        if let Some(worker) = &self.worker {
            worker.kill(why);
            if tokio::time::timeout(KILLED_WITHIN, worker.ended())
                .await
                .is_err()
            {
                tracing::error!(pid = worker.pid(), "a worker is not known to have ended");
            }
            self.generation.ended();
        }
    }

    /// Ends all instances, each as soon as nobody uses it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves those that were still in use. It may be called again, and then tells the others to
    /// end once more, which does nothing.
    pub(crate) async fn end(&self) {
        self.retired.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let Instances {
            agents,
            toolsets,
            mappers,
        } = &self.instances;
        tokio::join!(
            join_all(agents.iter().map(|(name, agent)| self.end_one(name, agent))),
            join_all(
                toolsets
                    .iter()
                    .map(|(name, toolset)| self.end_one(name, toolset))
            ),
            join_all(
                mappers
                    .iter()
                    .map(|(name, mapper)| self.end_one(name, mapper))
            ),
        );
        self.generation.ended();
    }

    async fn end_one(&self, name: &str, instance: &Arc<impl Used>) {
        if let Err(error) = end(instance, &self.host).await {
            tracing::warn!(name, generation = self.generation.number(), %error, "an instance did not end cleanly");
        }
    }
}

impl Drop for LibraryCopy {
    fn drop(&mut self) {
        // What listens for changed tools holds no more than its toolset, and nobody else does now.
        self.retired.cancel();
    }
}
