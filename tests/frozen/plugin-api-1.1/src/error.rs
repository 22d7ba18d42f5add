//! What can go wrong, an enum for each operation.

use std::fmt::Display;

use thiserror::Error;

/// Why an instance could not be made.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The configuration does not do. Say which key and why, never a secret's value.
    #[error("configuration: {0}")]
    Config(String),
    /// Anything else: a backend that does not answer, a missing file.
    #[error("{0}")]
    Failed(String),
}

impl CreateError {
    /// The configuration does not do. Say which key and why, never a secret's value.
    pub fn config(problem: impl Display) -> Self {
        Self::Config(problem.to_string())
    }

    /// Anything else.
    pub fn failed(problem: impl Display) -> Self {
        Self::Failed(problem.to_string())
    }
}

/// Why a run failed. The text is what clients read.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The backend knows no such session.
    #[error("Session not found")]
    SessionNotFound,
    /// The agent's own limit of iterations was reached.
    #[error("{0}")]
    MaxIterations(String),
    /// What the backend itself reports as gone wrong.
    #[error("{0}")]
    Agent(String),
    /// What nobody foresaw. Clients read it after `Internal error: `.
    #[error("{0}")]
    Internal(String),
    /// No failure: the run was stopped and ends for it. `?` makes this of an [`EmitError::Stopped`] and of a
    /// service that was cancelled, so that a run may simply return when it learns that it is over. In a run that
    /// was not stopped it counts as a failure.
    #[error("stopped")]
    Stopped,
}

impl RunError {
    /// The agent's own limit of iterations was reached.
    pub fn max_iterations(text: impl Display) -> Self {
        Self::MaxIterations(text.to_string())
    }

    /// What the backend itself reports as gone wrong.
    pub fn agent(text: impl Display) -> Self {
        Self::Agent(text.to_string())
    }

    /// What nobody foresaw.
    pub fn internal(text: impl Display) -> Self {
        Self::Internal(text.to_string())
    }
}

impl From<EmitError> for RunError {
    fn from(error: EmitError) -> Self {
        match error {
            EmitError::Stopped => Self::Stopped,
            other => Self::Agent(other.to_string()),
        }
    }
}

impl From<ServiceError> for RunError {
    fn from(error: ServiceError) -> Self {
        match error.code {
            ServiceErrorCode::Cancelled => Self::Stopped,
            _ => Self::Agent(error.to_string()),
        }
    }
}

impl From<ImageError> for RunError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Stopped => Self::Stopped,
            other => Self::Agent(other.to_string()),
        }
    }
}

/// Why an event was not accepted.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
#[non_exhaustive]
pub enum EmitError {
    /// The run is over, or was asked to stop and no longer takes events.
    #[error("the run is over")]
    Stopped,
    /// The host does not take such an event: it is the host's own, or a custom one with a name or a field
    /// that the protocol itself uses.
    #[error("the host refused the event as invalid")]
    Invalid,
    /// The event is over the host's limit (`limits.event_bytes`).
    #[error("the event is larger than the host allows")]
    TooLarge,
    /// A fault of the host's.
    #[error("the host could not take the event (answer {0})")]
    Host(i32),
}

/// Why an image's bytes could not be had.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
#[non_exhaustive]
pub enum ImageError {
    /// The run is over.
    #[error("the run is over")]
    Stopped,
    /// The host does not have it.
    #[error("the host does not have image {0}")]
    Unavailable(u64),
}

/// Why a tool call failed. Models read the text.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ToolError {
    /// It did not work.
    #[error("{0}")]
    Failed(String),
    /// The toolset has no such tool.
    #[error("there is no tool `{0}`")]
    UnknownTool(String),
    /// The arguments do not do.
    #[error("invalid arguments: {0}")]
    InvalidArgs(String),
    /// The call was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl ToolError {
    /// It did not work.
    pub fn failed(problem: impl Display) -> Self {
        Self::Failed(problem.to_string())
    }

    /// The toolset has no such tool.
    pub fn unknown_tool(name: impl Into<String>) -> Self {
        Self::UnknownTool(name.into())
    }

    /// The arguments do not do.
    pub fn invalid_args(problem: impl Display) -> Self {
        Self::InvalidArgs(problem.to_string())
    }
}

/// Why a service of the host was refused or failed.
#[derive(Clone, Debug, Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct ServiceError {
    /// What kind of failure it is.
    pub code: ServiceErrorCode,
    /// For people.
    pub message: String,
}

impl ServiceError {
    /// A failure of this kind.
    pub fn new(code: ServiceErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// The kinds of [`ServiceError`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ServiceErrorCode {
    /// No such tool, agent or value.
    NotFound,
    /// The configuration does not allow it.
    NotAllowed,
    /// The parameters do not do.
    Invalid,
    /// The value is at another version than expected.
    Conflict,
    /// Over a limit of the host's.
    TooLarge,
    /// It took too long.
    Timeout,
    /// The host does not know the method.
    Unsupported,
    /// A fault of the host's, or a code that this release does not know.
    Internal,
    /// The run or call that it belonged to is over, or it was cancelled.
    Cancelled,
}

impl ServiceErrorCode {
    /// The code as it crosses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotAllowed => "not_allowed",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
            Self::Cancelled => "cancelled",
        }
    }

    /// The code of this name; [`Internal`](Self::Internal) for one that is not known.
    pub fn from_name(name: &str) -> Self {
        match name {
            "not_found" => Self::NotFound,
            "not_allowed" => Self::NotAllowed,
            "invalid" => Self::Invalid,
            "conflict" => Self::Conflict,
            "too_large" => Self::TooLarge,
            "timeout" => Self::Timeout,
            "unsupported" => Self::Unsupported,
            "cancelled" => Self::Cancelled,
            _ => Self::Internal,
        }
    }
}
