//! One client's conversation, version 1 of the protocol, as a state machine: frames of the client in, frames for
//! the client out. It knows no socket.
//!
//! A connection is idle or watches one run. While it watches, the client's frames wait and are handled in order
//! after the run; idle, they are answered at once.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::guard::{Disk, ImageLimits, check_files, check_images};
use crate::protocol::server::ControlFrame;
use crate::protocol::{ClientMessage, ErrorCode, ParseLimits, errors, notes, parse_client_frame};
use crate::run::{Cursor, Progress, SessionHandle, StartError, Trimmed, UserMessage};
use crate::session::{ImageData, Owner, Session, SessionStore, StoreError};

/// How many frames of a client wait while it watches a run (fixed by the wire contract).
pub const MAX_WAITING: usize = 16;

/// The limits that a connection keeps.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Of a message's images.
    pub images: ImageLimits,
    /// Nesting of a message's JSON.
    pub json_depth: usize,
    /// Bytes of the frames that wait together. Without it, sixteen frames of the largest size could.
    pub waiting_bytes: usize,
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

/// Why a message was refused: what its sender is told.
#[derive(Debug)]
struct Refusal {
    #[expect(
        dead_code,
        reason = "version 1 frames carry the text alone; the log names the code"
    )]
    code: ErrorCode,
    text: String,
}

impl Refusal {
    fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
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
}

/// See the module.
pub struct Connection {
    context: ConnectionContext,
    session: SessionHandle,
    watching: Option<Watching>,
    waiting: VecDeque<ClientFrame>,
    waiting_bytes: usize,
}

struct Watching {
    cursor: Cursor,
    /// Whether the connection found the run in progress; then `session_sync` follows it.
    attached: bool,
}

impl Connection {
    /// Begins a conversation: `out` gets the replay of the run in progress, or `session_sync`.
    ///
    /// Cancel safe.
    pub async fn open(
        context: ConnectionContext,
        session: SessionHandle,
        out: &mut Vec<Bytes>,
    ) -> Self {
        let mut watching = None;
        match session.attach().await {
            None => out.push(ControlFrame::SessionSync.frame_v1()),
            Some(found) => {
                out.push(found.start);
                if !found.replay.is_empty() {
                    let count = found.replay.len() as u64;
                    out.push(ControlFrame::ReplayStart { count }.frame_v1());
                    out.extend(found.replay);
                    out.push(ControlFrame::ReplayEnd.frame_v1());
                }
                watching = Some(Watching {
                    cursor: found.cursor,
                    attached: true,
                });
            }
        }
        Self {
            context,
            session,
            watching,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    /// The session.
    pub fn session(&self) -> &SessionHandle {
        &self.session
    }

    /// Waits until [`Connection::pump`] has something to do; for ever while idle. Cancel safe.
    pub async fn ready(&self) {
        match &self.watching {
            Some(watching) => watching.cursor.ready().await,
            None => std::future::pending().await,
        }
    }

    /// Takes a frame of the client. What there is to answer at once goes to `out`.
    ///
    /// Not cancel safe: the frame could be lost.
    pub async fn receive(&mut self, frame: ClientFrame, out: &mut Vec<Bytes>) {
        if self.watching.is_none() {
            return self.handle(frame, out).await;
        }
        let bytes = self.waiting_bytes + frame.size();
        if self.waiting.len() >= MAX_WAITING || bytes > self.context.limits.waiting_bytes {
            return out.push(error(errors::BUSY));
        }
        self.waiting_bytes = bytes;
        self.waiting.push_back(frame);
    }

    /// Appends the frames of the run that are ready to `out`. After the run's last one, the frames of the client
    /// that waited are handled.
    ///
    /// Answers whether there is more to do at once. Not cancel safe.
    ///
    /// # Errors
    ///
    /// [`Trimmed`] when the client has fallen too far behind to be given every event.
    pub async fn pump(&mut self, out: &mut Vec<Bytes>) -> Result<bool, Trimmed> {
        let Some(watching) = &mut self.watching else {
            return Ok(false);
        };
        match watching.cursor.read(out)? {
            Progress::More => return Ok(true),
            Progress::CaughtUp => return Ok(false),
            Progress::Ended => {}
        }
        if watching.attached {
            out.push(ControlFrame::SessionSync.frame_v1());
        }
        self.watching = None;
        while self.watching.is_none()
            && let Some(frame) = self.waiting.pop_front()
        {
            self.waiting_bytes -= frame.size();
            self.handle(frame, out).await;
        }
        Ok(self.watching.is_some())
    }

    /// Handles a frame while no run is watched.
    async fn handle(&mut self, frame: ClientFrame, out: &mut Vec<Bytes>) {
        match self.start(frame).await {
            Ok(cursor) => {
                self.watching = Some(Watching {
                    cursor,
                    attached: false,
                })
            }
            Err(refusal) => {
                tracing::debug!(session = %self.session.id(), ?refusal, "frame refused");
                out.push(error(&refusal.text));
            }
        }
    }

    async fn start(&self, frame: ClientFrame) -> Result<Cursor, Refusal> {
        let ClientFrame::Text(text) = frame else {
            return Err(Refusal::new(ErrorCode::InvalidJson, errors::INVALID_JSON));
        };
        let limits = self.context.limits;
        let parse = ParseLimits {
            depth: limits.json_depth,
            images: limits.images.count,
        };
        let message = parse_client_frame(&text, parse)
            .map_err(|fault| Refusal::new(fault.code(), fault.to_string()))?;
        drop(text);
        let message = self.guard(message).await?;
        let session = self.session_now().await?;
        self.session
            .start(&session, message)
            .await
            .map_err(|error| start_refusal(&error))
    }

    /// Checks images and files, which may take long enough to be kept off the runtime's threads.
    async fn guard(&self, message: ClientMessage) -> Result<UserMessage, Refusal> {
        let ClientMessage {
            content,
            images,
            files,
        } = message;
        if images.is_empty() && files.is_empty() {
            return Ok(UserMessage {
                content: content.clone(),
                user_text: content,
                ..UserMessage::default()
            });
        }
        let limits = self.context.limits.images;
        let uploads = self.context.uploads.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let images = check_images(&images, &limits)
                .map_err(|fault| Refusal::new(fault.code(), fault.to_string()))?;
            let files = check_files(&files, &uploads, &Disk)
                .map_err(|fault| Refusal::new(fault.code(), fault.to_string()))?;
            Ok((images, files))
        });
        let (images, files) = checked
            .await
            .map_err(|_| Refusal::new(ErrorCode::Internal, errors::internal("a guard failed")))??;
        let named = files
            .iter()
            .map(|file| (file.name.as_str(), file.path.as_str()));
        Ok(UserMessage {
            content: notes::with_notes(&content, images.len(), named),
            user_text: content,
            images: images
                .into_iter()
                .map(|image| ImageData {
                    media_type: image.media_type.as_str().to_owned(),
                    bytes: image.bytes,
                })
                .collect(),
            files,
        })
    }

    /// The session as it is now: its agent may have been changed since the connection began.
    async fn session_now(&self) -> Result<Session, Refusal> {
        let session = self
            .context
            .store
            .get(&self.context.owner, self.session.id())
            .await;
        session.map_err(|error| match error {
            StoreError::NotFound(_) => Refusal::new(ErrorCode::SessionNotFound, errors::SESSION_NOT_FOUND),
            error => {
                tracing::error!(session = %self.session.id(), %error, "the session could not be read");
                Refusal::new(ErrorCode::Internal, errors::internal("the session could not be read"))
            }
        })
    }
}

fn start_refusal(error: &StartError) -> Refusal {
    match error {
        StartError::Busy => Refusal::new(ErrorCode::Busy, errors::BUSY),
        StartError::Draining => Refusal::new(ErrorCode::Draining, errors::DRAINING),
        StartError::Gone => Refusal::new(ErrorCode::SessionNotFound, errors::SESSION_NOT_FOUND),
        StartError::AgentUnavailable(text) => {
            Refusal::new(ErrorCode::AgentUnavailable, text.as_str())
        }
        StartError::NotSaved(_) => Refusal::new(ErrorCode::Internal, errors::NOT_SAVED),
        StartError::Lost => Refusal::new(ErrorCode::Internal, errors::internal("the run was lost")),
    }
}

fn error(message: &str) -> Bytes {
    let message = message.to_owned();
    ControlFrame::Error { message }.frame_v1()
}
