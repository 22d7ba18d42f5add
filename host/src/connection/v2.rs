//! Version 2 of the protocol: a connection sees every run of its session, from where it says that it is, and its frames
//! are answered at once.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::desk::{Desk, Refusal, digest};
use super::{ClientFrame, REPLAY_BYTES};
use crate::protocol::answers::AckStatus;
use crate::protocol::frames::Frames;
use crate::protocol::hello::{Asked, HelloLimits, Mode};
use crate::protocol::messages::ServerMessage;
use crate::protocol::{
    ClientMessage, ClientRequest, Delivery, ErrorCode, OnBusy, SentId, Version, errors,
};
use crate::run::{
    Cursor, Greeting, Progress, Replay, Resumed, StartError, Submission, Submitted, Trimmed,
};
use crate::session::{MessageId, MessageKey, RunId, StoreError};

/// See the module.
pub struct Conversation {
    desk: Desk,
    cursor: Cursor,
    /// What is left of what the client missed.
    replay: Option<Replay>,
}

/// An answer to a message that was not taken.
struct Refused {
    refusal: Refusal,
    run_id: Option<RunId>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            run_id: None,
        }
    }
}

impl Conversation {
    /// Begins a conversation: `out` gets the greeting. What the client missed is what is pumped first.
    ///
    /// Cancel safe.
    pub(super) async fn open(
        desk: Desk,
        asked: &Asked,
        out: &mut Frames,
    ) -> Result<Self, StoreError> {
        let greeting = desk.session.resume(asked).await?;
        let [hello, start] = brackets(&greeting, desk.context.hello);
        out.push(&hello);
        out.push(&start);
        let Resumed { replay, cursor, .. } = greeting.resumed;
        desk.context.metrics.replayed(replay.len());
        Ok(Self {
            desk,
            cursor,
            replay: Some(replay),
        })
    }

    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Whether the client is being given what it missed; nothing else may be sent meanwhile.
    pub(super) fn is_replaying(&self) -> bool {
        self.replay.is_some()
    }

    /// Whether there are events to read.
    pub(super) fn is_ready(&self, events: u64) -> bool {
        self.replay.is_some() || self.cursor.is_ready(events)
    }

    /// Ready when there are events to read.
    pub(super) fn poll_ready(&mut self, cx: &Context<'_>, events: u64) -> Poll<()> {
        self.cursor.poll_ready(cx, events)
    }

    /// Answers a frame of the client.
    ///
    /// Not cancel safe: the frame could be lost.
    pub(super) async fn receive(&self, frame: ClientFrame, out: &mut Frames) {
        let answer = match self.desk.read(frame, Version::V2) {
            Ok(ClientRequest::Stop(run_id)) => {
                ServerMessage::StopAck(self.desk.session.stop(run_id)).frame()
            }
            Ok(ClientRequest::Message(message, delivery)) => self.message(message, delivery).await,
            Err(unreadable) => error(&Refusal::from(&unreadable), unreadable.id.as_ref(), None),
        };
        out.push(&answer);
    }

    /// Takes a message, and answers it.
    async fn message(&self, message: ClientMessage, delivery: Delivery) -> Bytes {
        let id = delivery.id;
        match self.submit(message, id.as_ref(), delivery.on_busy).await {
            Ok(submitted) => {
                let (run_id, status, state) = match submitted {
                    Submitted::Accepted(run) => (run, AckStatus::Accepted, None),
                    Submitted::Queued(run) => (run, AckStatus::Queued, None),
                    Submitted::Duplicate(run, state) => (run, AckStatus::Duplicate, Some(state)),
                };
                let id = id.as_ref().map(|id| id.text.as_str());
                ServerMessage::MessageAck {
                    id,
                    run_id,
                    status,
                    state,
                }
                .frame()
            }
            Err(Refused { refusal, run_id }) => {
                tracing::debug!(session = %self.desk.session.id(), ?refusal, "message refused");
                error(&refusal, id.as_ref(), run_id)
            }
        }
    }

    async fn submit(
        &self,
        message: ClientMessage,
        id: Option<&SentId>,
        on_busy: OnBusy,
    ) -> Result<Submitted, Refused> {
        let message = self.desk.guard(message).await?;
        let session = self.desk.session_now().await?;
        let key = id.map(|id| MessageKey {
            owner: self.desk.context.owner.clone(),
            id: MessageId::from_uuid(id.id),
            digest: digest(&message),
        });
        let submission = Submission {
            message,
            key,
            on_busy,
        };
        let submitted = self.desk.session.submit(&session, submission).await;
        submitted.map_err(|fault| Refused {
            refusal: Refusal::from(&fault),
            run_id: matches!(fault, StartError::Busy | StartError::QueueFull)
                .then(|| self.desk.session.run().map(|run| run.run_id))
                .flatten(),
        })
    }

    /// Appends the events that are ready to `out`. Answers whether there are more.
    pub(super) fn pump(&mut self, out: &mut Frames) -> Result<bool, Trimmed> {
        if let Some(replay) = &mut self.replay {
            if !replay.pump(REPLAY_BYTES, out) {
                self.replay = None;
                out.push(&ServerMessage::ReplayEnd {}.frame());
            }
            return Ok(true);
        }
        let progress = self.cursor.read(out)?;
        self.desk.count(self.cursor.take_counts());
        Ok(progress == Progress::More)
    }

    /// What was pumped out is written; answers how long a sampled event of it took.
    pub(super) fn written(&mut self, now: Instant) -> Option<Duration> {
        self.cursor.written(now)
    }

    /// The frame that says that the connection is alive, and up to where the client has been sent everything. An event
    /// that is still to be sent is not announced: the client would take it for one that it has lost.
    pub(super) fn heartbeat(&self) -> Bytes {
        let last_seq = Some(self.cursor.position());
        ServerMessage::Heartbeat { last_seq }.frame()
    }
}

/// The frames around what a client is given on joining: `session_sync` and `replay_start`.
pub(super) fn brackets(greeting: &Greeting, limits: HelloLimits) -> [Bytes; 2] {
    let resumed = &greeting.resumed;
    let (kept, verdict) = (&resumed.kept, &resumed.verdict);
    let hello = ServerMessage::SessionSync {
        epoch: Some(kept.epoch.as_str()),
        first_seq: Some(kept.first_seq),
        last_seq: Some(kept.last_seq),
        run: Some(greeting.run),
        protocol: Some(2),
        limits: Some(limits),
    };
    let start = ServerMessage::ReplayStart {
        count: resumed.replay.len() as u64,
        mode: Some(verdict.mode),
        recovered: Some(verdict.recovered),
        reason: verdict.reason,
        complete: (verdict.mode == Mode::Full).then_some(resumed.complete),
        from_seq: Some(verdict.from_seq),
        to_seq: Some(kept.last_seq),
    };
    [hello.frame(), start.frame()]
}

/// The answer to a frame over the limit of `limit` bytes.
pub(super) fn too_large(limit: usize) -> Bytes {
    let refusal = Refusal::new(ErrorCode::MessageTooLarge, errors::frame_too_large(limit));
    error(&refusal, None, None)
}

fn error(refusal: &Refusal, id: Option<&SentId>, run_id: Option<RunId>) -> Bytes {
    ServerMessage::Error {
        message: &refusal.text,
        code: Some(refusal.code),
        retryable: Some(refusal.code.is_retryable()),
        run_id,
        id: id.map(|id| id.text.as_str()),
    }
    .frame()
}
