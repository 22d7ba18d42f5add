//! What a connection tells those who look after it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plugin_api::tokio::sync::Notify;
use plugin_api::tokio::time::Instant;
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
    /// How many had come, and since when a call had waited, when the first was given up after that.
    silent: Mutex<Option<(u64, Instant)>>,
    /// How many had come, and one more, when it was silent for too long.
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
            silent: Mutex::new(None),
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

    /// The oldest call was given up, which had begun at this time, when so many had come. In calls, one after the other, to
    /// which the server says nothing for longer than `most`, it has shown that it hears nothing.
    pub(crate) fn gave_up(&self, heard: u64, since: Instant, most: Duration) {
        if self.heard() != heard {
            return;
        }
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        let since = silent
            .filter(|(at, _)| *at == heard)
            .map_or(since, |(_, since)| since);
        *silent = Some((heard, since));
        if since.elapsed() >= most {
            self.unheard.store(heard + 1, Ordering::Relaxed);
            self.suspect.notify_one();
        }
    }

    /// Whether that was so, and nothing has come since.
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
