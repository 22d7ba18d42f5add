//! From a configuration to a catalogue.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::assemble;
use super::catalog::{Catalog, Plugin};
use super::component::{ComponentKind, Use, uses_by_plugin};
use super::generations::{GenerationCount, Generations, Lease};
use super::library_copy::LibraryCopy;
use super::loader::{CheckedUse, ComponentInfo, LoadError, OpenedCopy, open_copy};
use super::opening::Opening;
use super::plan::{self, Found, Plan};
use super::search::SearchPath;
use super::slot::PluginSlot;
use super::staging::{Staging, StagingError};
use super::worker::WorkerSettings;
use crate::child_guard;
use crate::config::{Config, Fault, Faults, Library, Toolset};

/// How long the plugins that did load may take to end when another one stops the start.
const END_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// The catalogue of a configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// There is nowhere to put copies of the libraries.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// At least one plugin failed that must not. These are the faults of all plugins, the optional ones too.
    #[error(transparent)]
    Plugins(#[from] Faults),
    /// More libraries would have to be opened than may be.
    #[error(
        "{} would have to be opened, and {} of at most {} generations have been; what was opened stays in memory, so \
         restart the host, or raise reload.max_generations",
        .plugins.join(", "), .count.opened, .count.most
    )]
    TooManyGenerations {
        /// The plugins that have changed.
        plugins: Vec<String>,
        /// How many there are.
        count: GenerationCount,
    },
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
    pub(super) lease: Arc<Lease>,
    /// Whether it serves already.
    pub(super) kept: bool,
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
    let guard = child_guard::program(config.plugins.worker_executable.as_deref());
    let generations = Generations::new(staging, guard, config.reload.max_generations);
    let catalog = load_beside(config, &generations, None).await?;
    catalog.put_in_force(None);
    Ok(catalog)
}

/// Loads the plugins of a changed configuration beside those that serve. One of which nothing has changed, neither its
/// file nor what is configured for it, is taken over as it is. The caller puts the catalogue in force.
///
/// # Errors
///
/// [`CatalogError`] as [`load`]; a plugin that serves must not fail either, required or not. What was opened for it
/// has ended then, and `serving` is as it was.
///
/// # Cancel safety
///
/// As [`load`].
pub async fn reload(config: &Config, serving: &Catalog) -> Result<Arc<Catalog>, CatalogError> {
    load_beside(config, &serving.generations, Some(serving)).await
}

async fn load_beside(
    config: &Config,
    generations: &Arc<Generations>,
    serving: Option<&Catalog>,
) -> Result<Arc<Catalog>, CatalogError> {
    let search = Arc::new(SearchPath::with_defaults(&config.plugins.search_paths));
    let mut uses = uses_by_plugin(config);
    let found = config.plugins.libraries.iter().map(|(name, library)| {
        let uses = uses.remove(name).unwrap_or_default();
        let present = serving.and_then(|serving| serving.plugin(name));
        let (search, worker) = (Arc::clone(&search), worker_of(library, config));
        async move { plan::find(name, library, uses, search, worker.as_deref(), present).await }
    });
    let found: Vec<_> = found.collect();
    let found: Vec<Found<'_>> = join_all(found).await;
    if serving.is_some() {
        let count = GenerationCount {
            most: config.reload.max_generations,
            ..generations.count()
        };
        plan::has_room(&found, count)?;
    }
    let attempts = found.into_iter().map(|found| {
        let worker = worker_of(found.library, config);
        attempt(found, generations, worker)
    });
    let mut attempts: Vec<Attempt<'_>> = join_all(attempts).await;
    fail_duplicate_tools(config, &mut attempts).await;

    let must_not_fail = |attempt: &Attempt<'_>| {
        let present = serving.and_then(|serving| serving.plugin(attempt.name));
        let serves = |present: &Plugin| {
            let lease = present.lease.as_ref();
            lease.is_some_and(|lease| lease.slot.failed().is_none())
        };
        attempt.library.required || present.is_some_and(serves)
    };
    if attempts
        .iter()
        .any(|attempt| attempt.result.is_err() && must_not_fail(attempt))
    {
        return Err(give_up(attempts).await.into());
    }
    let generations = Arc::clone(generations);
    Ok(Arc::new(assemble::catalog(config, attempts, generations)))
}

/// How the plugin's workers are to be started, if it is to be in such.
fn worker_of(library: &Library, config: &Config) -> Option<Arc<WorkerSettings>> {
    WorkerSettings::of(
        &library.isolation,
        &config.plugins,
        config.limits.event_bytes,
        config.limits.run_time,
    )
}

/// Runs what blocks on a thread for that. A panic in it goes on here.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
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
    found: Found<'a>,
    generations: &Arc<Generations>,
    worker: Option<Arc<WorkerSettings>>,
) -> Attempt<'a> {
    let Found {
        name,
        library,
        file,
        plan,
    } = found;
    let result = match plan {
        Plan::Keep(loaded) => Ok(loaded),
        Plan::Fail(faults) => Err(faults),
        Plan::Open(uses) => open(name, library, &file, uses, generations, worker).await,
    };
    Attempt {
        name,
        library,
        file,
        result,
    }
}

async fn open(
    name: &str,
    library: &Library,
    file: &Path,
    uses: Vec<Use>,
    generations: &Arc<Generations>,
    worker: Option<Arc<WorkerSettings>>,
) -> Result<LoadedPlugin, Vec<Fault>> {
    let opening = Opening::new(generations);
    let opened = {
        let (name, file, sha256) = (name.to_owned(), file.to_owned(), library.sha256);
        let (opening, worker) = (Arc::clone(&opening), worker.clone());
        blocking(move || {
            let worker = worker.as_deref();
            let opened = open_copy(&name, &file, sha256.as_ref(), &opening, worker);
            open_and_check(&name, opened, &uses)
        })
    };
    match opening.within(file, opened).await {
        Err(late) => Err(vec![library.entry.fault("/file", late.to_string(), "")]),
        Ok(Ok(checked)) => make(name, checked, worker, generations).await,
        Ok(Err(OpenFailure::Library(error))) => {
            let key = if matches!(&error, LoadError::Open(open) if open.is_checksum()) {
                "/sha256"
            } else {
                "/file"
            };
            Err(vec![library.entry.fault(key, error.to_string(), "")])
        }
        Ok(Err(OpenFailure::Uses(faults))) => Err(faults),
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
    uses: &[Use],
) -> Result<Checked, OpenFailure> {
    let opened = opened.map_err(OpenFailure::Library)?;
    let components = opened.describe();
    match opened.check(name, uses) {
        Ok(checked) => Ok((opened, checked, components)),
        Err(faults) => {
            opened.generation.ended();
            Err(OpenFailure::Uses(faults))
        }
    }
}

async fn make(
    name: &str,
    (opened, checked, components): Checked,
    worker: Option<Arc<WorkerSettings>>,
    generations: &Arc<Generations>,
) -> Result<LoadedPlugin, Vec<Fault>> {
    let copy = LibraryCopy::make(name, &opened, &checked).await?;
    let about = &opened.descriptor.about;
    let (library, version, built_with) = (
        about.name.clone(),
        about.version.clone(),
        about.built_with.clone(),
    );
    let slot = PluginSlot::new(name, opened, Arc::clone(generations), checked, worker, copy);
    Ok(LoadedPlugin {
        library,
        version,
        built_with,
        components,
        lease: generations.lease(slot),
        kept: false,
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
        let copy = loaded.lease.slot.current();
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
            end(&loaded).await;
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
            Ok(plugin) => loaded.push(plugin),
            Err(mut more) => faults.append(&mut more),
        }
    }
    join_all(loaded.iter().map(end)).await;
    Faults::in_order(faults)
}

/// Ends what was made, and leaves alone what serves.
async fn end(loaded: &LoadedPlugin) {
    if loaded.kept {
        return;
    }
    let slot = &loaded.lease.slot;
    if tokio::time::timeout(END_AFTER_FAILURE, slot.close())
        .await
        .is_err()
    {
        slot.give_up().await;
    }
}
