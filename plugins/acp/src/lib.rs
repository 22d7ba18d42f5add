//! The agent `acp`: any program that speaks the Agent Client Protocol, as a child process. `docs/acp.md` is for operators.
//!
//! In reading order: `config` is what can be set; `turn` is one run, of the `prompt` to the last update, which `show` turns
//! into events (`calls`: those of tools, `content`: what is in them); `requests` and `permissions` are what the agent asks in between, `files` where
//! its files end; `session` begins with an agent or goes on, in a `process`, over a `wire`; `pool` keeps processes between
//! runs.

#![warn(missing_docs)]

mod calls;
mod config;
mod content;
mod files;
mod mask;
mod permissions;
mod pool;
mod process;
mod prompt;
mod requests;
mod session;
mod show;
mod turn;
mod wire;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::{
    AgentBackend, ChildCommand, CreateError, Health, InstanceContext, Outcome, RunContext,
    RunError, RunRequest, SessionId, async_trait, tokio, tracing,
};

pub use config::Config;
use mask::Mask;
use pool::Pool;
use session::{Session, StartError};
use turn::Turn;

plugin_api::export! {
    agents: { "acp" => Acp },
}

/// How long an error is at most that clients read, or a line of the log that tells of one.
const TEXT_BYTES: usize = 6 * 1024;

/// The agent.
#[derive(Debug)]
pub struct Acp {
    config: Config,
    ctx: InstanceContext,
    pool: Arc<Pool<Session>>,
    /// Hides what is secret in the program's environment.
    mask: Arc<Mask>,
}

#[async_trait]
impl AgentBackend for Acp {
    type Config = Config;

    const SUMMARY: &'static str =
        "Answers with a program that speaks the Agent Client Protocol, a process for each session.";

    async fn create(config: Config, ctx: InstanceContext) -> Result<Self, CreateError> {
        let config = config.checked()?;
        let pool = Pool::new(config.max_children, config.idle_timeout());
        let mask = Arc::new(Mask::new(
            config.env.values().map(plugin_api::Secret::expose),
        ));
        Ok(Self {
            config,
            ctx,
            pool,
            mask,
        })
    }

    async fn run(&self, request: RunRequest, ctx: RunContext) -> Result<Outcome, RunError> {
        let ended = Turn::new(self, &request, &ctx).run().await;
        ended.map_err(|error| match error {
            RunError::Agent(text) => RunError::Agent(self.shown(&text)),
            other => other,
        })
    }

    async fn shutdown(&self) {
        self.pool.close().await;
    }

    fn session_ended(&self, session: &SessionId) {
        self.pool.forget(session.as_str());
    }
}

impl Acp {
    /// Where the agent works in this session. Made where it is not there.
    async fn folder(&self, session: &str) -> io::Result<PathBuf> {
        let folder = &self.config.folder;
        if !self.config.folder_per_session {
            return Ok(folder.clone());
        }
        let own = folder.join(session);
        tokio::fs::create_dir_all(&own).await?;
        Ok(own)
    }

    /// How its program is started there.
    fn command(&self, folder: &Path) -> ChildCommand {
        let config = &self.config;
        let mut command = self
            .ctx
            .child(&config.command)
            .args(&config.args)
            .current_dir(folder);
        for (name, value) in &config.env {
            command = command.env(name, value.expose());
        }
        if config.confined {
            let mut write = vec![folder.to_owned()];
            write.extend(config.files.write.iter().cloned());
            command = command.files(config.files.read.clone(), write);
        }
        command
    }

    /// Tells the operator whether programs can be started. Health is for whoever may see the agent, and what the program
    /// has said for those whose session it is: it goes to the log.
    fn tell_health(&self, started: &Result<Session, StartError>) {
        self.ctx.set_health(match started {
            Ok(_) => Health::Ok,
            Err(error) => {
                let text = self.shown(&error.to_string());
                tracing::warn!("no session with the agent: {text}");
                Health::failing(error.kind())
            }
        });
    }

    /// A text that the program may have written, as it may be shown.
    fn shown(&self, text: &str) -> String {
        self.mask.text(text, TEXT_BYTES)
    }
}
