//! What the operator can set.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::serde_json::{Map, Value};
use plugin_api::{CreateError, Secret};

use crate::profiles::{self, Profiles};

/// Keys of a request that the agent itself writes.
const RESERVED: &[&str] = &[
    "input",
    "instructions",
    "messages",
    "model",
    "n",
    "stream",
    "tools",
];

/// The settings of an agent on a model.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct Config {
    /// The model, as the API calls it.
    #[schemars(length(min = 1))]
    pub(crate) model: String,
    /// Where the API is, up to and without `/chat/completions` or `/responses`.
    #[serde(default = "base_url")]
    pub(crate) base_url: String,
    /// Sent as a bearer token. Left out for servers that ask for none.
    pub(crate) api_key: Option<Secret>,
    /// Which of the two APIs is spoken.
    #[serde(default)]
    pub(crate) api: Api,
    /// More headers of every request, by name.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Secret>,
    /// What the model is told before the conversation.
    #[serde(default)]
    pub(crate) system_prompt: String,
    /// More keys of every request, as the API has them: `temperature`, `max_completion_tokens`, `reasoning_effort`.
    #[serde(default)]
    pub(crate) parameters: Map<String, Value>,
    /// How often the model may be asked for one answer: once, and again after every round of tool calls.
    #[serde(default = "max_iterations")]
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max_iterations: u32,
    /// How many tokens the model's window holds; 0: not known, and nothing is compressed.
    #[serde(default)]
    pub(crate) max_context_tokens: u64,
    /// The share of the window above which older turns are summarised; 1: never.
    #[serde(default = "compress_above")]
    #[schemars(range(min = 0.05, max = 1.0))]
    pub(crate) compress_above: f64,
    /// How many of the latest turns are not summarised; a question and its answer are two.
    #[serde(default = "compress_keep_turns")]
    #[schemars(range(max = 1000))]
    pub(crate) compress_keep_turns: u32,
    /// How many earlier turns of the session the model is given at most.
    #[serde(default = "max_history_turns")]
    #[schemars(range(max = 100_000))]
    pub(crate) max_history_turns: u32,
    /// How many images of earlier turns the model is shown again, the latest ones.
    #[serde(default = "max_history_images")]
    #[schemars(range(max = 1000))]
    pub(crate) max_history_images: u32,
    /// Roles that the model and the user can change between, by their ids.
    #[serde(default)]
    pub(crate) profiles: Profiles,
    /// The profile that is in force as long as nobody has chosen another.
    pub(crate) profile: Option<String>,
    /// Whether the model can remember things for the user, across sessions.
    #[serde(default)]
    pub(crate) memory: bool,
    /// Whether a plan is made and shown first, and then carried out.
    #[serde(default)]
    pub(crate) planning: bool,
    /// Whether the model gets its own reasoning back between two rounds of tool calls, as `reasoning_content`.
    #[serde(default)]
    pub(crate) return_reasoning: bool,
    /// Milliseconds that connecting may take.
    #[serde(default = "connect_timeout_ms")]
    #[schemars(range(min = 1, max = 600_000))]
    pub(crate) connect_timeout_ms: u64,
    /// Milliseconds that the server may say nothing at all before the request is given up.
    #[serde(default = "silence_timeout_ms")]
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(crate) silence_timeout_ms: u64,
    /// How often a request is repeated that failed before anything of its answer was shown.
    #[serde(default = "max_retries")]
    #[schemars(range(max = 20))]
    pub(crate) max_retries: u32,
    /// Milliseconds before the first repetition; each further one waits twice as long, at most a minute. What the
    /// server asks for (`Retry-After`) counts instead.
    #[serde(default = "retry_delay_ms")]
    #[schemars(range(min = 1, max = 60_000))]
    pub(crate) retry_delay_ms: u64,
}

/// The two APIs.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(crate = "plugin_api::serde", rename_all = "snake_case")]
#[schemars(crate = "plugin_api::schemars")]
pub(crate) enum Api {
    /// Chat Completions.
    #[default]
    ChatCompletions,
    /// Responses.
    Responses,
}

impl Api {
    /// What comes after `base_url`.
    pub(crate) fn path(self) -> &'static [&'static str] {
        match self {
            Self::ChatCompletions => &["chat", "completions"],
            Self::Responses => &["responses"],
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ChatCompletions => "chat_completions",
            Self::Responses => "responses",
        })
    }
}

fn base_url() -> String {
    "https://api.openai.com/v1".to_owned()
}

fn max_iterations() -> u32 {
    25
}

fn compress_above() -> f64 {
    0.8
}

fn compress_keep_turns() -> u32 {
    4
}

fn max_history_turns() -> u32 {
    1000
}

fn max_history_images() -> u32 {
    10
}

fn connect_timeout_ms() -> u64 {
    10_000
}

fn silence_timeout_ms() -> u64 {
    300_000
}

fn max_retries() -> u32 {
    4
}

fn retry_delay_ms() -> u64 {
    1000
}

impl Config {
    /// What the schema cannot say.
    pub(crate) fn check(&self) -> Result<(), CreateError> {
        if let Some(key) = RESERVED
            .iter()
            .find(|key| self.parameters.contains_key(**key))
        {
            return Err(CreateError::config(format_args!(
                "parameters.{key}: the agent writes this key of a request itself"
            )));
        }
        profiles::check(&self.profiles, self.profile.as_deref())
    }

    pub(crate) fn connect(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn silence(&self) -> Duration {
        Duration::from_millis(self.silence_timeout_ms)
    }

    /// The tokens above which older turns are summarised; none where nothing is.
    pub(crate) fn compress_above_tokens(&self) -> Option<u64> {
        if self.max_context_tokens == 0 || self.compress_above >= 1.0 {
            return None;
        }
        // A window is far below the 2^53 up to which this is exact, and the share lies between 0 and 1.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a share of a number of tokens"
        )]
        let tokens = (self.max_context_tokens as f64 * self.compress_above) as u64;
        Some(tokens)
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json;

    use super::*;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_model_is_enough() {
        let config = config(r#"{"model": "m"}"#);
        assert_eq!(config.base_url, "https://api.openai.com/v1");
        assert_eq!(config.api, Api::ChatCompletions);
        assert!(config.check().is_ok());
        assert_eq!(config.compress_above_tokens(), None);
    }

    #[test]
    fn keys_of_the_agents_own_are_refused() {
        let refused =
            config(r#"{"model": "m", "parameters": {"temperature": 0, "stream": false}}"#)
                .check()
                .unwrap_err();
        assert_eq!(
            refused.to_string(),
            "configuration: parameters.stream: the agent writes this key of a request itself"
        );
    }

    #[test]
    fn a_share_of_the_window_is_a_number_of_tokens() {
        let some = config(r#"{"model": "m", "max_context_tokens": 1000, "compress_above": 0.5}"#);
        assert_eq!(some.compress_above_tokens(), Some(500));
        let never = config(r#"{"model": "m", "max_context_tokens": 1000, "compress_above": 1}"#);
        assert_eq!(never.compress_above_tokens(), None);
    }

    #[test]
    fn nothing_prints_the_key() {
        let config = config(r#"{"model": "m", "api_key": "sk-1", "headers": {"x": "sk-2"}}"#);
        assert!(!format!("{config:?}").contains("sk-"), "{config:?}");
    }
}
