//! How an instance is.

use crate::abi::types::{HEALTH_DEGRADED, HEALTH_FAILING, HEALTH_OK};

/// How an instance is, by its own account: [`InstanceContext::set_health`](crate::InstanceContext::set_health).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Health {
    /// All is well.
    #[default]
    Ok,
    /// It works in part. The text says what does not, why, and what comes next, in a line for the operator.
    Degraded(String),
    /// It does not work. The text as above.
    Failing(String),
}

impl Health {
    /// It works in part.
    pub fn degraded(text: impl Into<String>) -> Self {
        Self::Degraded(text.into())
    }

    /// It does not work.
    pub fn failing(text: impl Into<String>) -> Self {
        Self::Failing(text.into())
    }

    /// `ok`, `degraded` or `failing`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded(_) => "degraded",
            Self::Failing(_) => "failing",
        }
    }

    /// What there is to say of it; empty when all is well.
    pub fn text(&self) -> &str {
        match self {
            Self::Ok => "",
            Self::Degraded(text) | Self::Failing(text) => text,
        }
    }

    /// As it crosses: `RH_HEALTH_…`, and the text.
    #[doc(hidden)]
    pub fn parts(&self) -> (u32, &str) {
        let state = match self {
            Self::Ok => HEALTH_OK,
            Self::Degraded(_) => HEALTH_DEGRADED,
            Self::Failing(_) => HEALTH_FAILING,
        };
        (state, self.text())
    }

    #[doc(hidden)]
    pub fn of_parts(state: u32, text: &str) -> Self {
        match state {
            HEALTH_OK => Self::Ok,
            HEALTH_FAILING => Self::failing(text),
            // What a later release says that is worse than well.
            _ => Self::degraded(text),
        }
    }
}
