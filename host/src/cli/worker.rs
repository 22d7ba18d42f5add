//! Opening libraries in a process of its own, so that one that crashes takes no command with it.
//!
//! The command starts this binary again as `roundhouse worker …`, which writes one JSON value into a file. Nothing is
//! read from pipes: what libraries print is not in the way then, and a process that one of them starts and that outlives
//! the worker holds nobody up.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{ConfigArgs, runtime};
use crate::config::LibraryFile;
use crate::plugin::{self, ComponentInfo, Inspection, PluginState, SearchPath};

/// How long the other process may take. Plugins have bounds of their own, well below it.
const TIME: Duration = Duration::from_secs(120);

/// How long plugins that were only checked may take to end.
const SHUTDOWN_TIME: Duration = Duration::from_secs(10);

#[derive(Args, Debug)]
pub(super) struct WorkerArgs {
    /// The file that gets the answer.
    #[arg(long)]
    answer: PathBuf,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Load the plugins of a configuration.
    Load(ConfigArgs),
    /// Read what a library says of itself.
    Inspect {
        library: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// A plugin of a configuration, and what became of it.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct PluginReport {
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) required: bool,
    /// What is wrong; empty for a plugin that loaded.
    pub(super) faults: Vec<String>,
    pub(super) version: String,
    pub(super) components: Vec<String>,
}

/// What loading a configuration's plugins came to, when the host would start with them.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Loaded {
    pub(super) plugins: Vec<PluginReport>,
    /// Agents that cannot be used, and why: a plugin that is not required failed.
    pub(super) unavailable: BTreeMap<String, String>,
}

/// Does the work, in the other process.
pub(super) fn run(args: WorkerArgs) -> anyhow::Result<ExitCode> {
    let staging = tempfile::tempdir()?;
    let json = match args.task {
        Task::Load(config) => serde_json::to_string(&load(config, staging.path())?)?,
        Task::Inspect { library, config } => {
            serde_json::to_string(&inspect(&library, &config, staging.path())?)?
        }
    };
    std::fs::write(&args.answer, json).context("the file for the answer")?;
    Ok(ExitCode::SUCCESS)
}

/// Looks at a path if `library` looks like one; otherwise at the configured plugin of this name, or at the library
/// that the host would find under it.
fn inspect(library: &str, config: &ConfigArgs, staging: &Path) -> anyhow::Result<Inspection> {
    let path = Path::new(library);
    if path.extension().is_some() || path.components().count() > 1 {
        let file = LibraryFile::Path(path.to_owned());
        return Ok(plugin::inspect(&file, &SearchPath::default(), staging)?);
    }
    let bare = LibraryFile::Bare(library.to_owned());
    match config.load() {
        Ok(config) => {
            let search = SearchPath::with_defaults(&config.plugins.search_paths);
            let configured = config.plugins.libraries.get(library);
            let file = configured.map_or(&bare, |configured| &configured.file);
            Ok(plugin::inspect(file, &search, staging)?)
        }
        // Whoever asks may be looking for what is wrong with it.
        Err(faults) => plugin::inspect(&bare, &SearchPath::with_defaults(&[]), staging)
            .with_context(|| format!("{faults:#}\nwithout it")),
    }
}

fn load(args: ConfigArgs, data: &Path) -> anyhow::Result<Loaded> {
    let mut config = args.load()?;
    // A host may be running on the configured folder; its staged libraries are left alone.
    config.storage.path = data.to_owned();
    runtime()?.block_on(async {
        let catalog = plugin::load(&config).await?;
        let reports = catalog.plugins().into_iter().map(|status| {
            let (version, components, faults) = match status.state {
                PluginState::Loaded {
                    version,
                    components,
                    ..
                } => (version, names(&components), Vec::new()),
                PluginState::Failed { reasons } => (String::new(), Vec::new(), reasons),
            };
            PluginReport {
                name: status.name,
                file: status.file,
                required: status.required,
                faults,
                version,
                components,
            }
        });
        let unavailable = catalog.agents().filter_map(|agent| {
            let reason = agent.unavailable()?;
            Some((agent.name().to_owned(), reason.to_owned()))
        });
        let report = Loaded {
            plugins: reports.collect(),
            unavailable: unavailable.collect(),
        };
        catalog.shutdown(SHUTDOWN_TIME).await;
        Ok(report)
    })
}

/// Components for people: kind and name.
pub(super) fn names(components: &[ComponentInfo]) -> Vec<String> {
    let name = |component: &ComponentInfo| {
        let unsupported = if component.supported {
            ""
        } else {
            " (not supported by this host)"
        };
        format!("{} {}{unsupported}", component.kind, component.name)
    };
    components.iter().map(name).collect()
}

/// Has another process load the plugins of the configuration that `args` name.
///
/// # Errors
///
/// What `serve` would end with.
pub(super) fn load_elsewhere(args: &ConfigArgs) -> anyhow::Result<Loaded> {
    let mut command = vec!["load".into()];
    command.extend(args.to_args());
    elsewhere(&command, "loading the plugins")
}

/// Has another process read what `library` says of itself.
pub(super) fn inspect_elsewhere(library: &str, config: &ConfigArgs) -> anyhow::Result<Inspection> {
    let mut command = vec!["inspect".into(), library.into()];
    command.extend(config.to_args());
    elsewhere(&command, &format!("opening {library}"))
}

fn elsewhere<T: DeserializeOwned>(task: &[std::ffi::OsString], doing: &str) -> anyhow::Result<T> {
    let folder = tempfile::tempdir().context("a folder for the answer")?;
    let (answer, said) = (folder.path().join("answer"), folder.path().join("said"));
    let mut child = Command::new(std::env::current_exe().context("the path of this binary")?)
        .arg("worker")
        .arg("--answer")
        .arg(&answer)
        .args(task)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&said).context("a file for what the other process says")?)
        .spawn()
        .context("the process that opens libraries could not be started")?;
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() > TIME {
            child.kill()?;
            child.wait()?;
            bail!("{doing} took more than {} s and was ended", TIME.as_secs());
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    if !status.success() {
        let said = std::fs::read(&said).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        bail!("{}", what_happened(status, &said, doing));
    }
    let answer = std::fs::read_to_string(&answer)
        .with_context(|| format!("{doing}: the other process gave no answer"))?;
    serde_json::from_str(&answer)
        .with_context(|| format!("{doing}: the answer of the other process"))
}

/// What a failed process says, or what ended it.
fn what_happened(status: ExitStatus, err: &str, doing: &str) -> String {
    use std::os::unix::process::ExitStatusExt;
    let said = err
        .trim()
        .strip_prefix("roundhouse: ")
        .unwrap_or(err.trim());
    match status.signal() {
        Some(signal) if said.is_empty() => {
            format!("{doing} crashed the process that did it (signal {signal})")
        }
        Some(signal) => {
            format!("{doing} crashed the process that did it (signal {signal}); it said: {said}")
        }
        None => said.to_owned(),
    }
}
