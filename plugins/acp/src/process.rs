//! The process of an agent: starting it, what it complains of, and its end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::tokio;
use plugin_api::tokio::io::AsyncReadExt;
use plugin_api::tokio::process::ChildStderr;
use plugin_api::tokio::sync::watch;
use plugin_api::{Child, ChildCommand, ChildError, ChildGuard, tracing};
use tokio_util::task::TaskTracker;

use crate::mask::{Line, Mask};
use crate::wire::Wire;

/// How much of what it has complained of last is kept.
const LAST_LINES: usize = 12;
/// The longest line that is shown whole.
const LINE_BYTES: usize = 300;
/// What begins a line of the guard's.
const GUARD: &str = "roundhouse child-guard: ";
/// How long the end of a process is waited for that has closed its output. Its guard ends it sooner.
const END_WAIT: Duration = Duration::from_secs(6);

/// How long the rest of its standard error is read once it is gone.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a process ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// How, in words.
    pub(crate) how: String,
    /// The program could not be started at all.
    pub(crate) not_started: bool,
    /// The last lines of its standard error, without secrets.
    pub(crate) complaints: String,
}

impl Ended {
    /// Both, for people.
    pub(crate) fn text(&self) -> String {
        match self.complaints.is_empty() {
            true => self.how.clone(),
            false => format!("{}. Its last words:\n{}", self.how, self.complaints),
        }
    }
}

/// A process, and what is to be said to it.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) wire: Wire,
    ended: watch::Receiver<Option<Ended>>,
}

impl Process {
    /// Starts one. A task in `tasks` sees to its end, and calls `at_end` then. What `mask` hides is not shown.
    pub(crate) fn start(
        command: &ChildCommand,
        tasks: &TaskTracker,
        mask: &Arc<Mask>,
        at_end: impl FnOnce() + Send + 'static,
    ) -> Result<Self, ChildError> {
        let Child {
            stdin,
            stdout,
            stderr,
            guard,
            ..
        } = command.spawn()?;
        let (sender, ended) = watch::channel(None);
        let complaints = Complaints::new(mask);
        tasks.spawn(async move {
            let end = watch_over(stderr, guard, complaints).await;
            tracing::debug!("the program has ended: {}", end.how);
            sender.send_replace(Some(end));
            at_end();
        });
        Ok(Self {
            wire: Wire::new(stdin, stdout, Arc::clone(mask)),
            ended,
        })
    }

    /// Whether it is known to have ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Ends it, and waits until it is gone.
    pub(crate) async fn end(&mut self) -> Ended {
        self.wire.hang_up();
        let waited = tokio::time::timeout(END_WAIT, self.ended.wait_for(Option::is_some)).await;
        match waited {
            Ok(Ok(ended)) => ended.clone(),
            _ => None,
        }
        .unwrap_or_else(|| Ended {
            how: "it does not end".to_owned(),
            not_started: false,
            complaints: String::new(),
        })
    }
}

/// Reads what it complains of, logs it, and keeps the last of it, until it is gone.
async fn watch_over(
    mut stderr: ChildStderr,
    mut guard: ChildGuard,
    mut complaints: Complaints,
) -> Ended {
    let status = {
        let reading = async {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
                complaints.push(&buffer[..count]);
            }
        };
        tokio::pin!(reading);
        tokio::select! {
            status = guard.wait() => {
                // It has no end where somebody has got away with it.
                let _ = tokio::time::timeout(LAST_WORDS, reading).await;
                status
            }
            () = &mut reading => guard.wait().await,
        }
    };
    complaints.end_line();
    let code = status
        .as_ref()
        .ok()
        .and_then(std::process::ExitStatus::code);
    let how = match (status, code) {
        (Err(error), _) => format!("its end is not known: {error}"),
        (Ok(_), Some(code @ 129..=192)) => format!("it was ended by signal {}", code - 128),
        (Ok(_), Some(code)) => format!("it ended with exit code {code}"),
        (Ok(status), None) => format!("its guard ended: {status}"),
    };
    Ended {
        how,
        not_started: matches!(code, Some(126 | 127)),
        complaints: complaints.text(),
    }
}

/// The last lines of a stream that never ends and may have no lines.
#[derive(Debug)]
struct Complaints {
    lines: VecDeque<String>,
    line: Line,
    mask: Arc<Mask>,
}

impl Complaints {
    fn new(mask: &Arc<Mask>) -> Self {
        Self {
            lines: VecDeque::new(),
            line: Line::default(),
            mask: Arc::clone(mask),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                byte => self.line.push(*byte),
            }
        }
    }

    fn end_line(&mut self) {
        let line = self.mask.line(&self.line.take(), LINE_BYTES);
        if line.is_empty() {
            return;
        }
        match line.starts_with(GUARD) {
            true => tracing::warn!(target: "roundhouse_acp::stderr", "{line}"),
            false => tracing::debug!(target: "roundhouse_acp::stderr", "{line}"),
        }
        if self.lines.len() == LAST_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    fn text(self) -> String {
        Vec::from(self.lines).join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept() {
        let mut complaints = Complaints::new(&Arc::default());
        for number in 0..100 {
            complaints.push(format!("line {number}\n\n").as_bytes());
        }
        complaints.push(&[b'x'; 10 * LINE_BYTES]);
        complaints.end_line();
        let text = complaints.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), LAST_LINES);
        assert_eq!(lines[LAST_LINES - 2], "line 99");
        assert_eq!(lines[LAST_LINES - 1].trim_matches('x'), "…");
        assert_eq!(lines[LAST_LINES - 1].matches('x').count(), LINE_BYTES);
    }
}
