//! Whether a library keeps the rules of the plugin boundary, whatever language it is in.
//!
//! Each check opens the library anew and drives it as a host does, with an eye on everything that it calls. A check is
//! meant to run in a process of its own, with a time limit: the library may crash or hang.
//!
//! In reading order: [`report`](Report), what is told; `checks`, which there are ([`Check`]); `observer`, the host that
//! watches; `bench`, a component under test; then the checks themselves, in `agent`, `toolset` and `mapper`, and those
//! that all have: `config` and `memory`. `sample` makes arguments for tools.

mod agent;
mod bench;
mod checks;
mod config;
mod hostile;
mod mapper;
mod memory;
mod observer;
mod report;
mod sample;
mod toolset;

use std::path::{Path, PathBuf};

use plugin_api::abi::import::Component;

pub use self::checks::Check;
pub use self::report::{CheckReport, Examined, Outcome, Report, Verdict};

use self::bench::Bench;
use self::observer::Observer;
use crate::config::{Config, Fault};
use crate::plugin::{InspectError, Probe, Schema, configuration};

/// With what a library is tested.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The library.
    pub file: &'a Path,
    /// Where the configurations of its components are looked for.
    pub config: &'a Config,
    /// What agents are asked.
    pub message: &'a str,
    /// A folder for a copy of the library, and for nothing else.
    pub staging: &'a Path,
    /// Gets what is being done, so that a crash can be told with it.
    pub note: PathBuf,
    /// What this process writes to standard error, if that is a file: the panics of a library in Rust are in it.
    pub said: Option<PathBuf>,
}

/// Checks the library as a whole: its descriptor, and what its components say of themselves.
///
/// Blocks, and runs the library's own code: one that crashes takes the process with it.
///
/// # Errors
///
/// It cannot be opened; that is the verdict on the descriptor then.
pub fn examine(setup: &Setup<'_>) -> Result<Examined, InspectError> {
    let probe = Probe::open(setup.file, setup.staging, Observer::new())?;
    let descriptor = probe.descriptor();
    let components = &descriptor.components;
    let names: Vec<String> = components
        .iter()
        .map(|component| format!("{} {}", component.kind, component.name))
        .collect();
    let constant = if probe.is_constant() {
        Verdict::passed(match names.is_empty() {
            true => "no components".to_owned(),
            false => names.join(", "),
        })
    } else {
        Verdict::failed("`rh_plugin_v1` answers another address each time")
    };
    let problems: Vec<String> = components.iter().filter_map(description_fault).collect();
    let schemas = if problems.is_empty() {
        Verdict::passed("each component describes itself and its configuration")
    } else {
        Verdict::failed(problems.join("; "))
    };
    Ok(Examined {
        name: descriptor.name.clone(),
        version: descriptor.version.clone(),
        components: components
            .iter()
            .map(|component| (component.kind.to_string(), component.name.clone()))
            .collect(),
        descriptor: constant,
        schemas,
    })
}

fn description_fault(component: &Component) -> Option<String> {
    if !checks::is_known(component) {
        return None;
    }
    let what = format!("{} `{}`", component.kind, component.name);
    let described = match (component.describe(), component.describe()) {
        (Ok(first), Ok(second)) if first == second => first,
        (Ok(_), Ok(_)) => return Some(format!("{what} describes itself otherwise each time")),
        (Err(error), _) | (_, Err(error)) => return Some(format!("{what}: {error}")),
    };
    match Schema::compile(&described.config_schema) {
        Ok(_) => None,
        Err(error) => Some(format!(
            "{what}: the schema of its configuration is {error}"
        )),
    }
}

/// Runs one check of the component with this index.
///
/// Blocks, and runs the library's own code: one that crashes takes the process with it.
///
/// # Errors
///
/// It cannot be opened any more.
pub fn check(setup: &Setup<'_>, component: usize, check: Check) -> Result<Verdict, InspectError> {
    let observer = Observer::new();
    let probe = Probe::open(setup.file, setup.staging, observer.clone())?;
    let Some(component) = probe.descriptor().components.get(component) else {
        return Ok(Verdict::not_run("the library has no such component"));
    };
    let configured = match configuration(component, setup.config, setup.file) {
        Ok(configured) => configured,
        Err(faults) => return Ok(Verdict::not_run(unconfigured(&faults))),
    };
    let bench = Bench {
        probe: &probe,
        observer: &observer,
        component,
        configured,
        message: setup.message,
        note: &setup.note,
        said: setup.said.as_deref(),
    };
    let verdict = checks::run(&bench, check).unwrap_or_else(Verdict::failed);
    // What went wrong unnoticed, such as calls with scopes that nobody was given.
    Ok(match observer.strays() {
        Some(stray) if verdict.outcome != Outcome::Failed => Verdict::failed(stray),
        _ => verdict,
    })
}

fn unconfigured(faults: &[Fault]) -> String {
    let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
    format!(
        "it cannot be made with the configuration that there is for it, name a file that has one with --config: {}",
        faults.join("; ")
    )
}
