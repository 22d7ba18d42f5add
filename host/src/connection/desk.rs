//! What both versions do with a message before it begins a run.

use std::time::Instant;

use sha2::{Digest, Sha256};

use super::{ClientFrame, ConnectionContext};
use crate::guard::{Disk, check_files, check_images};
use crate::protocol::{
    ClientFault, ClientMessage, ClientRequest, ErrorCode, ParseLimits, Unreadable, Version, errors,
    notes, parse_client_frame,
};
use crate::run::{ReadCounts, SessionHandle, StartError, UserMessage};
use crate::session::{ImageData, Session, StoreError};

/// Why a message was refused: what its sender is told.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}

impl From<&Unreadable> for Refusal {
    fn from(unreadable: &Unreadable) -> Self {
        Self::new(unreadable.fault.code(), unreadable.fault.to_string())
    }
}

/// One client's business in one session.
pub(super) struct Desk {
    pub(super) context: ConnectionContext,
    pub(super) session: SessionHandle,
}

impl Desk {
    /// What the client asks for with a frame.
    pub(super) fn read(
        &self,
        frame: ClientFrame,
        version: Version,
    ) -> Result<ClientRequest, Unreadable> {
        let ClientFrame::Text(text) = frame else {
            return Err(ClientFault::InvalidJson.into());
        };
        let limits = self.context.limits;
        let parse = ParseLimits {
            depth: limits.json_depth,
            images: limits.images.count,
        };
        parse_client_frame(&text, parse, version)
    }

    /// Checks images and files, which may take long enough to be kept off the runtime's threads.
    ///
    /// A message is counted before that, since looking at it is part of what it costs.
    pub(super) async fn guard(&self, message: ClientMessage) -> Result<UserMessage, Refusal> {
        let context = &self.context;
        let most = context.limits.messages_per_minute;
        if !context.rate.admits(&context.owner, most, Instant::now()) {
            return Err(Refusal::new(ErrorCode::RateLimited, errors::RATE_LIMITED));
        }
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
            Ok::<_, Refusal>((images, files))
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

    /// Counts what was read.
    pub(super) fn count(&self, counts: ReadCounts) {
        let metrics = &self.context.metrics;
        metrics.read(counts.events, counts.folded_frames);
    }

    /// The session as it is now: its agent may have been changed since the connection began.
    pub(super) async fn session_now(&self) -> Result<Session, Refusal> {
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

impl From<&StartError> for Refusal {
    fn from(error: &StartError) -> Self {
        match error {
            StartError::Busy => Refusal::new(ErrorCode::Busy, errors::BUSY),
            StartError::QueueFull => Refusal::new(ErrorCode::QueueFull, errors::QUEUE_FULL),
            StartError::IdConflict => Refusal::new(ErrorCode::IdConflict, errors::ID_CONFLICT),
            StartError::Draining => Refusal::new(ErrorCode::Draining, errors::DRAINING),
            StartError::Gone => Refusal::new(ErrorCode::SessionNotFound, errors::SESSION_NOT_FOUND),
            StartError::AgentUnavailable(text) => {
                Refusal::new(ErrorCode::AgentUnavailable, text.as_str())
            }
            StartError::NotSaved(_) => Refusal::new(ErrorCode::Internal, errors::NOT_SAVED),
            StartError::Lost => {
                Refusal::new(ErrorCode::Internal, errors::internal("the run was lost"))
            }
        }
    }
}

/// What tells one message from another: SHA-256 over everything that the client sent.
pub(super) fn digest(message: &UserMessage) -> [u8; 32] {
    let mut hash = Sha256::new();
    // Each part after its length, so that no two messages come to the same bytes.
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(message.user_text.as_bytes());
    part(&message.images.len().to_le_bytes());
    for image in &message.images {
        part(&image.bytes);
    }
    for file in &message.files {
        part(file.name.as_bytes());
        part(file.path.as_bytes());
    }
    hash.finalize().into()
}
