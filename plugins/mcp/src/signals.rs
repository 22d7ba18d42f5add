//! What a connection tells those who look after it.

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
    trouble: Mutex<Option<String>>,
    pub(crate) voice: Arc<Voice>,
}

impl Signals {
    pub(crate) fn new(voice: Arc<Voice>) -> Arc<Self> {
        Arc::new(Self {
            changed: Notify::new(),
            suspect: Notify::new(),
            closed: CancellationToken::new(),
            trouble: Mutex::new(None),
            voice,
        })
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
