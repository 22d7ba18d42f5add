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
