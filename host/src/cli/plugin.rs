//! `roundhouse plugin`.

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;

use super::ConfigArgs;
use super::worker::{self, LoadReport};
use crate::plugin::Inspection;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the configured plugins and what became of them.
    List(ConfigArgs),
    /// Show what a library says of itself, without making an instance of anything.
    Inspect {
        /// A file, or a name such as `roundhouse_echo` that is searched for.
        #[arg(value_name = "FILE")]
        library: String,
        /// Print JSON, the schemas of the components' configuration with it.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(args) => list(&args),
        Command::Inspect { library, json } => inspect(&library, json),
    }
}

fn list(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    args.load()?;
    match worker::load_elsewhere(args)? {
        LoadReport::Failed(faults) => {
            for fault in faults {
                eprintln!("{fault}");
            }
            Ok(ExitCode::FAILURE)
        }
        LoadReport::Loaded { plugins, .. } => {
            for plugin in plugins {
                let state = if plugin.faults.is_empty() {
                    "loaded"
                } else {
                    "failed"
                };
                let required = if plugin.required {
                    "required"
                } else {
                    "optional"
                };
                println!(
                    "{}\t{state}\t{required}\t{}\t{}",
                    plugin.name,
                    plugin.version,
                    plugin.file.display()
                );
                for line in plugin.components.iter().chain(&plugin.faults) {
                    println!("  {line}");
                }
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn inspect(library: &str, json: bool) -> anyhow::Result<ExitCode> {
    let inspection: Inspection = worker::inspect_elsewhere(library)?;
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &inspection)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{} {}", inspection.name, inspection.version)?;
    writeln!(out, "  file        {}", inspection.file.display())?;
    writeln!(out, "  built with  {}", inspection.built_with)?;
    writeln!(
        out,
        "  ABI         minor {}, needs a host of minor {} or newer",
        inspection.abi_minor, inspection.min_host_minor
    )?;
    for component in &inspection.components {
        let unsupported = if component.supported {
            ""
        } else {
            " (not supported by this host)"
        };
        writeln!(
            out,
            "  {} `{}`{unsupported}",
            component.kind, component.name
        )?;
        if !component.summary.is_empty() {
            writeln!(out, "    {}", component.summary)?;
        }
        let schema = serde_json::to_string_pretty(&component.config_schema)?;
        writeln!(out, "    configuration:")?;
        for line in schema.lines() {
            writeln!(out, "      {line}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
