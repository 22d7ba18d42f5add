//! `roundhouse check`.

use std::process::ExitCode;

use super::ConfigArgs;
use super::worker::{self, LoadReport};

/// Tells every fault of the configuration, or else of the plugins that it names.
pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let config = args.load()?;
    match worker::load_elsewhere(args)? {
        LoadReport::Failed(faults) => {
            let count = match faults.len() {
                1 => "a fault".to_owned(),
                count => format!("{count} faults"),
            };
            eprintln!("roundhouse: the host would not start, for {count}:");
            for fault in faults {
                eprintln!("  {fault}");
            }
            Ok(ExitCode::FAILURE)
        }
        LoadReport::Loaded {
            plugins,
            unavailable,
        } => {
            for plugin in plugins {
                if plugin.faults.is_empty() {
                    println!(
                        "plugin {} {}: {}",
                        plugin.name,
                        plugin.version,
                        plugin.components.join(", ")
                    );
                } else {
                    println!("plugin {}: failed, but is not required", plugin.name);
                }
                for fault in plugin.faults {
                    println!("  {fault}");
                }
            }
            let agents: Vec<_> = config.agents.keys().map(String::as_str).collect();
            println!(
                "agents: {} (default: {})",
                agents.join(", "),
                config.default_agent
            );
            for (agent, reason) in &unavailable {
                println!("agent {agent}: not available: {reason}");
            }
            if unavailable.contains_key(&config.default_agent) {
                eprintln!(
                    "roundhouse: the default agent `{}` is not available",
                    config.default_agent
                );
                return Ok(ExitCode::FAILURE);
            }
            println!("ok");
            Ok(ExitCode::SUCCESS)
        }
    }
}
