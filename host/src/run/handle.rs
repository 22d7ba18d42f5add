//! A session in use, in the hands of whoever uses it.

use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use tokio::sync::oneshot;

use super::control::RunControl;
use super::cursor::{Attachment, Cursor};
use super::driver::{self, Order};
use super::inbox::Waiting;
use super::log::{EventLog, RunSpan};
use super::registry::{RunRegistry, StartError, Started, usable_agent};
use super::slot::{Phase, Slot, SlotState};
use super::{UserMessage, ending};
use crate::protocol::RunEvent;
use crate::session::{MessageKey, Owner, RunId, Session, SessionId};

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

    /// Whose the session is, as far as anybody has asked the store while it is in use.
    pub fn owner(&self) -> Option<&Owner> {
        self.slot.owner.get()
    }

    /// Notes whose the session is, as the store says.
    pub fn belongs_to(&self, owner: Owner) {
        // Whoever was quicker noted the same.
        let _ = self.slot.owner.set(owner);
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
        let _token = registry.token();
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
        let (catalog, settings) = registry.parts.source.both();
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
            settings,
            turn: message.into(),
            key,
            queued: None,
            watched,
        };
        let run_id = order.control.id;
        registry.spawn(driver::drive(order, started));
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
