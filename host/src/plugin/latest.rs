//! The run for which a thread has emitted last. Nearly every event is of the same run as the one before it on its thread,
//! and then the table of scopes need not be asked, which costs more than all else that is done with a short event.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use super::library_host::RunScope;

/// Which library's table, by its address, and the scope in it. An address may be used again; a scope, which is random, is not.
type Key = (usize, u64);

thread_local! {
    /// Nothing is kept alive by this.
    static LATEST: RefCell<(Key, Weak<RunScope>)> = const { RefCell::new(((0, 0), Weak::new())) };
}

/// The run that a scope stands for, if this thread emitted for it last and it is not over.
pub(super) fn run(key: Key) -> Option<Arc<RunScope>> {
    let run = LATEST.try_with(|latest| {
        let latest = latest.try_borrow().ok()?;
        (latest.0 == key).then(|| latest.1.upgrade()).flatten()
    });
    // A thread that is ending has none.
    run.ok().flatten().filter(|run| !run.is_over())
}

/// This thread emits for the run that a scope stands for.
pub(super) fn note(key: Key, run: &Arc<RunScope>) {
    let _ = LATEST.try_with(|latest| {
        if let Ok(mut latest) = latest.try_borrow_mut() {
            *latest = (key, Arc::downgrade(run));
        }
    });
}
