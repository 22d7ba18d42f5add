//! Events of a worker that pass mappers, which may take long: each run's on a thread of its own, so that no other run
//! waits for them. What follows them in a run follows them here.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// Bytes that wait for a run's mappers. When there are more, whoever reads from the worker waits, and the worker with it.
const LANE_BYTES: usize = 1 << 20;

/// How often whoever waits for room looks whether the run is over.
const LOOK: Duration = Duration::from_millis(10);

/// The runs whose events pass mappers, by their scopes.
pub(super) struct Lanes {
    open: HashMap<u64, Arc<Lane>>,
    /// Those that nothing is added to and that may still be worked on.
    closed: Vec<Arc<Lane>>,
    runtime: Handle,
}

#[derive(Default)]
struct Lane {
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// Whether a thread works on them.
    working: bool,
}

impl Lane {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next frame; with the last one the thread's work is over.
    fn next(&self) -> Option<Box<[u8]>> {
        let mut state = self.state();
        let frame = state.frames.pop_front();
        match &frame {
            Some(frame) => state.bytes -= frame.len(),
            None => state.working = false,
        }
        drop(state);
        self.room.notify_all();
        frame
    }
}

impl Lanes {
    pub(super) fn new(runtime: Handle) -> Self {
        Self {
            open: HashMap::new(),
            closed: Vec::new(),
            runtime,
        }
    }

    /// Whether frames of this scope have to go this way.
    pub(super) fn has(&self, scope: u64) -> bool {
        !self.open.is_empty() && self.open.contains_key(&scope)
    }

    /// Nothing of this scope follows.
    pub(super) fn close(&mut self, scope: u64) {
        self.closed.retain(|lane| lane.state().working);
        self.closed.extend(self.open.remove(&scope));
    }

    /// Waits until all is delivered, but no longer than this.
    pub(super) fn settle(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        for lane in self.open.values().chain(&self.closed) {
            let left = until.saturating_duration_since(Instant::now());
            let state = lane.state();
            // Whether in time or not, what is left is then for nobody.
            let _ = lane
                .room
                .wait_timeout_while(state, left, |state| state.working);
        }
    }

    /// Has `deliver` called with the frame, after it was with all before it of the same scope. False if that would be
    /// to no purpose, for the run `is_over` meanwhile.
    pub(super) fn push(
        &mut self,
        scope: u64,
        frame: &[u8],
        is_over: impl Fn() -> bool,
        deliver: impl FnMut(&[u8]) + Send + 'static,
    ) -> bool {
        let lane = Arc::clone(self.open.entry(scope).or_default());
        let mut state = lane.state();
        loop {
            if is_over() {
                return false;
            }
            if state.bytes < LANE_BYTES {
                break;
            }
            (state, _) = lane
                .room
                .wait_timeout(state, LOOK)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.bytes += frame.len();
        state.frames.push_back(frame.into());
        if !std::mem::replace(&mut state.working, true) {
            drop(state);
            let mut deliver = deliver;
            // Nobody waits for it: it ends with the mappers' call, and one that does not return nobody can end.
            self.runtime.spawn_blocking(move || {
                while let Some(frame) = lane.next() {
                    deliver(&frame);
                }
            });
        }
        true
    }
}
