//! The programs that tests start: `acp-agent` as its first argument is an agent, anything else the host's own command
//! line.

use std::process::ExitCode;

mod acp_agent;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("acp-agent") => acp_agent::run(&args.collect::<Vec<_>>()),
        _ => roundhouse_host::cli::run(),
    }
}
