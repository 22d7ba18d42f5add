//! Counts who is using a library copy, so that its instances end only when nobody does.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Lets users in until it is closed, and knows when the last one has left.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct State {
    users: usize,
    closed: bool,
}

/// One user's leave to be inside; dropping it is leaving.
#[derive(Debug)]
pub(crate) struct Pass(Arc<Gate>);

impl Gate {
    /// `None` once the gate is closed.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Pass> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return None;
        }
        state.users += 1;
        Some(Pass(Arc::clone(self)))
    }

    /// How many are inside.
    pub(crate) fn users(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.users
    }

    /// Lets nobody in any more and waits until the last one has left.
    ///
    /// # Cancel safety
    ///
    /// Safe: the gate stays closed, and waiting can be taken up again.
    pub(crate) async fn close_and_empty(&self) {
        loop {
            // Made before looking, so that leaving in between is not missed.
            let emptied = self.emptied.notified();
            {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.closed = true;
                if state.users == 0 {
                    return;
                }
            }
            emptied.await;
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.users -= 1;
        if state.users == 0 {
            self.0.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_empty_when_the_last_user_has_left() {
        let gate = Arc::new(Gate::default());
        let first = gate.enter().unwrap();
        let second = gate.enter().unwrap();
        let closing = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.close_and_empty().await }
        });
        while gate.enter().is_some() {
            tokio::task::yield_now().await;
        }
        drop(first);
        assert!(gate.enter().is_none());
        assert!(!closing.is_finished());
        drop(second);
        closing.await.unwrap();
        gate.close_and_empty().await;
    }
}
