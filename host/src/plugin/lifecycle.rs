//! Making and ending instances, each within a deadline.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plugin_api::abi::import::{Completion, FailureKind, InstancePtr};
use tokio::sync::oneshot;

use super::entry::Entry;
use super::library_host::{LibraryHost, Opened};
use super::scopes::{NoRandom, ScopeGuard};

/// How long a component may take to create an instance or to end one, and a toolset to list its tools.
pub const INSTANCE_DEADLINE: Duration = Duration::from_secs(30);

/// How long a library may take to be copied, to be opened, which runs its initialisers, and to say what it has.
pub(crate) const OPENS_WITHIN: Duration = Duration::from_secs(60);

/// A library takes longer than that. The thread that opens it is left to it.
#[derive(Debug, thiserror::Error)]
#[error("`{}` was not opened within {} seconds", .0.display(), OPENS_WITHIN.as_secs())]
pub(crate) struct NotOpened<'a>(pub(crate) &'a Path);

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
    #[error(
        "it was shut down before, or calls of it that do not return keep all threads that it may have"
    )]
    NotBegun,
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
}

/// How long a function of a library that ought to return at once is waited for.
const RETURNS_WITHIN: Duration = Duration::from_secs(1);

/// How long a call waits for one of the threads that its library copy may have.
const THREAD_WAIT: Duration = Duration::from_secs(5);

/// Calls a function of a library that is to return at once, on a thread that may block: one that does not
/// return must not take a thread from everybody else. When it has not returned after a second, what it was to
/// start has begun all the same, and the answer is true. It is false when calls that do not return keep all threads that
/// the library copy may have.
///
/// # Cancel safety
///
/// Safe: the call was made, or will be, or never is.
pub(crate) async fn call(
    host: &LibraryHost,
    function: impl FnOnce() -> bool + Send + 'static,
) -> bool {
    let waiting = Arc::clone(&host.threads).acquire_owned();
    let Ok(Ok(thread)) = tokio::time::timeout(THREAD_WAIT, waiting).await else {
        tracing::warn!(
            "functions of a plugin that are to return at once keep all threads that it may have"
        );
        return false;
    };
    let calling = tokio::task::spawn_blocking(move || {
        let _thread = thread;
        function()
    });
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
    host: &LibraryHost,
    opened: Opened,
    create: impl FnOnce(u64) + Send + 'static,
    deadline: Duration,
) -> Result<(Option<InstancePtr>, ScopeGuard<Entry>), LifecycleError> {
    let Opened { scope, end } = opened;
    let id = scope.id();
    let begun = call(host, move || {
        create(id);
        true
    });
    if !begun.await {
        return Err(LifecycleError::NotBegun);
    }
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
    host: &LibraryHost,
    opened: Opened,
    start: impl FnOnce(u64) -> bool + Send + 'static,
    deadline: Duration,
) -> Result<String, LifecycleError> {
    let Opened { scope, end } = opened;
    let id = scope.id();
    if !call(host, move || start(id)).await {
        return Err(LifecycleError::NotBegun);
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
