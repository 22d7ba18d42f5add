//! One client's conversation as a state machine: frames of the client in, frames for the client out. It knows no
//! socket.
//!
//! [`v1`] and [`v2`] are the two versions of the protocol; what both do with a message is in `desk`. [`events`] is version
//! 2 for those who only listen, as Server-Sent Events.

mod desk;
pub mod events;
mod rate;
pub mod v1;
pub mod v2;

use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;

use self::desk::Desk;
pub use self::rate::MessageRate;
use crate::guard::ImageLimits;
use crate::metrics::Metrics;
use crate::protocol::Version;
use crate::protocol::frames::Frames;
use crate::protocol::hello::{Asked, HelloLimits};
use crate::run::{SessionHandle, Trimmed};
use crate::session::{Owner, SessionStore, StoreError};

/// The limits that a connection keeps.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Of a message's images.
    pub images: ImageLimits,
    /// Nesting of a message's JSON.
    pub json_depth: usize,
    /// Bytes of the frames that wait together. Without it, sixteen frames of the largest size could.
    pub waiting_bytes: usize,
    /// Messages of one owner in a minute; 0 for no limit.
    pub messages_per_minute: u32,
}

/// A frame from the client.
#[derive(Clone, Debug)]
pub enum ClientFrame {
    /// A text frame.
    Text(String),
    /// A binary frame; what is in it does not matter.
    Binary,
}

impl ClientFrame {
    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary => 0,
        }
    }
}

/// What one client's conversation is about.
pub struct ConnectionContext {
    /// Sessions.
    pub store: Arc<dyn SessionStore>,
    /// Who the client is.
    pub owner: Owner,
    /// The session's upload folder, which need not exist.
    pub uploads: PathBuf,
    /// Limits of what it may send.
    pub limits: ConnectionLimits,
    /// What it is told of the limits.
    pub hello: HelloLimits,
    /// What all owners have sent lately.
    pub rate: Arc<MessageRate>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// What a connection asks for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The version of the protocol.
    pub version: Version,
    /// Where it goes on, in version 2.
    pub asked: Asked,
}

/// See the module.
pub enum Connection {
    /// Version 1.
    V1(v1::Conversation),
    /// Version 2.
    V2(v2::Conversation),
}

impl Connection {
    /// Begins a conversation; `out` gets what the client is greeted with, and what it missed is pumped.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// When the store cannot say where the session stands.
    pub async fn open(
        wish: &Wish,
        context: ConnectionContext,
        session: SessionHandle,
        out: &mut Frames,
    ) -> Result<Self, StoreError> {
        let desk = Desk { context, session };
        Ok(match wish.version {
            Version::V1 => Self::V1(v1::Conversation::open(desk, out).await),
            Version::V2 => Self::V2(v2::Conversation::open(desk, &wish.asked, out).await?),
        })
    }

    fn desk(&self) -> &Desk {
        match self {
            Self::V1(conversation) => conversation.desk(),
            Self::V2(conversation) => conversation.desk(),
        }
    }

    /// The session.
    pub fn session(&self) -> &SessionHandle {
        &self.desk().session
    }

    /// Whether [`Connection::pump`] has something to do: so many events, or what does not depend on events.
    pub fn is_ready(&self, events: u64) -> bool {
        match self {
            Self::V1(conversation) => conversation.is_ready(events),
            Self::V2(conversation) => conversation.is_ready(events),
        }
    }

    /// Ready when [`Connection::pump`] has something to do. Whoever waits for more than one event must not rely on them to come.
    pub fn poll_ready(&mut self, cx: &Context<'_>, events: u64) -> Poll<()> {
        match self {
            Self::V1(conversation) => conversation.poll_ready(cx, events),
            Self::V2(conversation) => conversation.poll_ready(cx, events),
        }
    }

    /// Takes a frame of the client. What there is to answer at once goes to `out`.
    ///
    /// Not cancel safe: the frame could be lost.
    pub async fn receive(&mut self, frame: ClientFrame, out: &mut Frames) {
        match self {
            Self::V1(conversation) => conversation.receive(frame, out).await,
            Self::V2(conversation) => conversation.receive(frame, out).await,
        }
    }

    /// Appends the events that are ready to `out`. Answers whether there are more.
    ///
    /// # Errors
    ///
    /// [`Trimmed`] when the client has fallen too far behind to be given every event.
    pub fn pump(&mut self, out: &mut Frames) -> Result<bool, Trimmed> {
        match self {
            Self::V1(conversation) => conversation.pump(out),
            Self::V2(conversation) => conversation.pump(out),
        }
    }

    /// What was pumped out is written.
    pub fn written(&mut self, now: Instant) {
        let took = match self {
            Self::V1(conversation) => conversation.written(now),
            Self::V2(conversation) => conversation.written(now),
        };
        if let Some(took) = took {
            self.desk().context.metrics.delivered(took);
        }
    }

    /// Whether the client is being given what it missed. Until that is over, nothing but what is pumped may be sent.
    pub fn is_replaying(&self) -> bool {
        match self {
            Self::V1(conversation) => conversation.is_replaying(),
            Self::V2(conversation) => conversation.is_replaying(),
        }
    }

    /// Whether frames of the client wait that [`Connection::work`] would handle.
    pub fn has_work(&self) -> bool {
        match self {
            Self::V1(conversation) => conversation.has_work(),
            Self::V2(_) => false,
        }
    }

    /// Handles frames of the client that had to wait. Not cancel safe: one could be lost.
    pub async fn work(&mut self, out: &mut Frames) {
        match self {
            Self::V1(conversation) => conversation.work(out).await,
            Self::V2(_) => {}
        }
    }

    /// The frame that says that the connection is alive.
    pub fn heartbeat(&self) -> Bytes {
        match self {
            Self::V1(_) => v1::heartbeat(),
            Self::V2(conversation) => conversation.heartbeat(),
        }
    }

    /// The answer to a frame over the limit of `limit` bytes.
    pub fn too_large(&self, limit: usize) -> Bytes {
        match self {
            Self::V1(_) => v1::too_large(limit),
            Self::V2(_) => v2::too_large(limit),
        }
    }
}

/// How much of a replay is encoded at a time, in bytes.
const REPLAY_BYTES: usize = 64 * 1024;
