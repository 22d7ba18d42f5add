//! What is to be done for each plugin of a configuration, before anything is opened: what is opened stays in memory, so it
//! is found out first whether it has to be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::catalog::{Plugin, PluginState};
use super::component::Use;
use super::generations::GenerationCount;
use super::lifecycle::{NotOpened, OPENS_WITHIN};
use super::load::{CatalogError, LoadedPlugin, blocking};
use super::search::SearchPath;
use super::staging::sha256_of;
use super::worker::WorkerSettings;
use crate::config::{Fault, Isolation, Library, LibraryFile};

/// A plugin before it is loaded.
pub(super) struct Found<'a> {
    pub(super) name: &'a str,
    pub(super) library: &'a Library,
    pub(super) file: PathBuf,
    pub(super) plan: Plan,
}

/// What is to be done for a plugin.
pub(super) enum Plan {
    /// Nothing: it serves, and nothing of it has changed.
    Keep(LoadedPlugin),
    /// Its library is to be opened.
    Open(Vec<Use>),
    /// Nothing can be done.
    Fail(Vec<Fault>),
}

/// Finds a plugin's file, and out whether it serves already as it is to.
pub(super) async fn find<'a>(
    name: &'a str,
    library: &'a Library,
    uses: Vec<Use>,
    search: Arc<SearchPath>,
    worker: Option<&WorkerSettings>,
    present: Option<&Plugin>,
) -> Found<'a> {
    let looked_for = match &library.file {
        LibraryFile::Bare(name) => PathBuf::from(name),
        LibraryFile::Path(path) => path.clone(),
    };
    let wanted = library.file.clone();
    let (file, plan) = match blocking(move || search.find(&wanted)).await {
        Err(error) => {
            let fault = library.entry.fault("/file", error.to_string(), "");
            (looked_for, Plan::Fail(vec![fault]))
        }
        Ok(file) => {
            let plan = match present.and_then(|present| kept(present, library, worker)) {
                None => Plan::Open(uses),
                Some(loaded) => {
                    let (name, file, sha256) = (name.to_owned(), file.clone(), library.sha256);
                    let looked_at = file.clone();
                    let comparing =
                        blocking(move || compared(loaded, &name, &file, sha256.as_ref(), uses));
                    // It runs the library's own code.
                    tokio::time::timeout(OPENS_WITHIN, comparing)
                        .await
                        .unwrap_or_else(|_| {
                            let problem = NotOpened(&looked_at).to_string();
                            Plan::Fail(vec![library.entry.fault("/file", problem, "")])
                        })
                }
            };
            (file, plan)
        }
    };
    Found {
        name,
        library,
        file,
        plan,
    }
}

/// What is configured for the library itself, besides which file it is and what it must be.
pub(super) fn settings(library: &Library) -> Value {
    let mut settings = library.entry.value().clone();
    if let Value::Object(table) = &mut settings {
        table.retain(|key, _| !matches!(key.as_str(), "file" | "sha256" | "required"));
    }
    settings
}

/// The plugin that serves under the name, if it may go on to.
fn kept(
    present: &Plugin,
    library: &Library,
    worker: Option<&WorkerSettings>,
) -> Option<LoadedPlugin> {
    let lease = present.lease.as_ref()?;
    let PluginState::Loaded {
        library: own_name,
        version,
        built_with,
        components,
    } = &present.status.state
    else {
        return None;
    };
    let as_it_is = present.settings == settings(library)
        // Workers are told some limits when they are started.
        && lease.slot.worker_settings() == worker
        && !lease.slot.is_worn_out()
        && lease.slot.failed().is_none();
    as_it_is.then(|| LoadedPlugin {
        library: own_name.clone(),
        version: version.clone(),
        built_with: built_with.clone(),
        components: components.clone(),
        lease: Arc::clone(lease),
        kept: true,
    })
}

/// Compares what serves with its file and with how it is to be used. Blocks.
///
/// What is wrong with a use of a library that has not changed is found out without opening it.
fn compared(
    loaded: LoadedPlugin,
    name: &str,
    file: &Path,
    expected: Option<&[u8; 32]>,
    uses: Vec<Use>,
) -> Plan {
    // Whatever is wrong with the file is told by whoever copies it.
    let Ok(found) = sha256_of(file) else {
        return Plan::Open(uses);
    };
    let (opened, present) = loaded.lease.slot.checked();
    if expected.is_some_and(|expected| *expected != found) || !opened.generation.is_of(&found) {
        return Plan::Open(uses);
    }
    match opened.check(name, &uses) {
        Err(faults) => Plan::Fail(faults),
        Ok(wanted) => {
            let same = wanted.len() == present.len()
                && wanted
                    .iter()
                    .zip(present)
                    .all(|(wanted, present)| wanted.is_same_as(present));
            if same {
                Plan::Keep(loaded)
            } else {
                Plan::Open(uses)
            }
        }
    }
}

/// Whether as many libraries may be opened as have to be.
pub(super) fn has_room(found: &[Found<'_>], count: GenerationCount) -> Result<(), CatalogError> {
    let plugins: Vec<_> = found
        .iter()
        .filter(|found| matches!(found.plan, Plan::Open(_)))
        // What a worker has opened is given back with it.
        .filter(|found| matches!(found.library.isolation, Isolation::InProcess))
        .map(|found| found.name.to_owned())
        .collect();
    if plugins.len() <= count.left() {
        return Ok(());
    }
    Err(CatalogError::TooManyGenerations { plugins, count })
}
