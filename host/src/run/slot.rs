//! What the host keeps in memory of a session that is in use.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::control::RunControl;
use super::log::EventLog;
use crate::session::{Numbering, SessionId};

/// A session in use: by a connection, a request or a run. Without a run it has no log.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: SessionId,
    state: Mutex<SlotState>,
    /// Told when the phase changes.
    pub(super) changed: Notify,
    /// Cancelled when the session was deleted.
    pub(super) gone: CancellationToken,
}

#[derive(Debug)]
pub(super) struct SlotState {
    pub(super) phase: Phase,
    /// The session is being deleted: the run in progress, if any, is its last.
    pub(super) deleting: bool,
    pub(super) log: Option<Arc<EventLog>>,
    /// The numbering of the log, kept when the log is dropped.
    pub(super) numbering: Option<Numbering>,
    /// Handles that keep the slot in the registry.
    pub(super) users: usize,
}

/// What goes on in a session.
#[derive(Debug)]
pub(super) enum Phase {
    /// No run; a message is welcome.
    Idle,
    /// A run is being saved; it has no event yet.
    Starting(Arc<RunControl>),
    /// A run is in progress.
    Running(Arc<RunControl>),
    /// The session was deleted.
    Gone,
}

impl Slot {
    pub(super) fn new(id: SessionId) -> Self {
        Self {
            id,
            state: Mutex::new(SlotState {
                phase: Phase::Idle,
                deleting: false,
                log: None,
                numbering: None,
                users: 0,
            }),
            changed: Notify::new(),
            gone: CancellationToken::new(),
        }
    }

    /// Nothing that runs under this lock can panic half-way through a change.
    pub(super) fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the phase and tells whoever waits for it.
    pub(super) fn enter(&self, state: &mut SlotState, phase: Phase) {
        state.phase = phase;
        self.changed.notify_waiters();
    }
}

impl SlotState {
    /// The run that is registered, whether it has begun or not.
    pub(super) fn control(&self) -> Option<&Arc<RunControl>> {
        match &self.phase {
            Phase::Starting(control) | Phase::Running(control) => Some(control),
            Phase::Idle | Phase::Gone => None,
        }
    }

    /// Drops a log that nobody needs any more.
    pub(super) fn drop_idle_log(&mut self) {
        let idle = matches!(self.phase, Phase::Idle | Phase::Gone);
        if let Some(log) = self.log.take_if(|log| idle && !log.is_watched())
            && let Some(numbering) = &mut self.numbering
        {
            numbering.last_seq = log.last_seq();
        }
    }
}
