//! The programs that tests start: the host's own command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    roundhouse_host::cli::run()
}
