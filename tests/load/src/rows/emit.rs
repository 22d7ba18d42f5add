//! Row 7: the emitting alone, which another program measures in its own process.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Bench;
use crate::process::build;
use crate::report::{Figure, Row, Target};

const WORK: &str = "emit across the boundary into the log, in process";

const PROGRAM: &str = "roundhouse-load-emit";

pub(super) async fn measure(bench: &Bench) -> Result<Row> {
    let program = build(&["--package", "roundhouse-load", "--bin", PROGRAM], PROGRAM)?;
    let output = Command::new(program)
        .arg(bench.rounds(9).to_string())
        .output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    let (alone, watched) = text.trim().split_once(' ').context("no figures")?;
    Ok(Row {
        figures: vec![
            Figure::alone(WORK, "ns an event", alone.parse()?, Target::AtMost(100.0)),
            Figure::alone(
                WORK,
                "ns an event, encoded for a watcher",
                watched.parse()?,
                Target::None,
            ),
        ],
        ..Row::default()
    })
}
