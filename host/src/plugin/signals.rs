//! What a library is told: calls that it is to return from at once, and that nobody waits for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use plugin_api::abi::import::{Answers, ServiceFailure, Sink};
use tokio::runtime::Handle;

/// Calls that may wait. A library that takes none of them is stuck, and its runs are given up by the clock.
const KEPT: usize = 65_536;

/// The calls of one library copy. They are made one after the other, in their order, on a thread that may block: one
/// that does not return holds up those behind it, of the same copy, and nobody else.
#[derive(Clone, Default)]
pub(crate) struct Signals(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Call>,
    /// Whether a thread is at it.
    busy: bool,
}

type Call = Box<dyn FnOnce() + Send>;

impl Signals {
    /// Has a call made. Returns at once.
    pub(crate) fn send(&self, call: impl FnOnce() + Send + 'static) {
        {
            let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.waiting.len() >= KEPT {
                // Not dropped: what it holds may call the library as it goes.
                std::mem::forget(call);
                return;
            }
            queue.waiting.push_back(Box::new(call));
            if std::mem::replace(&mut queue.busy, true) {
                return;
            }
        }
        let calls = self.clone();
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || calls.make())),
            // Whoever drops a run where there is no runtime can wait.
            Err(_) => calls.make(),
        }
    }

    /// A sink whose answers are told the library in the same way, if they are calls of its functions.
    pub(crate) fn behind(&self, sink: Sink) -> Sink {
        if !sink.calls_a_library() {
            return sink;
        }
        Sink::to(Box::new(Told {
            signals: self.clone(),
            sink: Arc::new(sink),
        }))
    }

    /// Makes all calls that wait.
    fn make(&self) {
        loop {
            let call = {
                let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let next = queue.waiting.pop_front();
                queue.busy = next.is_some();
                next
            };
            match call {
                Some(call) => call(),
                None => return,
            }
        }
    }
}

/// The answers to one request.
struct Told {
    signals: Signals,
    sink: Arc<Sink>,
}

impl Answers for Told {
    fn item(&self, json: &str) {
        let (sink, json) = (Arc::clone(&self.sink), json.to_owned());
        self.signals.send(move || sink.item(&json));
    }

    fn done(self: Box<Self>, result: Result<&str, ServiceFailure>) {
        let (sink, result) = (self.sink, result.map(str::to_owned));
        self.signals.send(move || {
            // The items before it were told, and let go of it.
            if let Some(sink) = Arc::into_inner(sink) {
                sink.done(result.as_deref().map_err(Clone::clone));
            }
        });
    }
}
