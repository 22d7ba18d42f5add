//! `roundhouse chat`: a conversation with an agent in a terminal, or in a pipe.
//!
//! The answer's text goes to standard output and nothing else does, so it can be read by a program; what the agent thinks
//! and does, and what becomes of the connection, goes to standard error.

mod conversation;
mod http;
mod screen;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use self::conversation::Conversation;
use self::http::Http;
use self::screen::Screen;
use super::runtime;
use crate::client::{Address, Options, Session};

/// How long the host may be gone before the conversation ends.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Args, Debug)]
pub(super) struct ChatArgs {
    /// Go on in this session, in place of a new one.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// The agent of the new session, in place of the host's default agent.
    #[arg(long, value_name = "NAME", conflicts_with = "session")]
    agent: Option<String>,
    /// The host.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8080",
        overrides_with = "url"
    )]
    url: String,
    /// The environment variable that has the host's token.
    #[arg(long, value_name = "VAR")]
    token_env: Option<String>,
    /// What to say. Without it, every line of standard input is a message.
    message: Option<String>,
}

/// Exits with 0 when the last run completed, 1 when it failed, 130 when it was stopped.
pub(super) fn run(args: ChatArgs) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let ended = runtime.block_on(chat(args));
    // A thread may still be waiting for a line.
    runtime.shutdown_background();
    ended.map(ExitCode::from)
}

async fn chat(args: ChatArgs) -> anyhow::Result<u8> {
    let token = args.token_env.as_deref().map(token).transpose()?;
    let http = Http::new(Address::parse(&args.url)?, token.clone());
    let mut screen = Screen::new();
    let id = if let Some(id) = args.session {
        // An id that cannot be one must not become another path.
        Options::new(&args.url, &id)?;
        http.session(&id).await?;
        id
    } else {
        let body = args
            .agent
            .map_or(json!({}), |agent| json!({ "agent": agent }));
        let id = http.create_session(&body).await?;
        screen.note(&format!("session {id}"));
        id
    };
    let mut options = Options::new(&args.url, &id)?.give_up_after(PATIENCE);
    if let Some(token) = &token {
        options = options.token(token)?;
    }
    let session = Session::new(options);
    Conversation::new(session, http, id, screen, args.message)
        .hold()
        .await
}

fn token(variable: &str) -> anyhow::Result<String> {
    std::env::var(variable).with_context(|| format!("the token in the variable `{variable}`"))
}
