//! `roundhouse check`.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::worker::{self, Loaded};
use super::{ConfigArgs, output};

/// Tells every fault of the configuration, or else of the plugins that it names.
pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let config = args.load()?;
    let loaded = worker::load_elsewhere(args)?;
    let agents: Vec<_> = config.agents.keys().map(String::as_str).collect();
    let mut text = String::new();
    describe(&mut text, &loaded, &agents, &config.default_agent)?;
    let can_answer = !loaded.unavailable.contains_key(&config.default_agent);
    if can_answer {
        text.push_str("ok\n");
    }
    output::print(&text)?;
    if can_answer {
        return Ok(ExitCode::SUCCESS);
    }
    anyhow::bail!(
        "the default agent `{}` is not available",
        config.default_agent
    )
}

fn describe(
    text: &mut String,
    loaded: &Loaded,
    agents: &[&str],
    default: &str,
) -> std::fmt::Result {
    for plugin in &loaded.plugins {
        if plugin.faults.is_empty() {
            let components = plugin.components.join(", ");
            writeln!(
                text,
                "plugin {} {}: {components}",
                plugin.name, plugin.version
            )?;
        } else {
            writeln!(text, "plugin {}: failed, but is not required", plugin.name)?;
        }
        for fault in &plugin.faults {
            writeln!(text, "  {fault}")?;
        }
    }
    writeln!(text, "agents: {} (default: {default})", agents.join(", "))?;
    for (agent, reason) in &loaded.unavailable {
        writeln!(text, "agent {agent}: not available: {reason}")?;
    }
    Ok(())
}
