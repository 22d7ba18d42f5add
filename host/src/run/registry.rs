//! Which sessions are in use, and which run each has.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::budget::LogBudget;
use super::cursor::Cursor;
use super::handle::SessionHandle;
use super::slot::Slot;
use super::{SettingsSource, inbox};
use crate::metrics::Metrics;
use crate::plugin::{Agent, Catalog};
use crate::protocol::answers::{StopAnswer, StopRefusal};
use crate::session::{RunId, Session, SessionId, SessionStore, StoreError};

/// What every run works with.
pub struct RunHostParts {
    /// Where turns are saved.
    pub store: Arc<dyn SessionStore>,
    /// The catalogue and the settings in force; each run keeps those that it began with.
    pub source: Arc<dyn SettingsSource>,
    /// The bound on all logs.
    pub budget: Arc<LogBudget>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// What there is of sessions and readers at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Survey {
    /// Sessions in use.
    pub sessions: usize,
    /// Events that the reader furthest behind has yet to read.
    pub max_lag: u64,
    /// Readers that are behind the window.
    pub lagging: usize,
}

/// All sessions in use and their runs.
pub struct RunRegistry {
    pub(super) parts: RunHostParts,
    slots: Mutex<HashMap<SessionId, Arc<Slot>>>,
    /// Every run's task; awaited by [`RunRegistry::drain`].
    tasks: TaskTracker,
    draining: CancellationToken,
    /// Held while closed records are being saved, so that a run's end does not overtake them.
    pub(super) saving: tokio::sync::Mutex<()>,
}

impl fmt::Debug for RunRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunRegistry")
            .field("sessions", &self.slots().len())
            .finish_non_exhaustive()
    }
}

/// Tells when a run has begun, with a cursor on it if one was asked for.
pub(super) type Started = oneshot::Receiver<Result<Option<Cursor>, StartError>>;

/// Why a message did not start a run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A run is in progress in the session.
    #[error("a run is in progress")]
    Busy,
    /// The session's queue has no room.
    #[error("the queue is full")]
    QueueFull,
    /// The message's id was used for another message.
    #[error("the message's id was used for another")]
    IdConflict,
    /// The host takes no new runs.
    #[error("the host is shutting down")]
    Draining,
    /// The session was deleted.
    #[error("the session was deleted")]
    Gone,
    /// The session's agent cannot be used; the text says which and why.
    #[error("{0}")]
    AgentUnavailable(String),
    /// The user's turn could not be saved, so the run did not begin.
    #[error("the turn could not be saved")]
    NotSaved(#[source] StoreError),
    /// The run's task ended without a word, which it never should.
    #[error("the run was lost")]
    Lost,
}

impl RunRegistry {
    /// An empty registry.
    pub fn new(parts: RunHostParts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            slots: Mutex::default(),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            saving: tokio::sync::Mutex::new(()),
        })
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sessions in use, for what goes over all of them.
    pub(super) fn all(&self) -> Vec<Arc<Slot>> {
        self.slots().values().cloned().collect()
    }

    /// Takes a session into use.
    pub fn open(self: &Arc<Self>, id: SessionId) -> SessionHandle {
        let mut slots = self.slots();
        let slot = Arc::clone(slots.entry(id).or_insert_with(|| Arc::new(Slot::new(id))));
        slot.lock().users += 1;
        SessionHandle {
            registry: Arc::clone(self),
            slot,
        }
    }

    /// Asks the run of a session to stop, if it is the one that is meant.
    pub fn stop(&self, id: SessionId, run_id: Option<RunId>) -> StopAnswer {
        let slot = self.slots().get(&id).cloned();
        match slot {
            Some(slot) => inbox::stop(&slot.lock(), run_id),
            None => StopAnswer::refused(StopRefusal::NoActiveRun, None),
        }
    }

    /// Runs `work` as a task that a drain waits for.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.tasks.spawn(work)
    }

    /// While it exists a drain waits.
    pub(super) fn token(&self) -> TaskTrackerToken {
        self.tasks.token()
    }

    /// The run in progress in a session.
    pub fn current_run(&self, id: SessionId) -> Option<RunId> {
        let slot = self.slots().get(&id).cloned()?;
        let state = slot.lock();
        state.control().map(|control| control.id)
    }

    /// Runs in progress.
    pub fn running(&self) -> usize {
        self.tasks.len()
    }

    /// Looks at all sessions in use.
    pub fn survey(&self) -> Survey {
        let slots = self.all();
        let mut survey = Survey {
            sessions: slots.len(),
            ..Survey::default()
        };
        for slot in slots {
            let log = slot.lock().log.clone();
            if let Some((most, lagging)) = log.map(|log| log.lag()) {
                survey.max_lag = survey.max_lag.max(most);
                survey.lagging += lagging;
            }
        }
        survey
    }

    /// What all logs together keep in memory.
    pub fn log_budget(&self) -> &LogBudget {
        &self.parts.budget
    }

    /// Takes no new runs from now on.
    pub fn refuse_new(&self) {
        self.draining.cancel();
    }

    /// Whether new runs are refused.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Refuses new runs, gives those in progress `time` to end, then stops them, and waits until the last is
    /// saved. The wait is bounded by `time`, the stop's grace and the store's own bounds.
    pub async fn drain(&self, time: Duration) {
        self.refuse_new();
        self.tasks.close();
        let running = self.tasks.len();
        if running > 0 {
            tracing::info!(
                running,
                seconds = time.as_secs_f64(),
                "waiting for runs to end before they are stopped"
            );
        }
        if tokio::time::timeout(time, self.tasks.wait()).await.is_err() {
            for slot in self.all() {
                if let Some(control) = slot.lock().control() {
                    control.stop.cancel();
                }
            }
            self.tasks.wait().await;
        }
    }

    /// Forgets a slot that nobody uses, in which nothing runs and of which nothing is kept.
    pub(super) fn forget_unused(&self, slot: &Arc<Slot>) {
        let mut slots = self.slots();
        let state = slot.lock();
        if state.users == 0
            && state.is_idle()
            && state.log.is_none()
            && state.queue.is_empty()
            && slots
                .get(&slot.id)
                .is_some_and(|kept| Arc::ptr_eq(kept, slot))
        {
            slots.remove(&slot.id);
        }
    }
}

/// The agent that answers in `session`, or the name under which there is none.
pub(super) fn agent_of<'a>(
    catalog: &'a Catalog,
    session: &'a Session,
) -> Result<&'a Arc<Agent>, &'a str> {
    let name = session
        .agent
        .as_deref()
        .unwrap_or_else(|| catalog.default_agent());
    catalog.agent(name).ok_or(name)
}

/// Likewise, if it can be used.
pub(super) fn usable_agent(catalog: &Catalog, session: &Session) -> Result<Arc<Agent>, StartError> {
    let unavailable = |text| Err(StartError::AgentUnavailable(text));
    match agent_of(catalog, session) {
        Err(name) => unavailable(format!("Agent `{name}` is not configured.")),
        Ok(agent) => match agent.unavailable() {
            Some(reason) => {
                let name = agent.name();
                tracing::warn!(agent = name, %reason, "agent unavailable");
                unavailable(format!("Agent `{name}` is not available."))
            }
            None => Ok(Arc::clone(agent)),
        },
    }
}
