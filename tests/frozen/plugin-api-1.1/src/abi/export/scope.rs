//! A run, a tool call or an instance, as the library sees it.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::{Notify, mpsc};

use super::host::Host;
use super::requests;
use crate::abi::types::{self, ERR_INVALID, ERR_TOO_LARGE, SLOW, STOP};
use crate::{EmitError, Event, EventRef, Health, ImageError, ServiceError};

/// The longest that an `emit` waits for `resume`. The host resumes far sooner; this only bounds the wait
/// should it forget to, or have ended the scope without a word.
const SLOW_WAIT: Duration = Duration::from_secs(5);

/// The runs and calls in progress, by scope, for `stop`, `cancel` and `resume`.
static LIVE: LazyLock<RwLock<HashMap<u64, Arc<Scope>>>> = LazyLock::new(RwLock::default);

const RUNNING: u8 = 0;
/// Asked to stop.
const STOPPING: u8 = 1;
/// Ended: nothing of it crosses any more.
const OVER: u8 = 2;

/// An agent that emits in a tight loop must still let the runtime's other tasks in, its own stop too: every so
/// many emits cost one of a task's budget of 128. Rarely enough that resting costs an emit next to nothing.
const EMITS_PER_BUDGET: u32 = 16;

/// What became of an event.
enum Handed {
    Accepted,
    /// Accepted, and others should have a turn.
    Rest,
    /// Accepted, and the next has to wait for a `resume` after the one `seen`.
    Slow {
        seen: u64,
    },
    /// The host's answer.
    Refused(i32),
}

/// What the library holds of the host for one run, call or instance.
#[derive(Debug)]
pub struct Scope {
    id: u64,
    host: &'static Host,
    /// [`RUNNING`], [`STOPPING`] or [`OVER`]; only grows.
    state: AtomicU8,
    stop: Notify,
    /// Counts the calls of `resume`, so that one between an `emit` and the wait for it is not lost.
    resumes: AtomicU64,
    resume: Notify,
    emits: AtomicU32,
}

impl Scope {
    pub(super) fn new(id: u64, host: &'static Host) -> Arc<Self> {
        Arc::new(Self {
            id,
            host,
            state: AtomicU8::new(RUNNING),
            stop: Notify::new(),
            resumes: AtomicU64::new(0),
            resume: Notify::new(),
            emits: AtomicU32::new(0),
        })
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn host(&self) -> &'static Host {
        self.host
    }

    /// The author's `emit`. The host has the event when this returns; what is left is to wait.
    #[inline]
    pub(crate) fn emit(
        &self,
        event: &Event,
    ) -> impl Future<Output = Result<(), EmitError>> + Send + use<'_> {
        let handed = self.hand_over(event);
        async move {
            match handed {
                Handed::Accepted => Ok(()),
                Handed::Rest => {
                    tokio::task::coop::consume_budget().await;
                    Ok(())
                }
                Handed::Slow { seen } => {
                    // In a box, for else every emit would carry the room for it about.
                    Box::pin(self.wait_for_resume(seen)).await;
                    Ok(())
                }
                Handed::Refused(answer) => Err(self.refusal(answer)),
            }
        }
    }

    #[inline]
    fn hand_over(&self, event: &Event) -> Handed {
        if self.is_over() {
            return Handed::Refused(STOP);
        }
        // Read before the event goes out: a `resume` that answers it is then always a change.
        let seen = self.resumes.load(Ordering::Acquire);
        let answer = event.with_parts(|parts| self.host.emit(self.id, parts));
        if answer == SLOW {
            return Handed::Slow { seen };
        }
        if answer < 0 || answer == STOP {
            return Handed::Refused(answer);
        }
        // Not exact when several tasks emit, and need not be.
        let emits = self.emits.load(Ordering::Relaxed).wrapping_add(1);
        self.emits.store(emits, Ordering::Relaxed);
        if emits.is_multiple_of(EMITS_PER_BUDGET) {
            Handed::Rest
        } else {
            Handed::Accepted
        }
    }

    #[cold]
    fn refusal(&self, answer: i32) -> EmitError {
        match answer {
            STOP => {
                self.mark_over();
                EmitError::Stopped
            }
            ERR_INVALID => EmitError::Invalid,
            ERR_TOO_LARGE => EmitError::TooLarge,
            other => EmitError::Host(other),
        }
    }

    /// Returns after a `resume` that came later than when the count was `seen`, after a stop, or when it
    /// has waited long enough.
    async fn wait_for_resume(&self, seen: u64) {
        let resumed = async {
            loop {
                let mut notified = pin!(self.resume.notified());
                notified.as_mut().enable();
                if self.resumes.load(Ordering::Acquire) != seen {
                    return;
                }
                notified.await;
            }
        };
        tokio::select! {
            () = resumed => {}
            () = self.stopped() => {}
            () = tokio::time::sleep(SLOW_WAIT) => {}
        }
    }

    /// Progress of a tool call. Whether anybody listens does not matter to the call.
    pub(crate) fn progress(&self, fields: Map<String, Value>) {
        let json = Value::Object(fields).to_string();
        let event = EventRef {
            kind: types::EVENT_CUSTOM,
            name: "progress",
            json: &json,
            ..EventRef::default()
        };
        if !self.is_over() && self.host.emit(self.id, event) == STOP {
            self.mark_over();
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state.load(Ordering::Acquire) != RUNNING
    }

    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.state.load(Ordering::Acquire) == OVER
    }

    pub(crate) async fn stopped(&self) {
        loop {
            let mut notified = pin!(self.stop.notified());
            notified.as_mut().enable();
            if self.is_stopped() {
                return;
            }
            notified.await;
        }
    }

    /// The scope was asked to stop.
    fn mark_stopping(&self) {
        self.mark(STOPPING);
    }

    /// The scope has ended, or turned out to be over.
    pub(super) fn mark_over(&self) {
        self.mark(OVER);
    }

    fn mark(&self, state: u8) {
        if self.state.fetch_max(state, Ordering::AcqRel) == RUNNING {
            self.stop.notify_waiters();
        }
    }

    fn mark_resumed(&self) {
        self.resumes.fetch_add(1, Ordering::AcqRel);
        self.resume.notify_waiters();
    }

    pub(crate) fn image(&self, handle: u64) -> Result<Vec<u8>, ImageError> {
        if self.is_over() {
            return Err(ImageError::Stopped);
        }
        self.host
            .image(self.id, handle)
            .map_err(|answer| match answer {
                STOP => {
                    self.mark_over();
                    ImageError::Stopped
                }
                _ => ImageError::Unavailable(handle),
            })
    }

    /// The program that guards child processes; empty where the host has none.
    pub(crate) fn child_guard(&self) -> &str {
        self.host.child_guard()
    }

    /// A host that has no use for it, and one that no longer has the instance, are no concern of the instance's.
    pub(crate) fn set_health(&self, health: &Health) {
        if !self.is_over() {
            let (state, text) = health.parts();
            self.host.set_health(self.id, state, text);
        }
    }

    /// Asks the host for a service and waits for its answer, JSON. Dropping the future cancels.
    pub(crate) async fn request(
        &self,
        method: &str,
        params: &(impl Serialize + Sync),
        events: Option<mpsc::Sender<Event>>,
    ) -> Result<String, ServiceError> {
        requests::request(self, method, params, events).await
    }
}

/// Keeps a scope in the table of live ones. Dropping it ends the scope for whoever still has it.
pub(super) struct Live(Arc<Scope>);

impl Live {
    pub(super) fn new(scope: Arc<Scope>) -> Self {
        let replaced = LIVE
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(scope.id, Arc::clone(&scope));
        // The host never gives a scope twice; if it did, the earlier one could no longer be reached.
        if let Some(earlier) = replaced {
            earlier.mark_over();
        }
        Self(scope)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        LIVE.write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.0.id);
        self.0.mark_over();
        requests::end_scope(self.0.id);
    }
}

fn live(scope: u64) -> Option<Arc<Scope>> {
    LIVE.read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&scope)
        .cloned()
}

/// `stop` and `cancel`: nothing happens for a scope that is over.
pub(super) fn stop(scope: u64) {
    if let Some(scope) = live(scope) {
        scope.mark_stopping();
    }
}

/// `resume`: nothing happens for a scope that is over.
pub(super) fn resume(scope: u64) {
    if let Some(scope) = live(scope) {
        scope.mark_resumed();
    }
}
