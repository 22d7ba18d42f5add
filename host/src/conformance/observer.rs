//! The host that watches: everything that a library calls comes here, and is checked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plugin_api::abi::import::{
    Answer, Completion, EventRef, FailureKind, HostLibrary, LogLine, ServiceFailure, Sink,
};
use plugin_api::wire::service;
use plugin_api::{Event, Health, ServiceErrorCode};

use crate::child_guard;
use crate::run::event_fault;

/// The deepest nesting of JSON in an event: a host's own limit where it is not told otherwise.
const JSON_DEPTH: usize = 64;

/// Faults of one scope that are kept.
const FAULTS_KEPT: usize = 3;

/// What a scope stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// An instance, from before its `create` on.
    Instance,
    /// Something that only ends.
    #[default]
    Task,
    /// A run.
    Run,
    /// A call of a tool.
    Call,
}

/// How a scope's calls are answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plan {
    /// SLOW to this many events, the first ones.
    pub(super) slow: usize,
    /// This to every event.
    pub(super) emit: Option<Answer>,
    /// This to every request; otherwise it is answered.
    pub(super) request: Option<ServiceErrorCode>,
}

/// How something ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    Finished(String),
    Stopped(String),
    Failed(FailureKind, String),
}

/// What is known of a scope.
#[derive(Default)]
pub(super) struct Seen {
    kind: Kind,
    plan: Plan,
    /// Events that were accepted.
    pub(super) events: usize,
    /// Events that came while the run was to wait.
    pub(super) impatient: usize,
    /// Whether the run is to wait.
    pub(super) waits: bool,
    /// Rules that were broken.
    pub(super) faults: Vec<String>,
    pub(super) end: Option<End>,
}

impl Seen {
    fn fault(&mut self, fault: impl Into<String>) {
        if self.faults.len() < FAULTS_KEPT {
            self.faults.push(fault.into());
        }
    }
}

/// Watches one library.
pub(super) struct Observer {
    scopes: Mutex<HashMap<u64, Seen>>,
    changed: Condvar,
    next: AtomicU64,
    stray: Mutex<Option<String>>,
    child_guard: Option<String>,
}

impl Observer {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            scopes: Mutex::default(),
            changed: Condvar::new(),
            next: AtomicU64::new(1),
            stray: Mutex::default(),
            child_guard: child_guard::program(None),
        })
    }

    fn scopes(&self) -> MutexGuard<'_, HashMap<u64, Seen>> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a scope. Its number is not that of another, and not guessed from one by counting.
    pub(super) fn open(&self, kind: Kind, plan: Plan) -> u64 {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        // Odd, so a bijection: no two are the same, and 0 is none.
        let id = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let seen = Seen {
            kind,
            plan,
            ..Seen::default()
        };
        self.scopes().insert(id, seen);
        id
    }

    /// Forgets a scope: what comes of it from now on is a stray.
    pub(super) fn close(&self, scope: u64) {
        self.scopes().remove(&scope);
    }

    /// Looks at a scope.
    pub(super) fn look<R>(&self, scope: u64, look: impl FnOnce(&mut Seen) -> R) -> Option<R> {
        self.scopes().get_mut(&scope).map(look)
    }

    /// Waits until `look` finds something in the scope, at most for so long.
    pub(super) fn wait<R>(
        &self,
        scope: u64,
        within: Duration,
        mut look: impl FnMut(&mut Seen) -> Option<R>,
    ) -> Option<R> {
        let until = Instant::now() + within;
        let mut scopes = self.scopes();
        loop {
            if let Some(found) = scopes.get_mut(&scope).and_then(&mut look) {
                return Some(found);
            }
            let left = until.checked_duration_since(Instant::now())?;
            let waited = self.changed.wait_timeout(scopes, left);
            scopes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What was called with a scope that nobody was given, or that is long over.
    pub(super) fn strays(&self) -> Option<String> {
        let stray = self.stray.lock().unwrap_or_else(PoisonError::into_inner);
        stray.clone()
    }

    fn note_stray(&self, text: &str) {
        let mut stray = self.stray.lock().unwrap_or_else(PoisonError::into_inner);
        stray.get_or_insert_with(|| text.to_owned());
    }

    /// Does something to a scope that is not over; notes a fault, `what`, of one that is.
    fn live<R>(&self, scope: u64, what: &str, act: impl FnOnce(&mut Seen) -> R) -> Option<R> {
        let mut scopes = self.scopes();
        let Some(seen) = scopes.get_mut(&scope) else {
            drop(scopes);
            self.note_stray(&format!(
                "{what} came for a scope that is over or was never given"
            ));
            return None;
        };
        // An instance's scope lives on after its `create` has ended.
        if seen.end.is_some() && seen.kind != Kind::Instance {
            seen.fault(format!("{what} came after the end"));
            return None;
        }
        Some(act(seen))
    }
}

impl HostLibrary for Observer {
    fn emit(&self, scope: u64, event: EventRef<'_>) -> Answer {
        let accepted = self.live(scope, "an event", |seen| {
            let fault = match seen.kind {
                Kind::Run => event_fault(event, JSON_DEPTH).or_else(|| {
                    // Which catches what is right as JSON and wrong for its kind.
                    Event::from_parts(event)
                        .err()
                        .map(|error| error.to_string())
                }),
                Kind::Call if event.name == "progress" => None,
                Kind::Call => Some(format!(
                    "a tool call may emit `progress` alone, not `{}`",
                    event.name
                )),
                Kind::Instance | Kind::Task => Some("nothing is to be emitted here".to_owned()),
            };
            if let Some(fault) = fault {
                seen.fault(format!("an event that a host refuses: {fault}"));
                return Answer::Invalid;
            }
            if let Some(answer) = seen.plan.emit {
                return answer;
            }
            seen.events += 1;
            if seen.waits {
                seen.impatient += 1;
            }
            if seen.events <= seen.plan.slow {
                seen.waits = true;
                return Answer::Slow;
            }
            Answer::Ok
        });
        self.changed.notify_all();
        accepted.unwrap_or(Answer::Stop)
    }

    fn complete(&self, scope: u64, completion: Completion) -> Answer {
        let mut scopes = self.scopes();
        let Some(seen) = scopes.get_mut(&scope) else {
            drop(scopes);
            self.note_stray("a completion came for a scope that is over or was never given");
            return Answer::Stop;
        };
        if seen.end.is_some() {
            seen.fault("it was completed twice");
            return Answer::Stop;
        }
        let made = matches!(&completion, Completion::Finished { value: Some(_), .. });
        if seen.kind == Kind::Instance
            && matches!(&completion, Completion::Finished { .. })
            && !made
        {
            seen.fault("`create` finished without an instance");
        }
        seen.end = Some(match completion {
            Completion::Finished { json, .. } => End::Finished(json),
            Completion::Stopped { json } => End::Stopped(json),
            Completion::Failed { kind, text } => End::Failed(kind, text),
        });
        self.changed.notify_all();
        Answer::Ok
    }

    fn request(&self, scope: u64, _id: u64, method: &str, _params: &str, sink: Sink) {
        let plan = self.live(scope, "a request", |seen| seen.plan);
        let Some(plan) = plan else {
            return sink.done(Err(ServiceFailure::Cancelled));
        };
        if let Some(code) = plan.request {
            return sink.done(Err(match code {
                ServiceErrorCode::Cancelled => ServiceFailure::Cancelled,
                ServiceErrorCode::Unsupported => ServiceFailure::Unsupported,
                code => ServiceFailure::failed(code, "refused by the test"),
            }));
        }
        let not_found = |what| {
            let text = format!("there is no such {what} in the test");
            Err(ServiceFailure::failed(ServiceErrorCode::NotFound, text))
        };
        match method {
            service::TOOLS_LIST => sink.done(Ok(r#"{"tools":[]}"#)),
            service::TOOLS_CALL => sink.done(not_found("tool")),
            service::AGENTS_RUN => sink.done(not_found("agent")),
            service::HISTORY_LIST => sink.done(Ok(r#"{"turns":[],"more":false}"#)),
            service::STATE_GET => sink.done(Ok(r#"{"value":null,"version":0}"#)),
            service::STATE_PUT => sink.done(Ok(r#"{"version":1}"#)),
            service::TOOLS_CHANGED => sink.done(Ok("{}")),
            _ => sink.done(Err(ServiceFailure::Unsupported)),
        }
    }

    fn cancel(&self, _scope: u64, _id: u64) -> Answer {
        Answer::Ok
    }

    fn image(&self, _scope: u64, _handle: u64) -> Option<Arc<[u8]>> {
        None
    }

    fn log(&self, _line: LogLine<'_>) {}

    fn child_guard(&self) -> Option<&str> {
        self.child_guard.as_deref()
    }

    fn set_health(&self, scope: u64, _health: Health) -> Answer {
        let taken = self.live(scope, "a health", |seen| {
            if seen.kind == Kind::Instance {
                return Answer::Ok;
            }
            seen.fault("a health is an instance's, and came for something else");
            Answer::Invalid
        });
        taken.unwrap_or(Answer::Stop)
    }
}
