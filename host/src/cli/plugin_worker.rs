//! `roundhouse plugin-worker`: serves one library in this process to the host that has started it.

use std::process::ExitCode;

use clap::Args;

use crate::plugin::worker;

#[derive(Args, Debug)]
pub(super) struct PluginWorkerArgs {
    /// The plugin's name, for whoever lists processes.
    plugin: Option<String>,
}

/// Serves until the host ends this process.
pub(super) fn run(args: &PluginWorkerArgs) -> anyhow::Result<ExitCode> {
    let _ = &args.plugin;
    match worker::serve()? {}
}
