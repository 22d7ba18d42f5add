//! From a configuration to a catalogue.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::assemble;
use super::catalog::Catalog;
use super::component::{ComponentKind, Use, uses_by_plugin};
use super::library_copy::LibraryCopy;
use super::loader::{CheckedUse, ComponentInfo, LoadError, OpenedCopy, open_copy};
use super::search::SearchPath;
use super::slot::PluginSlot;
use super::staging::{Staging, StagingError};
use super::worker::WorkerSettings;
use crate::config::{Config, Fault, Faults, Library, LibraryFile, Toolset};

/// How long the plugins that did load may take to end when another one stops the start.
const END_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// The catalogue of a configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// There is nowhere to put copies of the libraries.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// At least one required plugin failed. These are the faults of all plugins, the optional ones too.
    #[error(transparent)]
    Plugins(#[from] Faults),
}

/// What became of one plugin.
pub(super) struct Attempt<'a> {
    pub(super) name: &'a str,
    pub(super) library: &'a Library,
    pub(super) file: PathBuf,
    pub(super) result: Result<LoadedPlugin, Vec<Fault>>,
}

pub(super) struct LoadedPlugin {
    pub(super) library: String,
    pub(super) version: String,
    pub(super) built_with: String,
    pub(super) components: Vec<ComponentInfo>,
    pub(super) slot: Arc<PluginSlot>,
}

/// Loads all plugins of a configuration and makes every configured instance. Copies of the libraries go to
/// `plugins` in the data folder.
///
/// # Errors
///
/// [`CatalogError`] with all faults, when a required plugin failed. An optional one that failed is shown so
/// by [`Catalog::plugins`], and what needs it is not available.
///
/// # Cancel safety
///
/// Not: dropped before it is done, it leaves instances that are not told to end.
pub async fn load(config: &Config) -> Result<Arc<Catalog>, CatalogError> {
    let data_folder = config.storage.path.clone();
    let staging = blocking(move || Staging::new(&data_folder)).await?;
    let staging = Arc::new(staging);
    let search = Arc::new(SearchPath::with_defaults(&config.plugins.search_paths));
    let mut uses = uses_by_plugin(config);
    let attempts = config.plugins.libraries.iter().map(|(name, library)| {
        let uses = uses.remove(name).unwrap_or_default();
        let worker = WorkerSettings::of(
            &library.isolation,
            &config.plugins,
            config.limits.event_bytes,
            config.limits.run_time,
        );
        attempt(
            name,
            library,
            uses,
            worker,
            Arc::clone(&search),
            Arc::clone(&staging),
        )
    });
    let attempts: Vec<_> = attempts.collect();
    let mut attempts: Vec<Attempt<'_>> = join_all(attempts).await;
    fail_duplicate_tools(config, &mut attempts).await;

    if attempts
        .iter()
        .any(|attempt| attempt.library.required && attempt.result.is_err())
    {
        return Err(give_up(attempts).await.into());
    }
    Ok(Arc::new(assemble::catalog(config, attempts)))
}

/// Runs what blocks on a thread for that. A panic in it goes on here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is ending, and with it whoever waits here.
            Err(_) => std::future::pending().await,
        },
    }
}

async fn attempt<'a>(
    name: &'a str,
    library: &'a Library,
    uses: Vec<Use>,
    worker: Option<Arc<WorkerSettings>>,
    search: Arc<SearchPath>,
    staging: Arc<Staging>,
) -> Attempt<'a> {
    let looked_for = match &library.file {
        LibraryFile::Bare(name) => PathBuf::from(name),
        LibraryFile::Path(path) => path.clone(),
    };
    let file_fault = |problem: String| vec![library.entry.fault("/file", problem, "")];
    let wanted = library.file.clone();
    let file = match blocking(move || search.find(&wanted)).await {
        Ok(file) => file,
        Err(error) => {
            let result = Err(file_fault(error.to_string()));
            return Attempt {
                name,
                library,
                file: looked_for,
                result,
            };
        }
    };
    let opening = {
        let (name, file, sha256) = (name.to_owned(), file.clone(), library.sha256);
        let (staging, worker) = (Arc::clone(&staging), worker.clone());
        blocking(move || {
            let opened = open_copy(&name, &file, sha256.as_ref(), &staging, worker.as_deref());
            open_and_check(&name, opened, uses)
        })
    };
    let result = match opening.await {
        Ok(checked) => make(name, checked, worker, staging).await,
        Err(OpenFailure::Library(error)) => {
            let key = if matches!(&error, LoadError::Open(open) if open.is_checksum()) {
                "/sha256"
            } else {
                "/file"
            };
            Err(vec![library.entry.fault(key, error.to_string(), "")])
        }
        Err(OpenFailure::Uses(faults)) => Err(faults),
    };
    Attempt {
        name,
        library,
        file,
        result,
    }
}

enum OpenFailure {
    Library(LoadError),
    Uses(Vec<Fault>),
}

type Checked = (OpenedCopy, Vec<CheckedUse>, Vec<ComponentInfo>);

fn open_and_check(
    name: &str,
    opened: Result<OpenedCopy, LoadError>,
    uses: Vec<Use>,
) -> Result<Checked, OpenFailure> {
    let opened = opened.map_err(OpenFailure::Library)?;
    let components = opened.describe();
    let checked = opened.check(name, uses).map_err(OpenFailure::Uses)?;
    Ok((opened, checked, components))
}

async fn make(
    name: &str,
    (opened, checked, components): Checked,
    worker: Option<Arc<WorkerSettings>>,
    staging: Arc<Staging>,
) -> Result<LoadedPlugin, Vec<Fault>> {
    let copy = LibraryCopy::make(name, &opened, &checked).await?;
    let OpenedCopy {
        descriptor, staged, ..
    } = opened;
    Ok(LoadedPlugin {
        library: descriptor.name,
        version: descriptor.version,
        built_with: descriptor.built_with,
        components,
        slot: PluginSlot::new(name, staged, staging, checked, worker, copy),
    })
}

/// Two toolsets must not list tools of one name: the plugin of the later one fails.
async fn fail_duplicate_tools(config: &Config, attempts: &mut [Attempt<'_>]) {
    let mut owners: HashMap<String, String> = HashMap::new();
    let mut faults: BTreeMap<String, Vec<Fault>> = BTreeMap::new();
    for (name, toolset) in &config.tools {
        let plugin = &toolset.component.plugin;
        let Some(Ok(loaded)) = attempts
            .iter()
            .find(|attempt| attempt.name == plugin)
            .map(|attempt| &attempt.result)
        else {
            continue;
        };
        let copy = loaded.slot.current();
        let Some(instance) = copy.instances.toolsets.get(name) else {
            continue;
        };
        for tool in instance.listing().tools() {
            let tool = &tool.spec.name;
            if let Some(owner) = owners.get(tool) {
                faults
                    .entry(plugin.clone())
                    .or_default()
                    .push(duplicate_fault(name, toolset, tool, owner));
            } else {
                owners.insert(tool.clone(), name.clone());
            }
        }
    }
    for (plugin, faults) in faults {
        let Some(attempt) = attempts.iter_mut().find(|attempt| attempt.name == plugin) else {
            continue;
        };
        if let Ok(loaded) = std::mem::replace(&mut attempt.result, Err(faults)) {
            end(&loaded.slot).await;
        }
    }
}

fn duplicate_fault(name: &str, toolset: &Toolset, tool: &str, owner: &str) -> Fault {
    let wanted = Use {
        kind: ComponentKind::Toolset,
        name: name.to_owned(),
        component: toolset.component.component.clone(),
        config: toolset.config.clone(),
        prefix: toolset.prefix.clone(),
    };
    wanted.sibling_fault(
        "prefix",
        format!("leaves two tools called `{tool}`: one here and one of toolset `{owner}`"),
        "give one of the two toolsets another prefix",
    )
}

/// Ends what was made, and answers all that is wrong.
async fn give_up(attempts: Vec<Attempt<'_>>) -> Faults {
    let mut faults = Vec::new();
    let mut loaded = Vec::new();
    for attempt in attempts {
        match attempt.result {
            Ok(plugin) => loaded.push(plugin.slot),
            Err(mut more) => faults.append(&mut more),
        }
    }
    join_all(loaded.iter().map(end)).await;
    Faults::in_order(faults)
}

async fn end(slot: &Arc<PluginSlot>) {
    if tokio::time::timeout(END_AFTER_FAILURE, slot.close())
        .await
        .is_err()
    {
        slot.give_up().await;
    }
}
