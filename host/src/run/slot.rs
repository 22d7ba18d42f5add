//! What the host keeps in memory of a session that is in use.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, OnceCell};
use tokio_util::sync::CancellationToken;

use super::control::RunControl;
use super::inbox::Waiting;
use super::log::EventLog;
use crate::session::{Numbering, Owner, SessionId};

/// A session in use: by a connection, a request or a run. Without a run it has no log.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: SessionId,
    /// Whose it is, once somebody has asked the store. It never becomes another's.
    pub(super) owner: OnceLock<Owner>,
    state: Mutex<SlotState>,
    /// Told when the phase changes.
    pub(super) changed: Notify,
    /// Where the session's count of events stood when it was taken into use. Read once: the store would take a run that
    /// has begun since for one that was lost.
    pub(super) numbering: OnceCell<Numbering>,
    /// Cancelled when the session was deleted.
    pub(super) gone: CancellationToken,
}

#[derive(Debug)]
pub(super) struct SlotState {
    pub(super) phase: Phase,
    /// Messages that wait for the runs before them. While there is one, no other message begins a run.
    pub(super) queue: VecDeque<Waiting>,
    /// The session is being deleted: the run in progress, if any, is its last.
    pub(super) deleting: bool,
    pub(super) log: Option<Arc<EventLog>>,
    /// Where the log's count stood when it was given up.
    pub(super) last_seq: Option<u64>,
    /// Position of the last event of the run that is being saved, which the history shows a moment before the event
    /// is there.
    pub(super) announced: u64,
    /// When the latest run ended, or was read back from the store; its log is kept for a while from then on.
    pub(super) ended: Option<Instant>,
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
            owner: OnceLock::new(),
            state: Mutex::new(SlotState {
                phase: Phase::Idle,
                queue: VecDeque::new(),
                deleting: false,
                log: None,
                last_seq: None,
                announced: 0,
                ended: None,
                users: 0,
            }),
            changed: Notify::new(),
            numbering: OnceCell::new(),
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

    /// Whether no run is registered.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Gone)
    }

    /// Of a log without a run in progress: when the latest run ended, if its events are still kept.
    pub(super) fn idle_log(&self) -> Option<Option<Instant>> {
        (self.log.is_some() && self.is_idle()).then_some(self.ended)
    }

    /// Gives up the events of runs that have ended, and the log itself if nobody reads it.
    pub(super) fn give_up_log(&mut self) {
        if !self.is_idle() {
            return;
        }
        if let Some(log) = self.log.take_if(|log| !log.is_watched()) {
            self.last_seq = Some(log.last_seq());
        } else if let Some(log) = &self.log
            && !log.forget()
        {
            return;
        }
        self.ended = None;
    }
}
