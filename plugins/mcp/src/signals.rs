//! What a connection tells those who look after it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// The latest.
    silence: Mutex<Option<Silence>>,
    trouble: Mutex<Option<String>>,
    pub(crate) voice: Arc<Voice>,
}

/// Calls that were given up, one after the other, without a word of the server.
#[derive(Clone, Copy, Debug)]
struct Silence {
    /// How many messages had come before.
    heard: u64,
    /// When the first of the calls had begun.
    since: Instant,
    /// Whether that was too long ago when the last was given up.
    is_too_long: bool,
}

impl Signals {
    pub(crate) fn new(voice: Arc<Voice>) -> Arc<Self> {
        Arc::new(Self {
            changed: Notify::new(),
            suspect: Notify::new(),
            closed: CancellationToken::new(),
            heard: AtomicU64::new(0),
            silence: Mutex::new(None),
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
        let mut silence = self.silence();
        let since = silence
            .filter(|silence| silence.heard == heard)
            .map_or(since, |silence| silence.since);
        let is_too_long = since.elapsed() >= most;
        *silence = Some(Silence {
            heard,
            since,
            is_too_long,
        });
        drop(silence);
        if is_too_long {
            self.suspect.notify_one();
        }
    }

    /// Whether that was so, and nothing has come since.
    pub(crate) fn is_deaf(&self) -> bool {
        let heard = self.heard();
        self.silence()
            .is_some_and(|silence| silence.heard == heard && silence.is_too_long)
    }

    fn silence(&self) -> MutexGuard<'_, Option<Silence>> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
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
