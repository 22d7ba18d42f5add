//! What a request tells on the way to its answer, delivered from a task of the host's: never from inside a
//! plugin's `emit`, which would have one plugin wait for another.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plugin_api::abi::import::Sink;
use tokio::sync::Notify;

use super::services::Answer;

/// The most bytes of items that wait. A caller that takes them more slowly loses items, never the answer.
const MAX_WAITING: usize = 1024 * 1024;

/// The way of one request's items and its answer to whoever asked.
#[derive(Debug)]
pub(super) struct Items {
    sink: Sink,
    queue: Arc<ItemQueue>,
}

/// The items that wait; cheap to add to from anywhere.
#[derive(Debug, Default)]
pub(super) struct ItemQueue {
    waiting: Mutex<Waiting>,
    added: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<String>,
    bytes: usize,
    dropped: u64,
}

impl ItemQueue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item, JSON text.
    pub(super) fn push(&self, item: String) {
        let mut waiting = self.waiting();
        if waiting.bytes + item.len() > MAX_WAITING {
            waiting.dropped += 1;
            return;
        }
        waiting.bytes += item.len();
        waiting.items.push_back(item);
        drop(waiting);
        self.added.notify_one();
    }

    fn take(&self) -> VecDeque<String> {
        let mut waiting = self.waiting();
        waiting.bytes = 0;
        if waiting.dropped > 0 {
            tracing::warn!(
                dropped = waiting.dropped,
                "an agent takes a request's items too slowly"
            );
            waiting.dropped = 0;
        }
        std::mem::take(&mut waiting.items)
    }
}

impl Items {
    pub(super) fn new(sink: Sink, queue: Arc<ItemQueue>) -> Self {
        Self { sink, queue }
    }

    /// Delivers items while `work` goes on, those that are left when it is done, and then its answer.
    pub(super) async fn serve(self, work: impl Future<Output = Answer>) {
        tokio::pin!(work);
        let answer = loop {
            tokio::select! {
                answer = &mut work => break answer,
                () = self.queue.added.notified() => {
                    for item in self.queue.take() {
                        self.sink.item(&item);
                    }
                }
            }
        };
        for item in self.queue.take() {
            self.sink.item(&item);
        }
        self.sink.done(answer.as_deref().map_err(Clone::clone));
    }
}
