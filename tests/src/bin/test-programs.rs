//! The programs that tests start: the host's own command line, and what the first argument names.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("mcp-server") => roundhouse_tests::mcp::program::run(arguments),
        _ => roundhouse_host::cli::run(),
    }
}
