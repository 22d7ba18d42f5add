//! What a worker prints, as lines of the host's log.

use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio_util::sync::CancellationToken;

/// The longest line of what a worker prints; what is longer is cut into several.
const LINE_BYTES: u64 = 8 * 1024;

/// Lines that go to the log at once, and in a second after that; more are counted.
const LINES: u32 = 200;

/// How long what was printed before the end is waited for.
const LAST_LINES: Duration = Duration::from_millis(200);

/// Puts what a worker prints into the log, line by line, until it has ended. What is too much is counted.
pub(super) async fn log_output(
    output: PipeReader,
    plugin: String,
    pid: u32,
    ended: CancellationToken,
) {
    let receiver = match Receiver::from_owned_fd(OwnedFd::from(output)) {
        Ok(receiver) => receiver,
        Err(error) => {
            tracing::warn!(plugin, pid, %error, "what the worker prints cannot be read");
            return;
        }
    };
    let mut output = BufReader::new(receiver);
    let mut room = Room::new(Instant::now());
    let mut last_chance = false;
    let mut line = Vec::new();
    loop {
        let mut limited = (&mut output).take(LINE_BYTES);
        let reading = limited.read_until(b'\n', &mut line);
        let read = if last_chance {
            match tokio::time::timeout(LAST_LINES, reading).await {
                Ok(read) => read,
                // What is left open, a process has that the worker had started.
                Err(_elapsed) => break,
            }
        } else {
            // What was read so far stays in `line`.
            tokio::select! {
                read = reading => read,
                () = ended.cancelled() => {
                    last_chance = true;
                    continue;
                }
            }
        };
        match read {
            Ok(0) if line.is_empty() => break,
            Ok(_) => {}
            Err(_) => break,
        }
        let text = String::from_utf8_lossy(&line);
        match room.take(Instant::now()) {
            Take::Line => tracing::info!(plugin, pid, "printed: {}", text.trim_end()),
            Take::LineAfter(left_out) => {
                tracing::warn!(plugin, pid, left_out, "lines that it printed were left out");
                tracing::info!(plugin, pid, "printed: {}", text.trim_end());
            }
            Take::LeftOut => {}
        }
        line.clear();
    }
    if room.left_out > 0 {
        tracing::warn!(
            plugin,
            pid,
            left_out = room.left_out,
            "lines that it printed were left out"
        );
    }
}

/// How many lines may still be logged.
struct Room {
    lines: u32,
    since: Instant,
    left_out: u64,
}

#[derive(Debug, PartialEq)]
enum Take {
    Line,
    /// So many were left out before.
    LineAfter(u64),
    LeftOut,
}

impl Room {
    fn new(now: Instant) -> Self {
        Self {
            lines: LINES,
            since: now,
            left_out: 0,
        }
    }

    fn take(&mut self, now: Instant) -> Take {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            (self.lines, self.since) = (LINES, now);
        }
        if self.lines == 0 {
            self.left_out += 1;
            return Take::LeftOut;
        }
        self.lines -= 1;
        match std::mem::take(&mut self.left_out) {
            0 => Take::Line,
            left_out => Take::LineAfter(left_out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_lines_is_counted() {
        let begun = Instant::now();
        let mut room = Room::new(begun);
        for _ in 0..LINES {
            assert_eq!(room.take(begun), Take::Line);
        }
        assert_eq!(room.take(begun), Take::LeftOut);
        assert_eq!(room.take(begun), Take::LeftOut);
        let later = begun + Duration::from_secs(1);
        assert_eq!(room.take(later), Take::LineAfter(2));
        assert_eq!(room.take(later), Take::Line);
    }
}
