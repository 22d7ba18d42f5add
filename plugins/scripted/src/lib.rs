//! The agent `scripted`: it does what the message says, for testing clients, hosts and other plugins.
//!
//! A message (the client's own text) that starts with `script:` carries a JSON list of steps, each an object
//! with one key; `docs/plugins.md` has the table of them. Any other message is echoed word by word, each
//! word followed by a blank, and ends with the text as its content and the number of words as its
//! `token_count`.
//!
//! A script is read as a whole before its first step is taken, so a faulty one does nothing but fail, with
//! the step and what is wrong with it. In reading order: `script` reads, `play` takes the steps,
//! `stage` is what they act on, `template` makes the events that are emitted many times.

#![warn(missing_docs)]

mod answer;
mod play;
mod script;
mod stage;
mod template;

use plugin_api::{
    AgentBackend, CreateError, InstanceContext, NoConfig, Outcome, RunContext, RunError,
    RunRequest, async_trait,
};

use play::Player;
use script::Script;
use stage::Run;

/// What a message with a script starts with.
const PREFIX: &str = "script:";

plugin_api::export! {
    agents: { "scripted" => Scripted },
}

/// The agent.
#[derive(Debug)]
pub struct Scripted;

#[async_trait]
impl AgentBackend for Scripted {
    type Config = NoConfig;

    const SUMMARY: &'static str =
        "Plays the script that the message carries, for testing clients; echoes any other text.";

    async fn create(_config: NoConfig, _ctx: InstanceContext) -> Result<Self, CreateError> {
        Ok(Self)
    }

    async fn run(&self, request: RunRequest, ctx: RunContext) -> Result<Outcome, RunError> {
        let run = Run::new(request, ctx);
        let mut player = Player::new(&run);
        let end = match run.text().strip_prefix(PREFIX) {
            Some(json) => {
                let script = Script::parse(json).map_err(RunError::agent)?;
                player.play(script).await?
            }
            None => player.echo_words(run.text()).await?,
        };
        Ok(end.into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plugin_api::serde_json::{Value, json};
    use plugin_api::testing::{Ended, Message, TestAgent, block_on};
    use plugin_api::{RunError, SubagentOutcome, ToolOutput};

    use super::*;

    async fn play(steps: Value, with: impl FnOnce(Message) -> Message) -> Ended {
        let agent = TestAgent::<Scripted>::create(json!({})).await.unwrap();
        agent
            .run(with(Message::new(format!("{PREFIX}{steps}"))))
            .await
    }

    #[test]
    fn a_script_is_played_against_the_hosts_services() {
        block_on(async {
            let steps = json!([
                { "tool": ["calculator", { "expression": "6 * 7" }] },
                { "subagent": ["echo", "hello"] },
                { "echo": "images" },
                { "sleep": 3600 },
            ]);
            let ended = play(steps, |message| {
                message
                    .tool("calculator", |_| ToolOutput::text("42"))
                    .subagent("echo", |asked| SubagentOutcome::finished(asked))
                    .image("image/png", *b"bytes")
                    .time_limit(Duration::from_secs(4000))
            });
            let ended = ended.await;
            assert_eq!(ended.outcome().content(), r#"["Ynl0ZXM="]"#);
            assert_eq!(ended.tool_calls()[0].args, json!({ "expression": "6 * 7" }));
            assert_eq!(ended.elapsed(), Duration::from_secs(3600));
        });
    }

    #[test]
    fn what_the_host_refuses_fails_the_run_with_its_place() {
        block_on(async {
            let ended = play(json!([{ "emit": { "kind": "stream_start" } }]), |message| {
                message
            })
            .await;
            let RunError::Agent(text) = ended.failure() else {
                panic!("{:?}", ended.failure())
            };
            let told =
                "script, step 1 (`emit` of `stream_start`): the host refused the event as invalid";
            assert_eq!(text, told);
        });
    }

    #[test]
    fn a_stop_ends_a_wait() {
        block_on(async {
            let steps = json!([{ "echo": "user" }, { "wait_stop": 60 }]);
            let ended = play(steps, |message| message.stop_after(Duration::from_secs(5))).await;
            assert!(ended.outcome().is_stopped());
            assert_eq!(ended.elapsed(), Duration::from_secs(5));
        });
    }
}
