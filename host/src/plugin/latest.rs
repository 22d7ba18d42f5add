//! The run for which a thread emits one event after the other. Then the table of scopes need not be asked for each, which
//! costs more than all else that is done with a short event.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use super::entry::RunScope;

/// Which library's table, by its address, and the scope in it. An address may be used again; a scope, which is random, is not.
type Key = (usize, u64);

struct Latest {
    key: Key,
    /// Nothing is kept alive by this. Empty until the thread emits for the run a second time in a row: one that serves many
    /// runs in turn would only pay for it.
    run: Weak<RunScope>,
}

thread_local! {
    static LATEST: RefCell<Latest> = const { RefCell::new(Latest { key: (0, 0), run: Weak::new() }) };
}

/// The run that a scope stands for, if this thread emitted for it last and it is not over.
pub(super) fn run(key: Key) -> Option<Arc<RunScope>> {
    let run = LATEST.try_with(|latest| {
        let latest = latest.try_borrow().ok()?;
        (latest.key == key).then(|| latest.run.upgrade()).flatten()
    });
    // A thread that is ending has none.
    run.ok().flatten().filter(|run| !run.is_over())
}

/// This thread emits for the run that a scope stands for.
pub(super) fn note(key: Key, run: &Arc<RunScope>) {
    let _ = LATEST.try_with(|latest| {
        if let Ok(mut latest) = latest.try_borrow_mut() {
            if latest.key == key {
                latest.run = Arc::downgrade(run);
            } else {
                latest.key = key;
                if latest.run.strong_count() > 0 {
                    latest.run = Weak::new();
                }
            }
        }
    });
}
