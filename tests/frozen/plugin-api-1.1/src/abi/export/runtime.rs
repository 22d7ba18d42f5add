//! The library's runtime: started when it is first needed, and ended when there is no instance and no work, so that a
//! library whose instances have ended keeps no thread and no file descriptor, though it stays mapped.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};

use super::instances;

/// The most worker threads of a library.
const MAX_WORKERS: usize = 4;

/// What the configuration calls the library: its threads have this name.
static NAME: OnceLock<String> = OnceLock::new();

static STATE: Mutex<State> = Mutex::new(State {
    runtime: None,
    work: 0,
});

struct State {
    runtime: Option<Runtime>,
    /// What was begun and has not ended.
    work: usize,
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names the threads that are not started yet.
pub(super) fn name_threads(library: &str) {
    // Of a name, Linux shows 15 bytes; a null byte is no name at all.
    if !library.is_empty() && !library.contains('\0') {
        NAME.get_or_init(|| library.to_owned());
    }
}

/// The runtime, for one piece of work; it does not end before that.
#[derive(Debug)]
pub(super) struct Work(Handle);

/// Begins a piece of work.
///
/// # Errors
///
/// In words, when the system has no room for a runtime.
pub(super) fn begin() -> Result<Work, String> {
    let mut state = state();
    let runtime = match state.runtime.take() {
        Some(runtime) => runtime,
        None => build().map_err(|error| format!("the plugin's runtime does not start: {error}"))?,
    };
    let handle = runtime.handle().clone();
    state.runtime = Some(runtime);
    state.work += 1;
    Ok(Work(handle))
}

fn build() -> std::io::Result<Runtime> {
    let workers = thread::available_parallelism()
        .map_or(1, usize::from)
        .clamp(1, MAX_WORKERS);
    Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name(NAME.get().map_or("plugin", String::as_str))
        .enable_all()
        .build()
}

impl Work {
    /// Does the work in a task of its own, which nobody awaits.
    pub(super) fn spawn(self, work: impl Future<Output = ()> + Send + 'static) {
        let handle = self.0.clone();
        handle.spawn(async move {
            let _work = self;
            work.await;
        });
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let ended = {
            let mut state = state();
            state.work -= 1;
            if state.work == 0 && instances::is_empty() {
                state.runtime.take()
            } else {
                None
            }
        };
        // Without the lock, which tasks that end with the runtime take as well. This may be one of its own threads, so
        // nothing is waited for.
        if let Some(runtime) = ended {
            runtime.shutdown_background();
        }
    }
}
