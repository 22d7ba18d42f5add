//! Every code and every text of an error that a client can see.
//!
//! The texts are part of the protocol: clients show them, and some compare them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of fault an error is, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The frame is not JSON.
    InvalidJson,
    /// The frame is JSON, but no message.
    InvalidMessage,
    /// A run is in progress.
    Busy,
    /// The session's queue of messages is full.
    QueueFull,
    /// The message's id was used for another content.
    IdConflict,
    /// More images than allowed.
    TooManyImages,
    /// An image, or all together, over the limit.
    ImageTooLarge,
    /// Not base64, or not of an allowed type.
    InvalidImage,
    /// Not an upload of the session.
    InvalidFile,
    /// The frame is over the limit.
    MessageTooLarge,
    /// Too many messages in too short a time.
    RateLimited,
    /// The host is shutting down.
    Draining,
    /// The session's agent is not loaded.
    AgentUnavailable,
    /// The run took longer than a run may.
    RunTimeout,
    /// There is no such session, or no longer.
    SessionNotFound,
    /// The agent reached its own limit of iterations.
    MaxIterations,
    /// The agent reports a fault.
    Agent,
    /// A fault that nobody foresaw.
    Internal,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 18] = [
        Self::InvalidJson,
        Self::InvalidMessage,
        Self::Busy,
        Self::QueueFull,
        Self::IdConflict,
        Self::TooManyImages,
        Self::ImageTooLarge,
        Self::InvalidImage,
        Self::InvalidFile,
        Self::MessageTooLarge,
        Self::RateLimited,
        Self::Draining,
        Self::AgentUnavailable,
        Self::RunTimeout,
        Self::SessionNotFound,
        Self::MaxIterations,
        Self::Agent,
        Self::Internal,
    ];

    /// The code as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidMessage => "invalid_message",
            Self::Busy => "busy",
            Self::QueueFull => "queue_full",
            Self::IdConflict => "id_conflict",
            Self::TooManyImages => "too_many_images",
            Self::ImageTooLarge => "image_too_large",
            Self::InvalidImage => "invalid_image",
            Self::InvalidFile => "invalid_file",
            Self::MessageTooLarge => "message_too_large",
            Self::RateLimited => "rate_limited",
            Self::Draining => "draining",
            Self::AgentUnavailable => "agent_unavailable",
            Self::RunTimeout => "run_timeout",
            Self::SessionNotFound => "session_not_found",
            Self::MaxIterations => "max_iterations",
            Self::Agent => "agent",
            Self::Internal => "internal",
        }
    }

    /// The code that is written so.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// Whether the same may succeed later, although nobody changes anything.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Busy
                | Self::QueueFull
                | Self::RateLimited
                | Self::Draining
                | Self::AgentUnavailable
                | Self::RunTimeout
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The frame is not JSON, or binary.
pub const INVALID_JSON: &str = "Invalid JSON";

/// The frame is JSON, but no message.
pub const INVALID_MESSAGE: &str = "Expected {type: 'message', content: '...'}";

/// A run is in progress in the session.
pub const BUSY: &str = "Agent is already running for this session.";

/// The session's queue has no room.
pub const QUEUE_FULL: &str = "The queue of this session is full.";

/// The message's id was used before.
pub const ID_CONFLICT: &str = "This message id was used for another message.";

/// Too many messages in too short a time.
pub const RATE_LIMITED: &str = "Too many messages. Try again later.";

/// There is no such session, or no longer.
pub const SESSION_NOT_FOUND: &str = "Session not found";

/// The host takes no new messages.
pub const DRAINING: &str = "Server is shutting down.";

/// What a run ends with when its outcome could not be stored.
pub const NOT_SAVED: &str = "Internal error: the turn could not be saved";

/// More images than allowed.
#[must_use]
pub fn too_many_images(count: usize, max: usize) -> String {
    format!("Too many images ({count}). Max {max} allowed.")
}

/// An image over the limit of `max` decoded bytes.
#[must_use]
pub fn image_too_large(max: usize) -> String {
    format!("Image exceeds {} MB limit.", mebibytes(max))
}

/// The image with this number, counted from 1, is not base64.
#[must_use]
pub fn image_not_base64(number: usize) -> String {
    format!("Image {number} is not valid base64.")
}

/// The image with this number, counted from 1, is of no allowed type.
#[must_use]
pub fn image_wrong_type(number: usize) -> String {
    format!("Image {number} is not PNG, JPEG, GIF or WebP.")
}

/// All images together are over the limit of `max` decoded bytes.
#[must_use]
pub fn images_too_large(max: usize) -> String {
    format!("Images exceed {} MB in total.", mebibytes(max))
}

/// The file with this number, counted from 1, was not uploaded to the session.
#[must_use]
pub fn not_an_upload(number: usize) -> String {
    format!("File {number} is not an upload of this session.")
}

/// The frame is over the limit of `max` bytes.
#[must_use]
pub fn frame_too_large(max: usize) -> String {
    match mebibytes(max).as_str() {
        // Too little to show in MiB; the limit is stated all the same.
        "0" => format!("Message exceeds {max} byte limit."),
        size => format!("Message exceeds {size} MB limit."),
    }
}

/// The run took longer than the limit.
#[must_use]
pub fn run_timeout(seconds: u64) -> String {
    format!("Run exceeded {seconds} seconds.")
}

/// A fault that nobody foresaw.
#[must_use]
pub fn internal(what: impl fmt::Display) -> String {
    format!("Internal error: {what}")
}

/// The mapper with this name failed, so its event may not be shown.
#[must_use]
pub fn mapper_failed(name: &str) -> String {
    internal(format_args!("mapper {name}"))
}

/// Bytes in MiB with at most two decimals: `5`, `1.5`, `0.25`.
#[must_use]
pub fn mebibytes(bytes: usize) -> String {
    let text = format!("{:.2}", bytes as f64 / f64::from(1 << 20));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
