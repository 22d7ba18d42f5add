//! The stream below a connection, and when its client last took something.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

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
}

impl Wire {
    pub(super) fn new(stall: Duration) -> Self {
        let taken = Arc::new(Taken {
            begun: Instant::now(),
            last: AtomicU64::new(0),
        });
        Self { taken, stall }
    }

    /// When the system last took bytes for the client.
    pub(super) fn last_taken(&self) -> Instant {
        self.taken.begun + Duration::from_nanos(self.taken.last.load(Ordering::Relaxed))
    }
}

/// A client's stream that notes in its [`Wire`] when something was written.
#[derive(Debug)]
pub(super) struct WatchedStream {
    stream: TcpStream,
    taken: Arc<Taken>,
}

impl WatchedStream {
    /// Sets up a stream that was accepted.
    pub(super) fn new(stream: TcpStream, wire: &Wire) -> Self {
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
        }
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(1..)) = written {
            let since = self.taken.begun.elapsed().as_nanos();
            let since = u64::try_from(since).unwrap_or(u64::MAX);
            self.taken.last.store(since, Ordering::Relaxed);
        }
        written
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
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.note(written)
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
