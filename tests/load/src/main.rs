//! The load benchmark: what the host costs beside a bare WebSocket server that sends the same frames.
//!
//! It starts the release host with the dynamic `scripted` plugin, and the floor ([`floor`]), each as its own
//! process on loopback, drives both in turns, and prints ratios. `docs/benchmarks.md` explains the rows.
//!
//! `cargo run --release -p roundhouse-load [ROW…]`; exit code 1 when an event was lost or anything else was wrong, 0
//! whether or not the targets were met, since machines are noisy.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]

mod client;
mod floor;
mod frames;
mod process;
mod report;
mod rows;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;

use report::Row;
use rows::{Bench, ROWS};

/// The argument with which this program is the floor.
const FLOOR: &str = "serve-the-floor";

/// Measures the release host against a bare WebSocket server.
#[derive(Parser)]
struct Arguments {
    /// The rows to measure; all when none is given.
    rows: Vec<String>,
    /// How many times the usual number of rounds.
    #[arg(long, default_value_t = 1.0)]
    rounds: f64,
    /// A host that is built already, with its plugins around it, instead of one that is built now.
    #[arg(long)]
    host: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == FLOOR) {
        floor::serve(arguments.next().map(PathBuf::from))?;
        return Ok(ExitCode::SUCCESS);
    }
    let arguments = Arguments::parse();
    for name in &arguments.rows {
        if !ROWS.iter().any(|(row, _)| row == name) {
            let names: Vec<_> = ROWS.iter().map(|(row, _)| *row).collect();
            bail!("there is no row `{name}`; there are: {}", names.join(", "));
        }
    }
    if cfg!(debug_assertions) {
        bail!("figures of a debug build say nothing: use `cargo run --release -p roundhouse-load`");
    }
    process::raise_open_files();
    let bench = Bench {
        binary: match arguments.host {
            Some(binary) => binary.canonicalize()?,
            None => process::build_host()?,
        },
        rounds: arguments.rounds,
    };
    // One thread: the driver must leave the processors to what it measures.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut measured = Vec::new();
    for (name, row) in ROWS {
        if arguments.rows.is_empty() || arguments.rows.iter().any(|wanted| wanted == name) {
            eprintln!("{name} …");
            let local = tokio::task::LocalSet::new();
            let row = local
                .block_on(&runtime, row(&bench))
                .unwrap_or_else(|error| Row {
                    faults: vec![format!("{name}: {error:#}")],
                    ..Row::default()
                });
            measured.push(row);
        }
    }
    report::print(&measured);
    let mut code = ExitCode::SUCCESS;
    for fault in measured.iter().flat_map(|row| &row.faults) {
        eprintln!("WRONG: {fault}");
        code = ExitCode::FAILURE;
    }
    Ok(code)
}
