//! What a scope stands for: the one that a library names when it calls the host.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use plugin_api::abi::import::{Answer, Completion, EventRef};
use tokio::sync::{Notify, mpsc, oneshot};

use super::RunHost;
use super::chain::event_size;
use super::gate::Pass;
use super::health::HealthCell;
use super::scopes::ScopeEntry;

/// Progress items of a tool call that may wait to be read; more are dropped.
pub(crate) const PROGRESS_KEPT: usize = 64;

/// What a scope stands for.
#[derive(Clone)]
pub(crate) enum Entry {
    /// An instance, from before its `create` until after its `shutdown`.
    Instance(Arc<InstanceScope>),
    /// Something that only ends: a `shutdown`, a `list`.
    Task(Arc<Waiter>),
    Run(Arc<RunScope>),
    ToolCall(Arc<CallScope>),
    /// Something that nobody waits for any more and that the library has not ended yet. To the library it
    /// is over; the host only wants to know when the library is done with it.
    GivenUp(#[expect(dead_code, reason = "held until the library ends it")] Arc<Pass>),
}

/// Where the end of something is reported, once.
pub(crate) struct Waiter(Mutex<Option<oneshot::Sender<Completion>>>);

pub(crate) struct InstanceScope {
    pub(super) waiter: Waiter,
    /// Told when a toolset says that its tools have changed; none for other components.
    pub(super) tools_changed: Option<Arc<Notify>>,
    pub(super) health: Arc<HealthCell>,
}

pub(crate) struct RunScope {
    pub(super) host: Arc<dyn RunHost>,
    pub(super) waiter: Waiter,
    pub(super) owner: Owner,
    pub(super) over: AtomicBool,
    /// Left when the run is over for the host.
    pub(super) _wanted: Option<Pass>,
}

impl ScopeEntry for Entry {
    fn ended(&self) {
        if let Self::Run(run) = self {
            run.over.store(true, Ordering::Release);
        }
    }
}

impl RunScope {
    /// Whether it is no scope any more.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

pub(crate) struct CallScope {
    pub(super) progress: mpsc::Sender<String>,
    pub(super) waiter: Waiter,
    pub(super) owner: Owner,
    /// As a run's.
    pub(super) _wanted: Option<Pass>,
}

/// Whom a log line is attributed to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Owner {
    pub(crate) agent: String,
    pub(crate) session_id: String,
    pub(crate) run_id: String,
}

impl Waiter {
    pub(super) fn new() -> (Self, oneshot::Receiver<Completion>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Mutex::new(Some(sender))), receiver)
    }

    /// STOP to a second end, and to one that nobody waits for any more.
    pub(super) fn complete(&self, completion: Completion) -> Answer {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match sender.map(|sender| sender.send(completion)) {
            Some(Ok(())) => Answer::Ok,
            Some(Err(_)) | None => Answer::Stop,
        }
    }
}

/// The most bytes of an item of progress. Whoever waits for it takes no more.
const PROGRESS_BYTES: usize = 1024 * 1024;

impl CallScope {
    pub(super) fn progress(&self, event: EventRef<'_>) -> Answer {
        if event_size(&event) > PROGRESS_BYTES {
            return Answer::TooLarge;
        }
        let Ok(event) = plugin_api::Event::from_parts(event) else {
            return Answer::Invalid;
        };
        let item = serde_json::Value::Object(event.to_wire()).to_string();
        match self.progress.try_send(item) {
            // A toolset cannot be told to go on, so it is not told to wait: what nobody has read is lost.
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Answer::Ok,
            Err(mpsc::error::TrySendError::Closed(_)) => Answer::Stop,
        }
    }
}
