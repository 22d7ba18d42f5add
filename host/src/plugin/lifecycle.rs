//! Making and ending instances, each within a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plugin_api::abi::import::{Completion, FailureKind, InstancePtr};
use tokio::sync::oneshot;

use super::library_host::{Entry, Opened};
use super::scopes::{NoRandom, ScopeGuard};

/// How long a component may take to create an instance or to end one, and a toolset to list its tools.
pub const INSTANCE_DEADLINE: Duration = Duration::from_secs(30);

/// An instance could not be made or ended, or did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LifecycleError {
    #[error("it did not answer within {} seconds", .0.as_secs_f32())]
    Deadline(Duration),
    /// The component's own words. They name a key, if it is the configuration's fault.
    #[error("{text}")]
    Failed { kind: FailureKind, text: String },
    #[error("it broke the plugin boundary's rules: {0}")]
    Broken(&'static str),
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
}

/// How long a function of a library that ought to return at once is waited for.
const RETURNS_WITHIN: Duration = Duration::from_secs(1);

/// Calls a function of a library that is to return at once, on a thread that may block: one that does not
/// return must not take a thread from everybody else. When it has not returned after a second, what it was to
/// start has begun all the same, and the answer is true.
///
/// # Cancel safety
///
/// Safe: the call was made, or will be.
pub(crate) async fn call(function: impl FnOnce() -> bool + Send + 'static) -> bool {
    let calling = tokio::task::spawn_blocking(function);
    match tokio::time::timeout(RETURNS_WITHIN, calling).await {
        Ok(Ok(answer)) => answer,
        // The library's functions do not panic; the runtime may be ending.
        Ok(Err(_)) => false,
        Err(_elapsed) => {
            tracing::warn!("a function of a plugin that is to return at once goes on");
            true
        }
    }
}

/// Whether somebody still wants what a [`call`] starts. A stop that came before the start would be lost, so
/// whoever gives up says so here before it stops, and the call looks here after it started.
#[derive(Debug, Clone, Default)]
pub(crate) struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Calls `create` with a new scope and waits for the instance, which has no pointer if it is in a worker. The scope is
/// the instance's own and must be kept as long as that lives.
///
/// # Cancel safety
///
/// Not quite: dropped in the moment in which the instance arrives, it loses it. Let a task of its own await it.
pub(crate) async fn create(
    opened: Opened,
    create: impl FnOnce(u64) + Send + 'static,
    deadline: Duration,
) -> Result<(Option<InstancePtr>, ScopeGuard<Entry>), LifecycleError> {
    let Opened { scope, end } = opened;
    let id = scope.id();
    call(move || {
        create(id);
        true
    })
    .await;
    match ended(end, deadline).await? {
        Completion::Finished { value, .. } => Ok((value, scope)),
        Completion::Stopped { .. } => Err(LifecycleError::Broken("it stopped in `create`")),
        Completion::Failed { kind, text } => Err(LifecycleError::Failed { kind, text }),
    }
}

/// Starts a task of an instance (`list`, `shutdown`) and waits for its result.
///
/// # Cancel safety
///
/// Safe: what comes later is told that it is over.
pub(crate) async fn task(
    opened: Opened,
    start: impl FnOnce(u64) -> bool + Send + 'static,
    deadline: Duration,
) -> Result<String, LifecycleError> {
    let Opened { scope, end } = opened;
    let id = scope.id();
    if !call(move || start(id)).await {
        return Err(LifecycleError::Broken("it was shut down before"));
    }
    match ended(end, deadline).await? {
        Completion::Finished { json, .. } | Completion::Stopped { json } => Ok(json),
        Completion::Failed { kind, text } => Err(LifecycleError::Failed { kind, text }),
    }
}

async fn ended(
    mut end: oneshot::Receiver<Completion>,
    deadline: Duration,
) -> Result<Completion, LifecycleError> {
    const GONE: LifecycleError = LifecycleError::Broken("its scope ended without an answer");
    match tokio::time::timeout(deadline, &mut end).await {
        Ok(completion) => completion.map_err(|_| GONE),
        Err(_elapsed) => {
            // From here on the component's `complete` answers STOP. One that came before it counts, or the
            // instance in it would belong to nobody.
            end.close();
            end.try_recv()
                .map_err(|_| LifecycleError::Deadline(deadline))
        }
    }
}
