//! `roundhouse check`.

use std::process::ExitCode;

use super::ConfigArgs;
use super::worker::{self, LoadReport};

/// Tells every fault of the configuration, or else of the plugins that it names.
pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let config = args.load()?;
    match worker::load_elsewhere(args)? {
        LoadReport::Failed(faults) => {
            eprintln!(
                "roundhouse: the host would not start, for {} faults:",
                faults.len()
            );
            for fault in faults {
                eprintln!("  {fault}");
            }
            Ok(ExitCode::FAILURE)
        }
        LoadReport::Loaded(plugins) => {
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
            println!("ok");
            Ok(ExitCode::SUCCESS)
        }
    }
}
