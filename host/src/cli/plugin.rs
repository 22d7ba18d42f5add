//! `roundhouse plugin`.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Subcommand;

use super::worker::{self, Loaded};
use super::{ConfigArgs, new, output, plugin_test};
use crate::plugin::Inspection;
use crate::project;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a new plugin: a project that builds, tests itself and is served, without an edit.
    New(new::NewArgs),
    /// Print the C header, for a plugin that is not in Rust.
    Header,
    /// Test whether a library keeps the rules, in whatever language it is written.
    Test(plugin_test::TestArgs),
    /// Run one check of a test, for the test.
    #[command(hide = true)]
    CheckOne(plugin_test::CheckArgs),
    /// List the configured plugins and what became of them.
    List(ConfigArgs),
    /// Show what a library says of itself, without making an instance of anything.
    Inspect {
        /// A file; or the name that the configuration gives a plugin; or a library's name, such as
        /// `roundhouse_echo`, that is searched for where the configuration says.
        #[arg(value_name = "LIBRARY")]
        library: String,
        #[command(flatten)]
        config: ConfigArgs,
        /// Print JSON, the schemas of the components' configuration with it.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    let text = match command {
        Command::New(args) => new::run(&args)?,
        Command::Test(args) => return plugin_test::run(&args),
        Command::CheckOne(args) => return plugin_test::check(&args),
        Command::Header => project::HEADER.to_owned(),
        Command::List(args) => list(&args)?,
        Command::Inspect {
            library,
            config,
            json,
        } => {
            let inspection = worker::inspect_elsewhere(&library, &config)?;
            if json {
                serde_json::to_string_pretty(&inspection)? + "\n"
            } else {
                describe(&inspection)?
            }
        }
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ConfigArgs) -> anyhow::Result<String> {
    args.load()?;
    let Loaded { plugins, .. } = worker::load_elsewhere(args)?;
    let mut text = String::new();
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
        writeln!(
            text,
            "{}\t{state}\t{required}\t{}\t{}",
            plugin.name,
            plugin.version,
            plugin.file.display()
        )?;
        for line in plugin.components.iter().chain(&plugin.faults) {
            writeln!(text, "  {line}")?;
        }
    }
    Ok(text)
}

fn describe(inspection: &Inspection) -> anyhow::Result<String> {
    let mut text = format!("{} {}\n", inspection.name, inspection.version);
    writeln!(text, "  file        {}", inspection.file.display())?;
    writeln!(text, "  built with  {}", inspection.built_with)?;
    writeln!(
        text,
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
            text,
            "  {} `{}`{unsupported}",
            component.kind, component.name
        )?;
        if !component.summary.is_empty() {
            writeln!(text, "    {}", component.summary)?;
        }
        let schema = serde_json::to_string_pretty(&component.config_schema)?;
        writeln!(text, "    configuration:")?;
        for line in schema.lines() {
            writeln!(text, "      {line}")?;
        }
    }
    Ok(text)
}
