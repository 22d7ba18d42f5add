//! Version 1 of the protocol.
//!
//! A connection is idle or watches one run. While it watches, the client's frames wait and are handled in order
//! after the run; idle, they are answered at once.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::desk::{Desk, Refusal};
use super::{ClientFrame, REPLAY_BYTES};
use crate::protocol::frames::Frames;
use crate::protocol::server::ControlFrame;
use crate::protocol::{ClientRequest, ErrorCode, Version, errors};
use crate::run::{Cursor, Progress, Replay, Trimmed};

/// How many frames of a client wait while it watches a run (fixed by the wire contract).
pub const MAX_WAITING: usize = 16;

/// See the module.
pub struct Conversation {
    desk: Desk,
    watching: Option<Watching>,
    waiting: VecDeque<ClientFrame>,
    waiting_bytes: usize,
}

struct Watching {
    cursor: Cursor,
    /// Whether the connection found the run in progress; then `session_sync` follows it.
    attached: bool,
    /// What is left of what it missed.
    replay: Option<Replay>,
}

impl Conversation {
    /// Begins a conversation: `out` gets the replay of the run in progress, or `session_sync`.
    ///
    /// Cancel safe.
    pub(super) async fn open(desk: Desk, out: &mut Frames) -> Self {
        let mut watching = None;
        match desk.session.attach().await {
            None => out.push(&ControlFrame::SessionSync.frame_v1()),
            Some(found) => {
                out.push(&found.start);
                desk.context.metrics.replayed(found.replay.len());
                let mut replay = None;
                if !found.replay.is_empty() {
                    let count = found.replay.len() as u64;
                    out.push(&ControlFrame::ReplayStart { count }.frame_v1());
                    replay = Some(found.replay);
                }
                watching = Some(Watching {
                    cursor: found.cursor,
                    attached: true,
                    replay,
                });
            }
        }
        Self {
            desk,
            watching,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Whether [`Conversation::pump`] has something to do.
    pub(super) fn is_ready(&self, events: u64) -> bool {
        self.watching
            .as_ref()
            .is_some_and(|watching| watching.replay.is_some() || watching.cursor.is_ready(events))
    }

    /// Ready when [`Conversation::pump`] has something to do; never while idle.
    pub(super) fn poll_ready(&mut self, cx: &Context<'_>, events: u64) -> Poll<()> {
        match &mut self.watching {
            Some(watching) => watching.cursor.poll_ready(cx, events),
            None => Poll::Pending,
        }
    }

    /// What was pumped out is written; answers how long a sampled event of it took.
    pub(super) fn written(&mut self, now: Instant) -> Option<Duration> {
        self.watching.as_mut()?.cursor.written(now)
    }

    /// Takes a frame of the client. What there is to answer at once goes to `out`.
    ///
    /// Not cancel safe: the frame could be lost.
    pub(super) async fn receive(&mut self, frame: ClientFrame, out: &mut Frames) {
        if self.watching.is_none() {
            return self.handle(frame, out).await;
        }
        let bytes = self.waiting_bytes + frame.size();
        if self.waiting.len() >= MAX_WAITING || bytes > self.desk.context.limits.waiting_bytes {
            return out.push(&error(errors::BUSY));
        }
        self.waiting_bytes = bytes;
        self.waiting.push_back(frame);
    }

    /// Whether the client is being given what it missed; nothing else may be sent meanwhile.
    pub(super) fn is_replaying(&self) -> bool {
        matches!(
            &self.watching,
            Some(Watching {
                replay: Some(_),
                ..
            })
        )
    }

    /// Appends the frames of the run that are ready to `out`. Answers whether there is more.
    ///
    /// # Errors
    ///
    /// [`Trimmed`] when the client has fallen too far behind to be given every event.
    pub(super) fn pump(&mut self, out: &mut Frames) -> Result<bool, Trimmed> {
        let Some(watching) = &mut self.watching else {
            return Ok(false);
        };
        if let Some(replay) = &mut watching.replay {
            if !replay.pump(REPLAY_BYTES, out) {
                watching.replay = None;
                out.push(&ControlFrame::ReplayEnd.frame_v1());
            }
            return Ok(true);
        }
        let progress = watching.cursor.read(out)?;
        self.desk.count(watching.cursor.take_counts());
        match progress {
            Progress::More => return Ok(true),
            Progress::CaughtUp => return Ok(false),
            Progress::Ended => {}
        }
        if watching.attached {
            out.push(&ControlFrame::SessionSync.frame_v1());
        }
        self.watching = None;
        Ok(false)
    }

    /// Whether frames of the client wait that can be handled now.
    pub(super) fn has_work(&self) -> bool {
        self.watching.is_none() && !self.waiting.is_empty()
    }

    /// Handles the client's frames that waited for the end of a run, up to one that begins another.
    ///
    /// Not cancel safe.
    pub(super) async fn work(&mut self, out: &mut Frames) {
        while self.watching.is_none()
            && let Some(frame) = self.waiting.pop_front()
        {
            self.waiting_bytes -= frame.size();
            self.handle(frame, out).await;
        }
    }

    /// Handles a frame while no run is watched.
    async fn handle(&mut self, frame: ClientFrame, out: &mut Frames) {
        match self.start(frame).await {
            Ok(cursor) => {
                self.watching = Some(Watching {
                    cursor,
                    attached: false,
                    replay: None,
                })
            }
            Err(refusal) => {
                tracing::debug!(session = %self.desk.session.id(), ?refusal, "frame refused");
                out.push(&error(&refusal.text));
            }
        }
    }

    async fn start(&self, frame: ClientFrame) -> Result<Cursor, Refusal> {
        let request = self.desk.read(frame, Version::V1);
        let request = request.map_err(|unreadable| Refusal::from(&unreadable))?;
        let ClientRequest::Message(message, _) = request else {
            return Err(Refusal::new(
                ErrorCode::InvalidMessage,
                errors::INVALID_MESSAGE,
            ));
        };
        let message = self.desk.guard(message).await?;
        let session = self.desk.session_now().await?;
        self.desk
            .session
            .start(&session, message)
            .await
            .map_err(|error| Refusal::from(&error))
    }
}

/// The frame that says that the connection is alive.
pub fn heartbeat() -> Bytes {
    ControlFrame::Heartbeat.frame_v1()
}

/// The answer to a frame over the limit of `limit` bytes.
pub(super) fn too_large(limit: usize) -> Bytes {
    error(&errors::frame_too_large(limit))
}

fn error(message: &str) -> Bytes {
    let message = message.to_owned();
    ControlFrame::Error { message }.frame_v1()
}
