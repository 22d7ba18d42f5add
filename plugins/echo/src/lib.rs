//! The agent `echo`: it streams the user's text back, word by word.
//!
//! What it echoes is the client's own text, without the host's notes on images and files. Each word is one
//! `stream_delta`, followed by a blank. The run ends with the text as its content and the number of words as
//! its `token_count`. When it is stopped it ends at once, with what was streamed so far.

#![warn(missing_docs)]

use std::time::Duration;

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{
    AgentBackend, CreateError, Event, InstanceContext, Outcome, RunContext, RunError, RunRequest,
    async_trait, tokio,
};

/// The most bytes of one delta; a longer word is sent in pieces. Far below what a host lets through in one event.
const MAX_DELTA_BYTES: usize = 64 * 1024;

/// The longest delay that can be configured: a minute.
const MAX_DELAY_MS: u64 = 60_000;

plugin_api::export! {
    agents: { "echo" => Echo },
}

/// The agent.
#[derive(Debug)]
pub struct Echo {
    delay: Duration,
}

/// What can be configured.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct EchoConfig {
    /// Milliseconds between two words, to look like a model that thinks. 0: none.
    #[schemars(range(max = MAX_DELAY_MS))]
    pub delay_ms: u64,
}

#[async_trait]
impl AgentBackend for Echo {
    type Config = EchoConfig;

    const SUMMARY: &'static str = "Streams the user's text back, word by word.";

    async fn create(config: EchoConfig, _ctx: InstanceContext) -> Result<Self, CreateError> {
        if config.delay_ms > MAX_DELAY_MS {
            return Err(CreateError::config(format!(
                "`delay_ms` must be at most {MAX_DELAY_MS}"
            )));
        }
        Ok(Self {
            delay: Duration::from_millis(config.delay_ms),
        })
    }

    async fn run(&self, request: RunRequest, ctx: RunContext) -> Result<Outcome, RunError> {
        let mut streamed = String::new();
        let mut words = 0;
        for word in request.user_text.split_whitespace() {
            if words > 0 {
                self.pause(&ctx).await;
            }
            if ctx.is_stopped() {
                return Ok(Outcome::stopped(streamed).token_count(words));
            }
            let word = format!("{word} ");
            for piece in pieces(&word, MAX_DELTA_BYTES) {
                ctx.emit(Event::stream_delta(piece)).await?;
            }
            streamed.push_str(&word);
            words += 1;
        }
        Ok(Outcome::finished(request.user_text).token_count(words))
    }
}

impl Echo {
    /// Returns after the delay, or when the run is stopped.
    async fn pause(&self, ctx: &RunContext) {
        if self.delay.is_zero() {
            return;
        }
        tokio::select! {
            () = ctx.stopped() => {}
            () = tokio::time::sleep(self.delay) => {}
        }
    }
}

/// Cuts `text` into pieces of at most `max` bytes, between characters.
fn pieces(mut text: &str, max: usize) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let (piece, rest) = text.split_at(text.floor_char_boundary(max));
        text = rest;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use plugin_api::schemars;
    use plugin_api::serde_json::{self, json};
    use plugin_api::testing::{Message, TestAgent, block_on};

    use super::*;

    #[test]
    fn long_words_are_cut_between_characters() {
        let cut: Vec<_> = pieces("aébcd", 2).collect();
        assert_eq!(cut, ["a", "é", "bc", "d"]);
        assert_eq!(pieces("word ", 64).collect::<Vec<_>>(), ["word "]);
        assert_eq!(pieces("", 64).count(), 0);
    }

    #[test]
    fn every_setting_is_optional_and_no_other_is_taken() {
        let config: EchoConfig = serde_json::from_value(json!({})).unwrap();
        assert_eq!(config.delay_ms, 0);
        let config: EchoConfig = serde_json::from_value(json!({"delay_ms": 30})).unwrap();
        assert_eq!(config.delay_ms, 30);
        assert!(serde_json::from_value::<EchoConfig>(json!({"delay": 30})).is_err());
    }

    #[test]
    fn the_schema_says_what_a_delay_may_be() {
        let schema = schemars::schema_for!(EchoConfig).to_value();
        assert_eq!(schema["properties"]["delay_ms"]["maximum"], MAX_DELAY_MS);
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn words_come_one_by_one_until_the_run_is_stopped() {
        block_on(async {
            let agent = TestAgent::<Echo>::create(json!({ "delay_ms": 60_000 }))
                .await
                .unwrap();
            let ended = agent.run(Message::new("hello  big world")).await;
            assert_eq!(ended.text(), "hello big world ");
            assert_eq!(ended.outcome().content(), "hello  big world");
            assert_eq!(ended.outcome().as_wire().token_count, 3);
            // Between the words, and not before the first.
            assert_eq!(ended.elapsed(), Duration::from_secs(120));

            let stopped = agent
                .run(Message::new("hello big world").stop_after_events(2))
                .await;
            assert!(stopped.outcome().is_stopped());
            assert_eq!(stopped.outcome().content(), "hello big ");
        });
    }
}
