//! Which sessions are in use, and which run each has.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::budget::LogBudget;
use super::control::RunControl;
use super::cursor::{Attachment, Cursor};
use super::driver::{self, Order};
use super::inbox::Waiting;
use super::log::{EventLog, RunSpan};
use super::slot::{Phase, Slot, SlotState};
use super::{SettingsSource, UserMessage};
use super::{ending, inbox};
use crate::metrics::Metrics;
use crate::plugin::{Agent, Catalog};
use crate::protocol::RunEvent;
use crate::protocol::answers::{StopAnswer, StopRefusal};
use crate::session::{MessageKey, RunId, Session, SessionId, SessionStore, StoreError};

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

/// A session in use. While a handle exists the session has its place in the registry.
#[derive(Debug)]
pub struct SessionHandle {
    pub(super) registry: Arc<RunRegistry>,
    pub(super) slot: Arc<Slot>,
}

impl Clone for SessionHandle {
    fn clone(&self) -> Self {
        self.clone_locked(&mut self.slot.lock())
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        let last = {
            let mut state = self.slot.lock();
            state.users -= 1;
            state.users == 0
        };
        if last {
            self.registry.forget_unused(&self.slot);
        }
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

    /// Starts a run: saves the user's turn, then begins the run's events. The version 1 cursor reads them from
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
        let (_, started) = self.reserve(session, message, None, true)?;
        let cursor = started.await.unwrap_or(Err(StartError::Lost))?;
        cursor.ok_or(StartError::Lost)
    }

    pub(super) fn reserve(
        &self,
        session: &Session,
        message: UserMessage,
        key: Option<MessageKey>,
        watched: bool,
    ) -> Result<(RunId, Started), StartError> {
        let registry = &self.registry;
        // Taken before the look: a drain that begins after it waits for this run as well.
        let _token = registry.tasks.token();
        if registry.is_draining() {
            return Err(StartError::Draining);
        }
        let mut state = self.slot.lock();
        match state.phase {
            Phase::Idle if state.deleting => return Err(StartError::Gone),
            // Those that wait come first.
            Phase::Idle if !state.queue.is_empty() => return Err(StartError::Busy),
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
            turn: message.into(),
            key,
            queued: None,
            watched,
        };
        let run_id = order.control.id;
        registry.tasks.spawn(driver::drive(order, started));
        Ok((run_id, waiting))
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
                        state.queue.clear();
                        self.slot.enter(&mut state, Phase::Gone);
                        break;
                    }
                }
            }
            changed.await;
        }
        self.slot.gone.cancel();
    }

    /// Ends the run's events with `last`, and frees the session, for the queue's next message if there is one.
    pub(super) fn finished(
        &self,
        log: &EventLog,
        span: &RunSpan,
        last: impl IntoIterator<Item = RunEvent>,
    ) {
        let mut state = self.slot.lock();
        log.finish(span, last);
        state.ended = Some(Instant::now());
        self.slot.enter(&mut state, Phase::Idle);
        let next = self.advance(&mut state);
        drop(state);
        self.begin_queued(next);
    }

    /// Frees the session of a run that did not begin. A message from the queue goes back to its head.
    pub(super) fn not_begun(&self, queued: Option<Waiting>) {
        let mut state = self.slot.lock();
        if let Some(queued) = queued {
            state.queue.push_front(queued);
        }
        self.slot.enter(&mut state, Phase::Idle);
    }

    /// Ends the run without its driver, which failed. What it had saved stays as it is, and counts as lost
    /// when the session's next run begins.
    pub(super) fn break_off(&self, message: &str) {
        let mut state = self.slot.lock();
        let Some(control) = state.control() else {
            return;
        };
        control.over.cancel();
        let run = control.id;
        if let Some(log) = &state.log {
            log.break_off(ending::broken_off(run, message));
        }
        state.ended = Some(Instant::now());
        self.slot.enter(&mut state, Phase::Idle);
    }

    /// A clone, made while the session's state is locked.
    pub(super) fn clone_locked(&self, state: &mut MutexGuard<'_, SlotState>) -> Self {
        state.users += 1;
        Self {
            registry: Arc::clone(&self.registry),
            slot: Arc::clone(&self.slot),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, SlotState> {
        self.slot.lock()
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
fn usable_agent(catalog: &Catalog, session: &Session) -> Result<Arc<Agent>, StartError> {
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
