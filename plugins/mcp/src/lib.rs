//! The toolset `mcp`: the tools of any server that speaks the Model Context Protocol. `docs/mcp.md` is for operators.
//!
//! In reading order: `config` is what can be set; `server` keeps one server connected (`delay`: when it is tried again)
//! and calls its tools; `connection` is one connection to it, over a program that `stdio` starts or over `http`; `link`
//! stands between these and the SDK, deals with what a server may say unasked, and gives `signals`; `tools` is what is
//! offered of a server's tools (`patterns`: which), `call` one call (`ask`: any request) and `result` what came of it; `board` is what the host
//! is told. `voice`, `pace`, `words` and `lines` keep what a server says fit to be read.

#![warn(missing_docs)]

mod ask;
mod board;
mod call;
mod config;
mod connection;
mod delay;
mod http;
mod lines;
mod link;
mod pace;
mod patterns;
mod result;
mod server;
mod signals;
mod stdio;
mod tools;
mod voice;
mod words;

use std::sync::Arc;
use std::time::Duration;

use plugin_api::tokio::time::{Instant, timeout, timeout_at};
use plugin_api::{
    CreateError, InstanceContext, ToolCall, ToolContext, ToolError, ToolOutput, ToolSpec, Toolset,
    async_trait, tracing,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use board::Board;
pub use config::Config;
use config::at;
use connection::Place;
use http::Endpoint;
use server::{Server, Status};
use voice::Voice;
use words::Secrets;

/// How long the servers are waited for at the start, so that their tools are there from the beginning; and those without
/// which the host must not start. Less than the host waits for an instance.
const START_WAITS: Duration = Duration::from_secs(5);
const REQUIRED_WAITS: Duration = Duration::from_secs(25);

/// How long all connections together may take to end; less than the host waits for that.
const END_WAITS: Duration = Duration::from_secs(20);

plugin_api::export! {
    toolsets: { "mcp" => Mcp },
}

/// The toolset.
#[derive(Debug)]
pub struct Mcp {
    servers: Vec<Arc<Server>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stop_when_dropped: DropGuard,
}

#[async_trait]
impl Toolset for Mcp {
    type Config = Config;

    const SUMMARY: &'static str = "The tools of servers that speak the Model Context Protocol.";

    async fn create(config: Config, ctx: InstanceContext) -> Result<Self, CreateError> {
        config.check()?;
        let servers = config
            .servers
            .into_iter()
            .map(|(name, config)| server(&name, config))
            .collect::<Result<Vec<_>, _>>()?;
        let stop = CancellationToken::new();
        let mcp = Self {
            servers,
            tasks: TaskTracker::new(),
            _stop_when_dropped: stop.clone().drop_guard(),
            stop,
        };
        let board = Board::new(ctx.clone(), mcp.servers.clone());
        for server in &mcp.servers {
            let keeping =
                Arc::clone(server).keep(ctx.clone(), Arc::clone(&board), mcp.stop.clone());
            mcp.tasks.spawn(keeping);
        }
        if let Err(error) = mcp.started().await {
            mcp.end().await;
            return Err(error);
        }
        board.begin();
        mcp.tasks.spawn(board.tell(mcp.stop.clone()));
        Ok(mcp)
    }

    async fn list(&self) -> Vec<ToolSpec> {
        let offers: Vec<_> = self.servers.iter().map(|server| server.offer()).collect();
        let names = self.servers.iter().map(|server| server.name.as_str());
        tools::together(names.zip(offers.iter().map(Arc::as_ref)))
    }

    async fn call(&self, call: ToolCall, ctx: ToolContext) -> Result<ToolOutput, ToolError> {
        for server in &self.servers {
            let offer = server.offer();
            if let Some(tool) = offer.own_name(&call.name) {
                return server.call(tool, &call.args, &ctx).await;
            }
        }
        Err(ToolError::unknown_tool(call.name))
    }

    async fn shutdown(&self) {
        self.end().await;
    }
}

impl Mcp {
    /// Waits for the first attempt to reach each server.
    async fn started(&self) -> Result<(), CreateError> {
        let begin = Instant::now();
        for server in &self.servers {
            let mut status = server.status.subscribe();
            let tried = status.wait_for(|status| !matches!(status, Status::Starting));
            let limit = match server.config.required {
                true => REQUIRED_WAITS,
                false => START_WAITS,
            };
            let tried = timeout_at(begin + limit, tried).await;
            if !server.config.required {
                continue;
            }
            let problem = match tried.as_ref().map(|status| status.as_deref()) {
                Ok(Ok(Status::Up(_))) => continue,
                Ok(Ok(Status::Away(absence) | Status::Trying(absence))) => {
                    let said = absence.said.as_deref().unwrap_or_default();
                    match said {
                        "" => absence.reason.clone(),
                        said => format!("{}; it wrote: {said}", absence.reason),
                    }
                }
                _ => format!("it was not there within {} seconds", limit.as_secs()),
            };
            return Err(CreateError::failed(format_args!(
                "servers.{}: it is required, and not available: {problem}",
                server.name
            )));
        }
        Ok(())
    }

    /// Ends all connections, and the processes behind them.
    async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        if timeout(END_WAITS, self.tasks.wait()).await.is_err() {
            tracing::warn!("not all connections to MCP servers have ended in time");
        }
    }
}

fn server(name: &str, config: config::Server) -> Result<Arc<Server>, CreateError> {
    let place = match (&config.command, &config.url) {
        (Some(command), _) => Place::Program(command.clone()),
        (None, Some(url)) => Place::Url(Endpoint::new(name, &config, url)?),
        (None, None) => return Err(at(name, "", "needs a `command` or a `url`")),
    };
    let voice = Voice::new(name, Secrets::new(config.secrets()));
    Ok(Arc::new(Server::new(name, config, place, voice)))
}
