//! Servers that are started, and speak over their standard input and output.

use std::io;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use plugin_api::tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, BufReader, ReadBuf,
};
use plugin_api::tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use plugin_api::tokio::task::JoinHandle;
use plugin_api::tokio::time::timeout;
use plugin_api::{ChildGuard, InstanceContext, tokio};
use rmcp::service::RoleClient;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::config::Server;
use crate::lines::{Lines, STRAY_BYTES};
use crate::signals::Signals;
use crate::voice::{Tail, Weight};

/// The longest line of the standard error that is shown whole, in bytes.
const STDERR_LINE: u64 = 4096;

/// How long a process that was told to end may take: the guard ends it by force well before.
const END: Duration = Duration::from_secs(10);

/// How long the rest of a standard error is read once its process has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the SDK speaks through.
pub(crate) type StdioTransport = AsyncRwTransport<RoleClient, Reader, Writer>;

/// A server's process.
pub(crate) struct Process {
    guard: ChildGuard,
    /// Ends what is read from it and what is written to it, even while that hangs.
    cut: CancellationToken,
    stderr: JoinHandle<()>,
    tail: Arc<Tail>,
}

/// How a process has ended.
pub(crate) struct Ended {
    /// In a few words.
    pub(crate) how: String,
    /// The last that it wrote to its standard error.
    pub(crate) said: Option<String>,
}

/// Starts a server's program.
///
/// # Errors
///
/// It could not be started, with the reason.
pub(crate) fn start(
    ctx: &InstanceContext,
    server: &Server,
    program: &str,
    signals: &Arc<Signals>,
) -> Result<(StdioTransport, Process), String> {
    let mut command = ctx.child(program).args(&server.args);
    for (key, value) in &server.env {
        command = command.env(key, value.expose());
    }
    if let Some(cwd) = &server.cwd {
        command = command.current_dir(cwd);
    }
    if let Some(files) = &server.files {
        command = command.files(files.read.clone(), files.write.clone());
    }
    let child = command.spawn().map_err(|error| error.to_string())?;
    let cut = CancellationToken::new();
    let reader = Reader::new(child.stdout, &cut, server.max_message_bytes, signals);
    let writer = Writer::new(child.stdin, &cut);
    let tail = Arc::new(Tail::default());
    let stderr = tokio::spawn(listen(child.stderr, Arc::clone(signals), Arc::clone(&tail)));
    let transport = AsyncRwTransport::new_client(reader, writer)
        .with_max_line_length(server.max_message_bytes.saturating_add(2));
    let process = Process {
        guard: child.guard,
        cut,
        stderr,
        tail,
    };
    Ok((transport, process))
}

impl Process {
    /// Ends whatever is read from the process and written to it; it sees the end of its input.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }

    /// Waits until the process has ended, which it is made to unless it does so by itself within `grace`.
    pub(crate) async fn end(mut self, grace: Duration) -> Ended {
        let how = match timeout(grace, self.guard.wait()).await {
            Ok(Ok(status)) => how(status),
            Ok(Err(error)) => format!("its process cannot be waited for: {error}"),
            Err(_) => {
                self.cut();
                // Whatever code it ends with now, that is not why.
                match timeout(END, self.guard.wait()).await {
                    Ok(_) => "it has closed its standard output".to_owned(),
                    Err(_) => "its process does not end".to_owned(),
                }
            }
        };
        self.cut();
        if timeout(LAST_WORDS, &mut self.stderr).await.is_err() {
            self.stderr.abort();
        }
        Ended {
            how,
            said: self.tail.text(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.cut.cancel();
        self.stderr.abort();
    }
}

fn how(status: ExitStatus) -> String {
    match status.code() {
        // By the guard, as by shells.
        Some(code @ (126 | 127)) => format!("its program could not be started (exit code {code})"),
        Some(code) => format!("its process has ended with exit code {code}"),
        None => format!("its process has ended: {status}"),
    }
}

/// Reads a standard error, line by line, each at most [`STDERR_LINE`] long.
async fn listen(stderr: ChildStderr, signals: Arc<Signals>, tail: Arc<Tail>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut reader).take(STDERR_LINE);
        if limited.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let whole = line.ends_with(b"\n");
        let text = match limited.limit() > 0 {
            true => String::from_utf8_lossy(&line).into_owned(),
            false => signals.voice.secrets().beginning(&line),
        };
        let text = text.trim_end().to_owned();
        if !text.is_empty() {
            signals.voice.line(Weight::Info, "stderr", &text);
            tail.push(signals.voice.secrets().line(&text));
        }
        if !whole && !skip_line(&mut reader).await {
            return;
        }
    }
}

/// Skips the rest of a line; whether anything can follow it.
async fn skip_line(reader: &mut BufReader<ChildStderr>) -> bool {
    loop {
        let (taken, ended) = match reader.fill_buf().await {
            Ok([]) | Err(_) => return false,
            Ok(bytes) => match bytes.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (bytes.len(), false),
            },
        };
        reader.consume(taken);
        if ended {
            return true;
        }
    }
}

/// A standard output, up to what is too much: a line that is too long, or much that is no message.
pub(crate) struct Reader {
    inner: ChildStdout,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    lines: Lines,
    signals: Arc<Signals>,
    ended: bool,
}

impl Reader {
    fn new(
        inner: ChildStdout,
        cut: &CancellationToken,
        most: usize,
        signals: &Arc<Signals>,
    ) -> Self {
        Self {
            inner,
            cut: Box::pin(cut.clone().cancelled_owned()),
            lines: Lines::new(most),
            signals: Arc::clone(signals),
            ended: false,
        }
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        use std::future::Future;
        if self.ended || self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let this = &mut *self;
        let stray = |line: &[u8]| {
            let text = match line.len() < STRAY_BYTES {
                true => String::from_utf8_lossy(line),
                false => this.signals.voice.secrets().beginning(line).into(),
            };
            this.signals.voice.line(Weight::Warn, "stdout", &text);
        };
        if let Err(trouble) = this.lines.see(&buffer.filled()[before..], stray) {
            // The SDK would log an error of its own; for it, the output has just ended.
            this.signals.set_trouble(trouble);
            this.ended = true;
            buffer.set_filled(before);
        }
        Poll::Ready(Ok(()))
    }
}

/// A standard input, that can be closed while something is written to it.
pub(crate) struct Writer {
    inner: Option<ChildStdin>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Writer {
    fn new(inner: ChildStdin, cut: &CancellationToken) -> Self {
        Self {
            inner: Some(inner),
            cut: Box::pin(cut.clone().cancelled_owned()),
        }
    }

    fn inner(&mut self, cx: &mut Context<'_>) -> io::Result<Pin<&mut ChildStdin>> {
        use std::future::Future;
        if self.cut.as_mut().poll(cx).is_ready() {
            self.inner = None;
        }
        self.inner
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.inner(cx) {
            Ok(inner) => inner.poll_write(cx, bytes),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.inner(cx) {
            Ok(inner) => inner.poll_flush(cx),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner = None;
        Poll::Ready(Ok(()))
    }
}
