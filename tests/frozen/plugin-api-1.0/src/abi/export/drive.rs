//! The author's futures: where they run, and how they end in exactly one `complete`.

use std::ffi::c_void;
use std::future::Future;
use std::mem::size_of;
use std::pin::pin;
use std::ptr::null_mut;
use std::sync::Arc;
use std::time::Duration;

use super::host::{Host, host};
use super::instances::Name;
use super::logging;
use super::runtime;
use super::scope::{Live, Scope};
use crate::abi::borrow::lend;
use crate::abi::guard::{catch, catch_future};
use crate::abi::types::{
    FAILED_AGENT, FAILED_CONFIG, FAILED_INTERNAL, FAILED_MAX_ITERATIONS, FAILED_SESSION_NOT_FOUND,
    RhCompletion, STATUS_FAILED, STATUS_FINISHED, STATUS_STOPPED,
};
use crate::wire::OutcomeData;
use crate::{CreateError, RunError};

/// How something that the host started has ended.
#[derive(Debug)]
pub(super) enum Ending {
    Created(Name),
    Finished(String),
    Stopped(String),
    Failed(u32, String),
}

impl Ending {
    pub(super) fn internal(text: impl ToString) -> Self {
        Self::Failed(FAILED_INTERNAL, text.to_string())
    }

    pub(super) fn finished(result: &impl serde::Serialize) -> Self {
        match serde_json::to_string(result) {
            Ok(json) => Self::Finished(json),
            Err(error) => Self::internal(format!("the result is no JSON: {error}")),
        }
    }
}

impl From<CreateError> for Ending {
    fn from(error: CreateError) -> Self {
        match error {
            // The text alone: the host says where the configuration is.
            CreateError::Config(text) => Self::Failed(FAILED_CONFIG, text),
            CreateError::Failed(text) => Self::Failed(FAILED_AGENT, text),
        }
    }
}

impl From<RunError> for Ending {
    fn from(error: RunError) -> Self {
        let kind = match &error {
            RunError::SessionNotFound => FAILED_SESSION_NOT_FOUND,
            RunError::MaxIterations(_) => FAILED_MAX_ITERATIONS,
            RunError::Agent(_) => FAILED_AGENT,
            RunError::Internal(_) => FAILED_INTERNAL,
            RunError::Stopped => return Self::stopped(),
        };
        Self::Failed(kind, error.to_string())
    }
}

impl Ending {
    /// Stopped with nothing to show for it.
    pub(super) fn stopped() -> Self {
        Self::Stopped(serde_json::to_string(&OutcomeData::default()).unwrap_or_default())
    }
}

/// How long the author's future may take.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    /// Until this long after the scope was stopped.
    AfterStop(Duration, fn() -> Ending),
    /// This long.
    Total(Duration, &'static str),
}

/// Starts what the host asked for with the scope `id`: `work` makes the author's future, and whatever becomes
/// of that, the scope is completed exactly once. `completed` gets the host's answer.
///
/// With [`Bound::AfterStop`] the scope can be stopped and resumed from the moment this returns.
pub(super) fn start<W, C>(
    id: u64,
    bound: Bound,
    work: impl FnOnce(Arc<Scope>) -> W + Send + 'static,
    completed: impl FnOnce(i32, Option<Name>) -> C + Send + 'static,
) where
    W: Future<Output = Ending> + Send + 'static,
    C: Future<Output = ()> + Send + 'static,
{
    // Before `init` there is nobody to complete anything to.
    let Some(host) = host() else { return };
    let completer = Completer::new(host, id);
    match runtime::begin() {
        // Nobody awaits the task: it tells the host itself that it has ended, once, whatever happens.
        Ok(runtime) => runtime.spawn(task(completer, bound, work, completed)),
        Err(error) => drop(completer.complete(Ending::internal(error))),
    }
}

/// What [`start`] spawns. Its scope can be stopped and resumed from the moment this returns.
fn task<W, C>(
    completer: Completer,
    bound: Bound,
    work: impl FnOnce(Arc<Scope>) -> W + Send + 'static,
    completed: impl FnOnce(i32, Option<Name>) -> C + Send + 'static,
) -> impl Future<Output = ()> + Send
where
    W: Future<Output = Ending> + Send + 'static,
    C: Future<Output = ()> + Send + 'static,
{
    let id = completer.scope;
    let scope = Scope::new(id, completer.host);
    let live = matches!(bound, Bound::AfterStop(..)).then(|| Live::new(Arc::clone(&scope)));
    logging::in_scope(id, async move {
        let driven = async {
            // Dropped after the author's future and before the host hears of the end.
            let _live = live;
            drive(scope, bound, work).await
        };
        let ending = catch_future(driven).await.unwrap_or_else(Ending::internal);
        let created = match &ending {
            Ending::Created(name) => Some(*name),
            _ => None,
        };
        let answer = completer.complete(ending);
        // A panic in what is done afterwards (a refused instance's shutdown) concerns nobody any more.
        let _ = catch_future(async { completed(answer, created).await }).await;
    })
}

/// As [`run`], for a `host` of the caller's own, and awaited by the caller.
#[cfg(feature = "testing")]
pub(super) fn run_on<W>(
    host: &'static Host,
    id: u64,
    bound: Bound,
    work: impl FnOnce(Arc<Scope>) -> W + Send + 'static,
) -> impl Future<Output = ()> + Send
where
    W: Future<Output = Ending> + Send + 'static,
{
    task(Completer::new(host, id), bound, work, |_, _| async {})
}

/// As [`start`], for what needs nothing done afterwards.
pub(super) fn run<W>(id: u64, bound: Bound, work: impl FnOnce(Arc<Scope>) -> W + Send + 'static)
where
    W: Future<Output = Ending> + Send + 'static,
{
    start(id, bound, work, |_, _| async {});
}

async fn drive<W>(scope: Arc<Scope>, bound: Bound, work: impl FnOnce(Arc<Scope>) -> W) -> Ending
where
    W: Future<Output = Ending> + Send,
{
    let overdue = async {
        match bound {
            Bound::AfterStop(grace, _) => {
                scope.stopped().await;
                tokio::time::sleep(grace).await;
            }
            Bound::Total(limit, _) => tokio::time::sleep(limit).await,
        }
    };
    // Without a budget: work that never rests uses up the task's, and then a timer is never ready.
    let overdue = tokio::task::coop::unconstrained(overdue);
    let ending = {
        let work = pin!(work(Arc::clone(&scope)));
        tokio::select! {
            biased;
            ending = work => Some(ending),
            () = overdue => None,
        }
        // Here what is overdue is dropped, which may panic: before there is an ending that would be lost.
    };
    match (ending, bound) {
        (Some(ending), _) => ending,
        (None, Bound::AfterStop(_, ending)) => ending(),
        (None, Bound::Total(limit, what)) => {
            Ending::internal(format!("{what} took longer than {} s", limit.as_secs_f32()))
        }
    }
}

/// Owes the host one `complete`.
struct Completer {
    host: &'static Host,
    scope: u64,
    due: bool,
}

impl Completer {
    fn new(host: &'static Host, scope: u64) -> Self {
        Self {
            host,
            scope,
            due: true,
        }
    }

    fn complete(mut self, ending: Ending) -> i32 {
        self.due = false;
        self.send(&ending)
    }

    fn send(&self, ending: &Ending) -> i32 {
        let (status, kind, value, text, json): (_, _, *mut c_void, _, _) = match ending {
            Ending::Created(name) => (STATUS_FINISHED, 0, name.as_ptr(), "", ""),
            Ending::Finished(json) => (STATUS_FINISHED, 0, null_mut(), "", json.as_str()),
            Ending::Stopped(json) => (STATUS_STOPPED, 0, null_mut(), "", json.as_str()),
            Ending::Failed(kind, text) => (STATUS_FAILED, *kind, null_mut(), text.as_str(), ""),
        };
        let (text, json) = (lend(text), lend(json));
        let completion = RhCompletion {
            size: size_of::<RhCompletion>(),
            status,
            kind,
            value,
            text,
            json,
        };
        self.host.complete(self.scope, &completion)
    }
}

impl Drop for Completer {
    fn drop(&mut self) {
        if self.due {
            // Dropped by the runtime, or thrown through: the host must hear of it all the same.
            let _ = catch(|| self.send(&Ending::internal("the plugin's task ended early")));
        }
    }
}
