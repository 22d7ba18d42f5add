//! The agent `openai`: any model behind an OpenAI-compatible API, with tools, subagents, plans and a context that
//! is compressed before it is full. `docs/openai.md` is for operators.
//!
//! In reading order: `config` is what can be set; `turn` is the loop of one run; `ask` asks the model once, through
//! `http` (`address`: where) and, when that fails, `retry`, and lets `voice` show what comes; `api` has the two forms in which the
//! question and the answer travel; `offer` and `tools` are what the model can call, `own` those of them that the
//! agent has within itself, `profiles` which of them it has and when; `history` and `compress` are
//! what it knows of the turns before, `plan` what it does first.

#![warn(missing_docs)]

mod address;
mod api;
mod ask;
mod compress;
mod config;
mod conversation;
mod history;
mod http;
mod offer;
mod own;
mod plan;
mod profiles;
mod retry;
mod tools;
mod turn;
mod voice;

use std::time::Duration;

use plugin_api::{
    AgentBackend, CreateError, InstanceContext, Outcome, RunContext, RunError, RunRequest,
    async_trait, tokio,
};

pub use config::Config;
use http::Client;
use retry::Policy;
use turn::Turn;

plugin_api::export! {
    agents: { "openai" => OpenAi },
}

/// The agent.
#[derive(Debug)]
pub struct OpenAi {
    config: Config,
    client: Client,
    policy: Policy,
}

#[async_trait]
impl AgentBackend for OpenAi {
    type Config = Config;

    const SUMMARY: &'static str = "Answers with a model behind an OpenAI-compatible API.";

    async fn create(config: Config, _ctx: InstanceContext) -> Result<Self, CreateError> {
        config.check()?;
        let client = Client::new(&config)?;
        let policy = Policy {
            most: config.max_retries,
            first: Duration::from_millis(config.retry_delay_ms),
        };
        Ok(Self {
            config,
            client,
            policy,
        })
    }

    async fn run(&self, request: RunRequest, ctx: RunContext) -> Result<Outcome, RunError> {
        let mut turn = Turn::new(self, &request, &ctx);
        // Whatever is under way is dropped at a stop, and with it the request to the model and the calls of tools.
        let ended = tokio::select! {
            biased;
            () = ctx.stopped() => Err(RunError::Stopped),
            ended = turn.run() => ended,
        };
        turn.outcome(ended)
    }
}
