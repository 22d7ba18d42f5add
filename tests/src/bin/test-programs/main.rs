//! The programs that tests start: `acp-agent` as its first argument is an agent, `mcp-server` a server of tools, anything else the
//! host's own command line.

use std::process::ExitCode;

mod acp_agent;
mod mcp_server;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("acp-agent") => acp_agent::run(&args.collect::<Vec<_>>()),
        Some("mcp-server") => mcp_server::run(args),
        _ => roundhouse_host::cli::run(),
    }
}
