//! What a connection tells those who look after it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use plugin_api::tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::voice::Voice;

/// One connection's signals.
#[derive(Debug)]
pub(crate) struct Signals {
    /// The server's tools are others.
    pub(crate) changed: Notify,
    /// Something has failed, perhaps because the server is gone.
    pub(crate) suspect: Notify,
    /// The connection is over.
    pub(crate) closed: CancellationToken,
    /// Messages that have come.
    heard: AtomicU64,
    /// How many had come, and one more, when a call was given up to which the server had said nothing at all.
    unheard: AtomicU64,
    trouble: Mutex<Option<String>>,
    pub(crate) voice: Arc<Voice>,
}

impl Signals {
    pub(crate) fn new(voice: Arc<Voice>) -> Arc<Self> {
        Arc::new(Self {
            changed: Notify::new(),
            suspect: Notify::new(),
            closed: CancellationToken::new(),
            heard: AtomicU64::new(0),
            unheard: AtomicU64::new(0),
            trouble: Mutex::new(None),
            voice,
        })
    }

    /// A message has come.
    pub(crate) fn hear(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// How many have come so far.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// The oldest call was given up, which began when so many had come.
    pub(crate) fn gave_up(&self, heard: u64) {
        if self.heard() == heard {
            self.unheard.store(heard + 1, Ordering::Relaxed);
            self.suspect.notify_one();
        }
    }

    /// Whether such a call was the last that there was of the server.
    pub(crate) fn is_deaf(&self) -> bool {
        self.unheard.load(Ordering::Relaxed) == self.heard() + 1
    }

    /// Why the connection ends. The first reason counts.
    pub(crate) fn set_trouble(&self, reason: String) {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(reason);
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
