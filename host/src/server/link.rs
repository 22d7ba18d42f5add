//! One WebSocket's frames: reading them, writing them, heartbeats, pings and the close, and how long each may take.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_util::sync::CancellationToken;

use super::handshake::Socket;
use super::pulse::{self, Pulse};
use super::wire::Wire;
use crate::config::Heartbeat;
use crate::connection::Connection;
use crate::metrics::Metrics;
use crate::protocol::CloseCode;
use crate::protocol::frames::Frames;

/// How long the other side may take to answer a close.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// A socket and its writing side.
pub(super) struct Link {
    socket: Socket,
    /// What a write that was given up has left; nothing else may go out before it, for it may begin inside a frame.
    unwritten: Frames,
    pub(super) last_sent: Instant,
    /// Not after a frame whose header alone was read.
    pub(super) is_readable: bool,
    /// Whether the socket holds nothing that it has read and not handed out.
    is_read_up: bool,
    pulse: Pulse,
    bounds: Bounds,
    metrics: Arc<Metrics>,
}

/// How long a write may take.
struct Bounds {
    wire: Wire,
    closing: CancellationToken,
    /// When the host ends: until when everything must be written.
    deadline: Option<Instant>,
}

/// What the time has come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A heartbeat: nothing was sent for its interval.
    Heartbeat,
    /// A ping: nothing was heard for its time.
    Ping,
    /// The client's end: it did not answer the ping.
    Dead,
}

impl Link {
    pub(super) fn new(
        socket: Socket,
        wire: Wire,
        closing: CancellationToken,
        heartbeat: &Heartbeat,
        metrics: Arc<Metrics>,
    ) -> Self {
        // A client of this protocol is told why it is let go of.
        wire.judge_elsewhere();
        let now = Instant::now();
        Self {
            socket,
            unwritten: Frames::default(),
            last_sent: now,
            is_readable: true,
            is_read_up: false,
            pulse: Pulse::new(heartbeat, now),
            bounds: Bounds {
                wire,
                closing,
                deadline: None,
            },
            metrics,
        }
    }

    /// The next frame of the client, the end of the connection, or what broke it. Cancel safe.
    pub(super) async fn hear(&mut self) -> Option<Result<Message, SocketError>> {
        poll_fn(|cx| self.poll_hear(cx)).await
    }

    /// Likewise, as a poll.
    pub(super) fn poll_hear(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, SocketError>>> {
        // The socket is asked only when there is something for it to read: asking it costs more than sending an event.
        if self.is_read_up && self.socket.get_ref().poll_read_ready(cx).is_pending() {
            return Poll::Pending;
        }
        let polled = self.socket.poll_next_unpin(cx);
        self.is_read_up = polled.is_pending();
        if polled.is_ready() {
            self.pulse.heard(Instant::now());
        }
        polled
    }

    /// Writes what the socket itself has to say. `Err` as [`Link::write`].
    pub(super) async fn flush(&mut self) -> Result<(), Option<CloseCode>> {
        self.bounds.keep(self.socket.flush()).await
    }

    /// When something is due next, if nothing is sent or heard until then.
    pub(super) fn due_at(&self, heartbeat: Duration) -> Instant {
        let beat = self.last_sent + heartbeat;
        self.pulse.due().map_or(beat, |(_, at)| at.min(beat))
    }

    /// What is due now.
    pub(super) fn due(&self, heartbeat: Duration, now: Instant) -> Option<Due> {
        match self.pulse.due() {
            Some((pulse::Due::Dead, at)) if at <= now => Some(Due::Dead),
            Some((pulse::Due::Ping, at)) if at <= now => Some(Due::Ping),
            _ if self.last_sent + heartbeat <= now => Some(Due::Heartbeat),
            _ => None,
        }
    }

    /// Asks the client for a sign of life. `Err` as [`Link::write`].
    pub(super) async fn ping(&mut self) -> Result<(), Option<CloseCode>> {
        let ping = self.socket.send(Message::Ping(Bytes::new()));
        self.bounds.keep(ping).await?;
        self.pulse.pinged(Instant::now());
        Ok(())
    }

    /// Writes all frames and flushes once. `Err` holds what to close with, if the client can still be told.
    ///
    /// However much there is, it may take its time while the client takes some of it, until the host ends.
    pub(super) async fn write(&mut self, frames: &mut Frames) -> Result<(), Option<CloseCode>> {
        if frames.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        self.unwritten.append(frames);
        let (count, bytes) = (self.unwritten.count(), self.unwritten.remaining());
        let writing = write_through(&mut self.socket, &mut self.unwritten);
        self.bounds.keep(writing).await?;
        self.last_sent = Instant::now();
        self.metrics.sent(count, bytes as u64);
        self.pulse.away(begun, self.last_sent);
        Ok(())
    }

    /// Waits for `work` and sends heartbeats (`beat`) meanwhile: a message may take long to be looked at and saved, and the
    /// connection must not seem dead for it. Nothing is read meanwhile: a client that closes is noticed afterwards,
    /// which is bounded as the work is (each call of the store has its limit, and there are few).
    pub(super) async fn while_beating<T>(
        &mut self,
        heartbeat: Duration,
        beat: Bytes,
        work: impl Future<Output = T>,
    ) -> Result<T, Option<CloseCode>> {
        tokio::pin!(work);
        let begun = Instant::now();
        loop {
            tokio::select! {
                // After a heartbeat the work goes on where it was.
                done = &mut work => {
                    self.pulse.away(begun, Instant::now());
                    return Ok(done);
                }
                () = sleep_until(self.last_sent + heartbeat) => {
                    let mut out = Frames::default();
                    out.push(&beat);
                    self.write(&mut out).await?;
                }
            }
        }
    }

    /// Writes what the run has left for the client, then answers `close`.
    pub(super) async fn finish(
        &mut self,
        connection: &mut Connection,
        mut out: Frames,
        close: CloseCode,
    ) -> Option<CloseCode> {
        loop {
            let Ok(more) = connection.pump(&mut out) else {
                return Some(CloseCode::TooSlow);
            };
            let has_work = connection.has_work();
            if has_work {
                connection.work(&mut out).await;
            }
            if let Err(end) = self.write(&mut out).await {
                return end;
            }
            if !more && !has_work {
                return Some(close);
            }
        }
    }

    /// Answers a frame over the limit, which ends the connection.
    pub(super) async fn too_large(&mut self, answer: Bytes) -> Option<CloseCode> {
        let mut out = Frames::default();
        out.push(&answer);
        match self.write(&mut out).await {
            Ok(()) => Some(CloseCode::FrameTooLarge),
            Err(end) => end,
        }
    }

    /// Answers the client's close. The library has made the answer and writes it with the next read.
    pub(super) async fn answer_close(&mut self) {
        // A client that is gone needs no answer.
        let _ = timeout(CLOSE_WAIT, self.socket.next()).await;
    }

    /// Closes, and gives the client a moment to read what it was sent before the connection goes.
    pub(super) async fn close(&mut self, close: CloseCode) {
        let frame = CloseFrame {
            code: close.code().into(),
            reason: close.reason().as_ref().into(),
        };
        let closing = async {
            write_through(&mut self.socket, &mut self.unwritten).await?;
            self.socket.send(Message::Close(Some(frame))).await?;
            if !self.is_readable {
                // Ending the connection with something unread in it resets it, which may cost the client what it
                // has not read yet.
                std::future::pending::<()>().await;
            }
            while let Some(Ok(_)) = self.socket.next().await {}
            Ok::<(), SocketError>(())
        };
        // A client that does not answer, or is gone, needs no more care.
        let _ = timeout(CLOSE_WAIT, closing).await;
    }
}

/// Writes what the socket itself has to say (a pong), then the frames, as they are, and leaves none. Dropped before, it has
/// taken those off that are written.
async fn write_through(socket: &mut Socket, frames: &mut Frames) -> Result<(), SocketError> {
    socket.flush().await?;
    let stream = socket.get_mut();
    // One piece is the rule, and needs no list of pieces.
    while frames.chunk().len() == frames.remaining() && frames.has_remaining() {
        let written = stream.write(frames.chunk()).await?;
        if written == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::WriteZero).into());
        }
        frames.advance(written);
    }
    stream.write_all_buf(frames).await?;
    Ok(())
}

impl Bounds {
    /// Waits for a write while the client takes some of it. `Err` as [`Link::write`].
    async fn keep(
        &mut self,
        writing: impl Future<Output = Result<(), SocketError>>,
    ) -> Result<(), Option<CloseCode>> {
        let lost = |error: SocketError| {
            tracing::debug!(%error, "connection lost");
            None
        };
        let mut writing = pin!(writing);
        // Nearly always that is all.
        let at_once = poll_fn(|cx| Poll::Ready(writing.as_mut().poll(cx)));
        if let Poll::Ready(written) = at_once.await {
            return written.map_err(lost);
        }
        let mut last_taken = Instant::now();
        loop {
            let stalled_at = last_taken + self.wire.stall;
            tokio::select! {
                biased;
                written = &mut writing => return written.map_err(lost),
                () = self.closing.cancelled(), if self.deadline.is_none() => {
                    self.deadline = Some(Instant::now() + self.wire.stall);
                }
                () = sleep_until(self.deadline.unwrap_or(stalled_at).min(stalled_at)) => {
                    let taken = self.wire.last_taken();
                    if taken <= last_taken || self.deadline.is_some_and(|end| end <= Instant::now()) {
                        return Err(Some(CloseCode::TooSlow));
                    }
                    last_taken = taken;
                }
            }
        }
    }
}
