//! How a run is told to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::session::RunId;

/// The levers of one run, shared by whoever may pull them.
#[derive(Debug)]
pub struct RunControl {
    /// The run.
    pub id: RunId,
    /// Cancelled when somebody wants the run to stop: the agent is asked, and has the grace time.
    pub stop: CancellationToken,
    /// Cancelled when the run must end at once, whatever the agent does.
    pub kill: CancellationToken,
    /// Cancelled when the run takes no more events; what it still waits for is cancelled with it.
    pub over: CancellationToken,
    deleted: AtomicBool,
    fault: Mutex<Option<String>>,
}

impl RunControl {
    /// The levers of the run `id`.
    pub fn new(id: RunId) -> Self {
        Self {
            id,
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
            over: CancellationToken::new(),
            deleted: AtomicBool::new(false),
            fault: Mutex::new(None),
        }
    }

    /// Stops the run because its session is deleted.
    pub fn delete(&self) {
        self.deleted.store(true, Ordering::Release);
        self.stop.cancel();
    }

    /// Whether the session is being deleted.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Ends the run at once with `message`; the first fault counts.
    pub fn fail(&self, message: String) {
        self.fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(message);
        self.kill.cancel();
    }

    /// The fault that ended the run.
    pub fn fault(&self) -> Option<String> {
        self.fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
