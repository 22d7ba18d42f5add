//! What a server says that is for the operator: its standard error, its log messages, what it does wrong.

// Log messages leave the protocol with a release to come; servers have them.
#![expect(deprecated, reason = "servers of today send them")]

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use plugin_api::tracing;
use rmcp::model::LoggingLevel;

use crate::pace::{Pace, Passed};
use crate::words::Secrets;

/// Lines of the standard error that are kept, to explain an end.
const LINES_KEPT: usize = 5;

/// One server's lines in the host's log.
#[derive(Debug)]
pub(crate) struct Voice {
    server: String,
    secrets: Secrets,
    pace: Mutex<Pace>,
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Weight {
    Debug,
    Info,
    Warn,
    Error,
}

impl From<LoggingLevel> for Weight {
    fn from(level: LoggingLevel) -> Self {
        match level {
            LoggingLevel::Debug => Self::Debug,
            LoggingLevel::Info | LoggingLevel::Notice => Self::Info,
            LoggingLevel::Warning => Self::Warn,
            _ => Self::Error,
        }
    }
}

impl Voice {
    pub(crate) fn new(server: &str, secrets: Secrets) -> Self {
        Self {
            server: server.to_owned(),
            secrets,
            pace: Mutex::new(Pace::new()),
        }
    }

    /// The server's name.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// A line of the server's. One too many is left out, and counted before the next that is shown.
    pub(crate) fn line(&self, weight: Weight, from: &'static str, text: &str) {
        let passed = self
            .pace
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .line();
        let Passed::Shown { dropped } = passed else {
            return;
        };
        let server = self.server.as_str();
        if dropped > 0 {
            tracing::warn!(
                server,
                lines = dropped,
                "an MCP server says too much; lines were left out"
            );
        }
        let text = self.secrets.line(text);
        match weight {
            Weight::Debug => tracing::debug!(server, from, "{text}"),
            Weight::Info => tracing::info!(server, from, "{text}"),
            Weight::Warn => tracing::warn!(server, from, "{text}"),
            Weight::Error => tracing::error!(server, from, "{text}"),
        }
    }
}

/// The last lines of a process's standard error.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<VecDeque<String>>);

impl Tail {
    pub(crate) fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The lines, one after the other; none when there are none.
    pub(crate) fn text(&self) -> Option<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        (!lines.is_empty()).then(|| lines.join(" | "))
    }
}
