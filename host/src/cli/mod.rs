//! The command line, one file a subcommand.
//!
//! Exit codes: 0 when done, 1 when something failed, 2 when the call itself was wrong. What a program reads goes
//! to standard output, everything for people to standard error.

mod chat;
mod check;
mod new;
mod otlp;
mod output;
mod plugin;
mod plugin_test;
mod plugin_worker;
mod schema;
mod serve;
mod telemetry;
mod worker;

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::child_guard::{ChildGuardArgs, GuardedChildArgs};
use crate::config::{Config, DEFAULT_FILE, Loader};

/// Hosts AI-agent plugins behind one streaming WebSocket protocol.
#[derive(Debug, Parser)]
#[command(
    name = "roundhouse",
    version,
    about,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ConfigArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve agents until told to end. This is also what happens without a subcommand.
    Serve(ConfigArgs),
    /// Check the configuration and the plugins that it names, and tell every fault.
    Check(ConfigArgs),
    /// Talk to an agent of a running host.
    Chat(chat::ChatArgs),
    /// Make plugins, look at them, and test them.
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Print a published schema.
    Schema(schema::SchemaArgs),
    /// Open libraries on behalf of another command.
    #[command(hide = true)]
    Worker(worker::WorkerArgs),
    /// Serve a library to the host that has started this process.
    #[command(hide = true)]
    PluginWorker(plugin_worker::PluginWorkerArgs),
    /// Run a program that ends with this command's standard input.
    #[command(hide = true)]
    ChildGuard(ChildGuardArgs),
    /// What `child-guard` starts: becomes the program.
    #[command(hide = true)]
    GuardedChild(GuardedChildArgs),
}

/// Which configuration, and what overrides it.
#[derive(Args, Clone, Debug, Default)]
struct ConfigArgs {
    /// Configuration file, read after `config/roundhouse.toml` and before the environment.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on, such as 127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Data folder.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Which log lines to write, such as `info` or `roundhouse_host=debug`.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

impl ConfigArgs {
    fn load(&self) -> anyhow::Result<Config> {
        Ok(self.loader()?.load()?)
    }

    fn loader(&self) -> anyhow::Result<Loader> {
        let mut loader = Loader::from_process();
        if let Some(file) = &self.config {
            loader = loader.file(file);
        }
        if let Some(listen) = &self.listen {
            loader = loader.flag("--listen", "server.listen", listen.as_str());
        }
        if let Some(data) = &self.data {
            let data = data
                .to_str()
                .ok_or_else(|| anyhow::anyhow!("--data: the path is not UTF-8"))?;
            loader = loader.flag("--data", "storage.path", data);
        }
        if let Some(log) = &self.log {
            loader = loader.flag("--log", "log.filter", log.as_str());
        }
        Ok(loader)
    }

    /// The arguments that another process of this binary is to be given.
    fn to_args(&self) -> Vec<OsString> {
        let flag =
            |name: &str, value: Option<&OsStr>| value.map(|value| [name.into(), value.into()]);
        [
            flag("--config", self.config.as_ref().map(AsRef::as_ref)),
            flag("--listen", self.listen.as_ref().map(AsRef::as_ref)),
            flag("--data", self.data.as_ref().map(AsRef::as_ref)),
            flag("--log", self.log.as_ref().map(AsRef::as_ref)),
        ]
        .into_iter()
        .flatten()
        .flatten()
        .collect()
    }

    /// The configuration's files, for people.
    fn files(&self) -> String {
        let default = Path::new(DEFAULT_FILE);
        let read = default
            .exists()
            .then_some(default)
            .into_iter()
            .chain(self.config.as_deref());
        let names: Vec<_> = read.map(|file| file.display().to_string()).collect();
        if names.is_empty() {
            format!("built in (there is no {DEFAULT_FILE} here)")
        } else {
            names.join(", ")
        }
    }
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Chat(args) => chat::run(args),
        Command::Plugin(command) => plugin::run(command),
        Command::Schema(args) => schema::run(&args),
        Command::Worker(args) => worker::run(args),
        Command::PluginWorker(args) => plugin_worker::run(&args),
        Command::ChildGuard(args) => Ok(args.run()),
        Command::GuardedChild(args) => Ok(args.run()),
    };
    match done {
        Ok(code) => code,
        Err(error) if error.is::<output::OutputClosed>() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", in_full(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error with all its causes, one a line, without repeating what a cause's text already holds.
fn in_full(error: &anyhow::Error) -> String {
    let mut text = format!("roundhouse: {error}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  caused by: {cause}");
        }
    }
    text
}

/// A runtime for a command that is not `serve`.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()?)
}
