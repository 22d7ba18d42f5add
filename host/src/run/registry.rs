//! Which sessions are in use, and which run each has.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::budget::LogBudget;
use super::control::RunControl;
use super::cursor::{Attachment, Cursor};
use super::driver::{self, Order};
use super::slot::{Phase, Slot, SlotState};
use super::{SettingsSource, UserMessage};
use crate::plugin::{Agent, Catalog};
use crate::protocol::{ErrorCode, RunEvent, RunFailure};
use crate::session::{RunId, Session, SessionId, SessionStore, StoreError};

/// What every run works with.
pub struct RunHostParts {
    /// Where turns are saved.
    pub store: Arc<dyn SessionStore>,
    /// The catalogue and the settings in force; each run keeps those that it began with.
    pub source: Arc<dyn SettingsSource>,
    /// The bound on all logs.
    pub budget: Arc<LogBudget>,
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

/// Why a message did not start a run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A run is in progress in the session.
    #[error("a run is in progress")]
    Busy,
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

    /// Asks the run of a session to stop. Answers whether there is one.
    pub fn stop(&self, id: SessionId) -> bool {
        let slot = self.slots().get(&id).cloned();
        let Some(slot) = slot else { return false };
        let state = slot.lock();
        state
            .control()
            .inspect(|control| control.stop.cancel())
            .is_some()
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

    /// Forgets a slot that nobody uses and in which nothing runs.
    fn release(&self, slot: &Arc<Slot>) {
        let mut slots = self.slots();
        let mut state = slot.lock();
        state.users -= 1;
        let idle = matches!(state.phase, Phase::Idle | Phase::Gone);
        if state.users == 0
            && idle
            && slots
                .get(&slot.id)
                .is_some_and(|kept| Arc::ptr_eq(kept, slot))
        {
            slots.remove(&slot.id);
        }
    }
}

/// A session in use. While a handle exists the session has its place in the registry.
#[derive(Debug)]
pub struct SessionHandle {
    pub(super) registry: Arc<RunRegistry>,
    pub(super) slot: Arc<Slot>,
}

impl Clone for SessionHandle {
    fn clone(&self) -> Self {
        self.slot.lock().users += 1;
        Self {
            registry: Arc::clone(&self.registry),
            slot: Arc::clone(&self.slot),
        }
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        self.registry.release(&self.slot);
    }
}

impl SessionHandle {
    /// The session.
    pub fn id(&self) -> SessionId {
        self.slot.id
    }

    /// Whether a run is registered.
    pub fn is_busy(&self) -> bool {
        self.slot.lock().control().is_some()
    }

    /// Starts a run: saves the user's turn, then begins the run's events. The cursor reads them from
    /// `stream_start` on.
    ///
    /// Cancel safe: a start that nobody waits for any more goes on.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing was saved then, and the session is as it was.
    pub async fn start(
        &self,
        session: &Session,
        message: UserMessage,
    ) -> Result<Cursor, StartError> {
        let started = self.reserve(session, message)?;
        started.await.unwrap_or(Err(StartError::Lost))
    }

    fn reserve(
        &self,
        session: &Session,
        message: UserMessage,
    ) -> Result<oneshot::Receiver<Result<Cursor, StartError>>, StartError> {
        let registry = &self.registry;
        // Taken before the look: a drain that begins after it waits for this run as well.
        let _token = registry.tasks.token();
        if registry.is_draining() {
            return Err(StartError::Draining);
        }
        let mut state = self.slot.lock();
        match state.phase {
            Phase::Idle if state.deleting => return Err(StartError::Gone),
            Phase::Idle => {}
            Phase::Starting(_) | Phase::Running(_) => return Err(StartError::Busy),
            Phase::Gone => return Err(StartError::Gone),
        }
        let catalog = registry.parts.source.catalog();
        let agent = usable_agent(&catalog, session)?;
        let control = Arc::new(RunControl::new(RunId::new()));
        self.slot
            .enter(&mut state, Phase::Starting(Arc::clone(&control)));
        drop(state);
        let (started, waiting) = oneshot::channel();
        let order = Order {
            session: self.clone(),
            about: session.clone(),
            control,
            agent,
            catalog,
            settings: registry.parts.source.settings(),
            message,
        };
        registry.tasks.spawn(driver::drive(order, started));
        Ok(waiting)
    }

    /// Attaches to the run in progress; `None` when there is none. A run that is just being saved counts: the
    /// attach waits for it to begin, which the store's own bounds limit. Cancel safe.
    pub async fn attach(&self) -> Option<Attachment> {
        loop {
            let changed = self.slot.changed.notified();
            {
                let state = self.slot.lock();
                match &state.phase {
                    Phase::Running(_) => return state.log.as_ref().and_then(Cursor::attach),
                    Phase::Idle | Phase::Gone => return None,
                    Phase::Starting(_) => {}
                }
            }
            changed.await;
        }
    }

    /// Completes when the session was deleted. Cancel safe.
    pub async fn gone(&self) {
        self.slot.gone.cancelled().await;
    }

    /// Whether the session was deleted.
    pub fn is_gone(&self) -> bool {
        self.slot.gone.is_cancelled()
    }

    /// Ends the session's life in memory because it is being deleted: stops its run, waits until the run has
    /// ended (the stop's grace bounds that), and tells whoever uses it. Nothing of the run is saved.
    pub async fn end(&self) {
        loop {
            let changed = self.slot.changed.notified();
            {
                let mut state = self.slot.lock();
                state.deleting = true;
                match state.control() {
                    Some(control) => control.delete(),
                    None => {
                        self.slot.enter(&mut state, Phase::Gone);
                        break;
                    }
                }
            }
            changed.await;
        }
        self.slot.gone.cancel();
    }

    /// Ends the run without its driver, which failed. What it had saved stays as it is, and counts as lost
    /// when the session's next run begins.
    pub(super) fn break_off(&self, message: &str) {
        let mut state = self.slot.lock();
        if let Some(control) = state.control() {
            control.over.cancel();
        }
        if let Some(log) = &state.log {
            let code = ErrorCode::Internal;
            log.break_off(RunEvent::Error(RunFailure {
                message: message.to_owned(),
                code,
                retryable: false,
            }));
        }
        if state.control().is_some() {
            self.slot.enter(&mut state, Phase::Idle);
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, SlotState> {
        self.slot.lock()
    }
}

/// The agent that answers in `session`.
fn usable_agent(catalog: &Catalog, session: &Session) -> Result<Arc<Agent>, StartError> {
    let name = session
        .agent
        .as_deref()
        .unwrap_or_else(|| catalog.default_agent());
    let Some(agent) = catalog.agent(name) else {
        let text = format!("Agent `{name}` is not configured.");
        return Err(StartError::AgentUnavailable(text));
    };
    match agent.unavailable() {
        Some(reason) => {
            tracing::warn!(agent = name, %reason, "agent unavailable");
            Err(StartError::AgentUnavailable(format!(
                "Agent `{name}` is not available."
            )))
        }
        None => Ok(Arc::clone(agent)),
    }
}
