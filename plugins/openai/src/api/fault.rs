//! What can go wrong with a request, and what can be done about it.

use std::time::Duration;

use plugin_api::serde_json::Value;
use thiserror::Error;

/// Why there is no answer. The texts are for clients; none has a secret in it, which [`Client`](crate::http::Client)
/// sees to for what a server wrote.
#[derive(Clone, Debug, Error, PartialEq)]
pub(crate) enum Fault {
    /// The server refused.
    #[error("The model's server answered {status}: {message}")]
    Refused {
        status: u16,
        message: String,
        code: String,
        /// What it asks for.
        retry_after: Option<Duration>,
    },
    /// The server said so in the middle of an answer.
    #[error("The model's server reported an error: {message}")]
    Reported {
        message: String,
        code: String,
        /// The HTTP status that it would have been, where the server says so.
        status: Option<u16>,
    },
    #[error("The model's server cannot be reached: {0}")]
    Unreachable(String),
    #[error("The model's server has said nothing for {} seconds.", .0.as_secs_f32())]
    Silent(Duration),
    #[error("The connection to the model's server broke: {0}")]
    Broken(String),
    #[error("The model's answer ended before it was complete.")]
    Incomplete,
    #[error("The model's answer is not what the API says: {0}")]
    Malformed(String),
    #[error("The model's answer was withheld (content_filter).")]
    Withheld,
}

impl Fault {
    /// Whether the same request may well succeed a little later.
    pub(crate) fn is_passing(&self) -> bool {
        let passing = |status: u16| matches!(status, 408 | 429 | 500..=599);
        match self {
            // What is used up is not there in a minute either.
            Self::Refused { code, .. } | Self::Reported { code, .. }
                if code == "insufficient_quota" =>
            {
                false
            }
            Self::Refused { status, .. } => passing(*status),
            Self::Reported { status, code, .. } => {
                status.is_some_and(passing)
                    || matches!(
                        code.as_str(),
                        "server_error" | "rate_limit_exceeded" | "overloaded_error"
                    )
            }
            Self::Unreachable(_) | Self::Broken(_) | Self::Incomplete => true,
            // Waiting for as long again helps nobody.
            Self::Silent(_) | Self::Malformed(_) | Self::Withheld => false,
        }
    }

    /// How long the server asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What a server reports inside an answer: an `error` that is an object or a text.
    pub(crate) fn reported(error: &Value) -> Self {
        let code = error.get("code").unwrap_or(&Value::Null);
        let kind = error.get("type").unwrap_or(&Value::Null);
        let status = code.as_u64().and_then(|status| u16::try_from(status).ok());
        let code = [code, kind].into_iter().find_map(Value::as_str);
        Self::Reported {
            message: message_of(error).unwrap_or_else(|| "no reason given".to_owned()),
            code: code.unwrap_or_default().to_owned(),
            status,
        }
    }
}

/// What a server's error says, in any of the forms that are about: a text, or an object with a text (or such an
/// object) as `error`, `message` or `detail`, or a list with one of these.
pub(crate) fn message_of(error: &Value) -> Option<String> {
    match error {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Object(fields) => ["error", "message", "detail", "msg"]
            .iter()
            .find_map(|key| message_of(fields.get(*key)?)),
        Value::Array(list) => message_of(list.first()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::json;

    use super::*;

    #[test]
    fn servers_word_their_errors_in_many_ways() {
        for error in [
            json!("no"),
            json!({"error": "no"}),
            json!({"error": {"message": "no", "code": null}}),
            json!({"object": "error", "message": "no"}),
            json!({"detail": [{"msg": "no", "loc": ["body"]}]}),
            json!([{"error": {"code": 400, "message": " no "}}]),
        ] {
            assert_eq!(message_of(&error).as_deref(), Some("no"), "{error}");
        }
        assert_eq!(message_of(&json!({"error": {}})), None);
    }

    #[test]
    fn what_is_used_up_is_not_asked_for_again() {
        let refused = |status, code: &str| Fault::Refused {
            status,
            message: String::new(),
            code: code.to_owned(),
            retry_after: None,
        };
        assert!(refused(429, "rate_limit_exceeded").is_passing());
        assert!(refused(503, "").is_passing());
        assert!(!refused(429, "insufficient_quota").is_passing());
        assert!(!refused(400, "").is_passing());
        assert!(!refused(401, "").is_passing());
    }

    #[test]
    fn an_error_inside_an_answer_may_pass_as_well() {
        let passing = |error| Fault::reported(&error).is_passing();
        assert!(passing(json!({"message": "busy", "code": 502})));
        assert!(passing(json!({"message": "busy", "type": "server_error"})));
        assert!(!passing(json!({"message": "no", "code": "invalid_prompt"})));
        assert!(!passing(json!("no")));
    }
}
