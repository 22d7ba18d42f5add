//! What each fault is to a client. The only place where faults become problems.

use axum::http::{HeaderValue, header};

use super::body::{BodyFault, MAX_BODY};
use super::query::QueryFault;
use super::sessions::SessionFault;
use super::upload::UploadFault;
use crate::server::admission::NotAdmitted;
use crate::server::auth::AuthFault;
use crate::server::problem::{Problem, ProblemKind};
use crate::session::{Entity, StoreError};

impl From<AuthFault> for Problem {
    fn from(fault: AuthFault) -> Self {
        let challenge = match fault {
            AuthFault::Missing => "Bearer",
            AuthFault::Unknown => r#"Bearer error="invalid_token""#,
        };
        Self::new(ProblemKind::NotAuthenticated, fault.to_string()).header(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge),
        )
    }
}

impl From<NotAdmitted> for Problem {
    fn from(why: NotAdmitted) -> Self {
        match why {
            NotAdmitted::Draining | NotAdmitted::TooManyConnections => {
                Self::new(ProblemKind::Unavailable, why.to_string())
            }
            NotAdmitted::SessionNotFound => session_not_found(),
            NotAdmitted::NotRead(error) => error.into(),
        }
    }
}

impl From<BodyFault> for Problem {
    fn from(fault: BodyFault) -> Self {
        let problem = |kind| Self::new(kind, fault.to_string());
        match &fault {
            BodyFault::TooLarge => problem(ProblemKind::BodyTooLarge).limit(MAX_BODY as u64),
            BodyFault::TooSlow => problem(ProblemKind::RequestTimeout),
            BodyFault::MediaType(_) => problem(ProblemKind::UnsupportedMediaType),
            BodyFault::CutShort | BodyFault::TooDeep => problem(ProblemKind::InvalidJson),
            BodyFault::Syntax(error) => {
                problem(ProblemKind::InvalidJson).at(error.line(), error.column())
            }
            BodyFault::Data { pointer, error } => problem(ProblemKind::InvalidBody)
                .pointer(pointer)
                .at(error.line(), error.column()),
        }
    }
}

impl From<QueryFault> for Problem {
    fn from(fault: QueryFault) -> Self {
        Self::new(ProblemKind::InvalidQuery, fault.to_string())
    }
}

impl From<SessionFault> for Problem {
    fn from(fault: SessionFault) -> Self {
        let detail = fault.to_string();
        match fault {
            SessionFault::UnknownAgent { agents, .. } => {
                Self::new(ProblemKind::UnknownAgent, detail)
                    .pointer("/agent")
                    .agents(agents)
            }
            SessionFault::Profile => {
                Self::new(ProblemKind::InvalidBody, detail).pointer("/profile")
            }
            SessionFault::TitleTooLong => {
                Self::new(ProblemKind::InvalidBody, detail).pointer("/title")
            }
            SessionFault::MetadataTooLarge => {
                Self::new(ProblemKind::InvalidBody, detail).pointer("/metadata")
            }
        }
    }
}

impl From<UploadFault> for Problem {
    fn from(fault: UploadFault) -> Self {
        let problem = |kind| Self::new(kind, fault.to_string());
        match &fault {
            UploadFault::MediaType(_) => problem(ProblemKind::UnsupportedMediaType),
            UploadFault::Malformed(_) => problem(ProblemKind::InvalidMultipart),
            UploadFault::TooSlow => problem(ProblemKind::RequestTimeout),
            UploadFault::NoFile | UploadFault::NotAFile { .. } | UploadFault::TooMany => {
                problem(ProblemKind::InvalidBody)
            }
            UploadFault::TooLarge { limit, .. } => problem(ProblemKind::FileTooLarge).limit(*limit),
            UploadFault::Disk { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::new(
                    ProblemKind::StorageFull,
                    "the host's disk or its quota is full",
                ),
                _ => Self::internal(&fault),
            },
            UploadFault::Task(_) => Self::internal(&fault),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let unavailable = || {
            tracing::warn!(%error, "the session store is not available");
            Self::new(ProblemKind::Unavailable, error.to_string())
        };
        match &error {
            StoreError::NotFound(Entity::Session) => session_not_found(),
            StoreError::NotFound(_) => Self::new(ProblemKind::NotFound, error.to_string()),
            StoreError::Conflict(_) => Self::new(ProblemKind::Conflict, error.to_string()),
            StoreError::Full => {
                tracing::error!(%error, "the session store is full");
                Self::new(ProblemKind::StorageFull, error.to_string())
            }
            StoreError::ReadOnly | StoreError::Timeout(_) | StoreError::Closed => unavailable(),
            _ => Self::internal(&error),
        }
    }
}

/// The answer for a session that is not there, whatever the reason.
pub(super) fn session_not_found() -> Problem {
    Problem::new(
        ProblemKind::SessionNotFound,
        "there is no session of this id",
    )
}
