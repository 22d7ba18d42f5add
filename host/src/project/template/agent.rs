//! The agent: it answers messages.

use std::time::Duration;

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{
    AgentBackend, CreateError, Event, InstanceContext, Outcome, RunContext, RunError, RunRequest,
    async_trait, tokio,
};

/// Says everything again, word by word.
pub struct Agent {
    config: AgentConfig,
}

/// What an operator can set. They get to read these comments.
#[derive(Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct AgentConfig {
    /// What every answer begins with.
    greeting: String,
    /// Milliseconds before each word.
    #[schemars(range(max = 60_000))]
    pause_ms: u64,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            greeting: "You said:".to_owned(),
            pause_ms: 50,
        }
    }
}

#[async_trait]
impl AgentBackend for Agent {
    type Config = AgentConfig;

    const SUMMARY: &'static str = "Says everything again, word by word.";

    async fn create(config: AgentConfig, _ctx: InstanceContext) -> Result<Self, CreateError> {
        Ok(Self { config })
    }

    async fn run(&self, request: RunRequest, ctx: RunContext) -> Result<Outcome, RunError> {
        let answer = format!("{} {}", self.config.greeting, request.user_text);
        let mut said = String::new();
        for word in answer.split_inclusive(' ') {
            tokio::select! {
                () = ctx.stopped() => return Ok(Outcome::stopped(said)),
                () = tokio::time::sleep(Duration::from_millis(self.config.pause_ms)) => {}
            }
            ctx.emit(Event::stream_delta(word)).await?;
            said.push_str(word);
        }
        Ok(Outcome::finished(said))
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::json;
    use plugin_api::testing::{Message, TestAgent, block_on};

    use super::*;

    #[test]
    fn it_answers() {
        block_on(async {
            let config = json!({ "greeting": "I heard:", "pause_ms": 1000 });
            let agent = TestAgent::<Agent>::create(config).await.unwrap();
            let ended = agent.run(Message::new("hello there")).await;
            assert_eq!(ended.text(), "I heard: hello there");
            assert_eq!(ended.outcome().content(), "I heard: hello there");
            // Of the test's clock, which does not wait.
            assert_eq!(ended.elapsed(), Duration::from_secs(4));
        });
    }

    #[test]
    fn it_stops() {
        block_on(async {
            let agent = TestAgent::<Agent>::create(json!({})).await.unwrap();
            let ended = agent.run(Message::new("hello").stop_after_events(2)).await;
            assert!(ended.outcome().is_stopped());
            assert_eq!(ended.text(), "You said: ");
        });
    }
}
