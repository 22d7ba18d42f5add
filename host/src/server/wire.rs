//! The stream below a connection, and when its client last took something.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

/// How much of what the client has not taken the system holds for it, in bytes. Without a bound the system takes
/// megabytes ahead of a slow client and then nothing for minutes, while the client reads all the time.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 16 * 1024;

/// What a connection's handler may know of the stream below it.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    taken: Arc<Taken>,
    /// How long the client may take nothing of what is being written.
    pub(super) stall: Duration,
}

#[derive(Debug)]
struct Taken {
    begun: Instant,
    /// Nanoseconds since then.
    last: AtomicU64,
    /// Whether somebody else lets go of a client that takes nothing.
    judged_elsewhere: AtomicBool,
}

impl Wire {
    pub(super) fn new(stall: Duration) -> Self {
        let taken = Arc::new(Taken {
            begun: Instant::now(),
            last: AtomicU64::new(0),
            judged_elsewhere: AtomicBool::new(false),
        });
        Self { taken, stall }
    }

    /// From now on the stream lets nobody go: the caller does, who can say why.
    pub(super) fn judge_elsewhere(&self) {
        self.taken.judged_elsewhere.store(true, Ordering::Relaxed);
    }

    /// When the system last took bytes for the client.
    pub(super) fn last_taken(&self) -> Instant {
        self.taken.begun + Duration::from_nanos(self.taken.last.load(Ordering::Relaxed))
    }
}

/// A client's stream that notes in its [`Wire`] when something was written.
///
/// A client that takes nothing of an answer for the time of a stall, or is not done with it that long after the host has
/// begun to send clients away, is let go of: writing fails. So it is with answers of any length, and an endless one too.
#[derive(Debug)]
pub(super) struct WatchedStream {
    stream: TcpStream,
    taken: Arc<Taken>,
    stall: Duration,
    /// Runs while nothing can be written.
    stalling: Option<Pin<Box<Sleep>>>,
    closing: CancellationToken,
    /// When the host ends: until when everything must be written.
    deadline: Option<Instant>,
}

impl WatchedStream {
    /// Sets up a stream that was accepted.
    pub(super) fn new(stream: TcpStream, wire: &Wire, closing: CancellationToken) -> Self {
        // A frame is small and somebody waits for it: it must not be held back until the one before it is
        // acknowledged.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        #[cfg(target_os = "linux")]
        if let Err(error) = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT) {
            tracing::debug!(%error, "TCP_NOTSENT_LOWAT could not be set");
        }
        Self {
            stream,
            taken: Arc::clone(&wire.taken),
            stall: wire.stall,
            stalling: None,
            closing,
            deadline: None,
        }
    }

    /// Whether something may be there to be read; the task is woken when it is.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(cx)
    }

    /// Notes what was written, and fails when the client is to be let go of.
    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(1..)) = written {
            let since = self.taken.begun.elapsed().as_nanos();
            let since = u64::try_from(since).unwrap_or(u64::MAX);
            self.taken.last.store(since, Ordering::Relaxed);
        }
        if self.taken.judged_elsewhere.load(Ordering::Relaxed) {
            return written;
        }
        if self.deadline.is_none() && self.closing.is_cancelled() {
            self.deadline = Some(Instant::now() + self.stall);
        }
        if self.deadline.is_some_and(|end| end <= Instant::now()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if written.is_ready() {
            self.stalling = None;
            return written;
        }
        let stall = self.stall;
        let stalling = self.stalling.get_or_insert_with(|| Box::pin(sleep(stall)));
        stalling
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
