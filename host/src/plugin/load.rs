//! From a configuration to a catalogue.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::agent::Agent;
use super::backing::Backing;
use super::catalog::{Catalog, Plugin, PluginState, PluginStatus};
use super::chain::ChainLink;
use super::component::{ComponentKind, Use, mapper_name, uses_by_plugin};
use super::library_copy::LibraryCopy;
use super::loader::{CheckedUse, ComponentInfo, LoadError, OpenedCopy, open_copy};
use super::patterns::Patterns;
use super::search::SearchPath;
use super::slot::PluginSlot;
use super::staging::{Staging, StagingError};
use super::tools::{ConfiguredToolset, ToolRegistry};
use crate::config::{ComponentName, Config, Fault, Faults, Library, LibraryFile, Mapper, Toolset};

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
struct Attempt<'a> {
    name: &'a str,
    library: &'a Library,
    file: PathBuf,
    result: Result<LoadedPlugin, Vec<Fault>>,
}

struct LoadedPlugin {
    library: String,
    version: String,
    built_with: String,
    components: Vec<ComponentInfo>,
    slot: Arc<PluginSlot>,
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
        attempt(
            name,
            library,
            uses,
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
    Ok(Arc::new(assemble(config, attempts)))
}

/// Runs what blocks on a thread for that. A panic in it goes on here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn attempt<'a>(
    name: &'a str,
    library: &'a Library,
    uses: Vec<Use>,
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
        let staging = Arc::clone(&staging);
        blocking(move || open_and_check(&name, &file, sha256.as_ref(), uses, &staging))
    };
    let result = match opening.await {
        Ok((opened, checked, components)) => make(name, opened, checked, components, staging).await,
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
    file: &std::path::Path,
    sha256: Option<&[u8; 32]>,
    uses: Vec<Use>,
    staging: &Staging,
) -> Result<Checked, OpenFailure> {
    let opened = open_copy(name, file, sha256, staging).map_err(OpenFailure::Library)?;
    let components = opened.describe();
    let checked = opened.check(name, uses).map_err(OpenFailure::Uses)?;
    Ok((opened, checked, components))
}

async fn make(
    name: &str,
    opened: OpenedCopy,
    checked: Vec<CheckedUse>,
    components: Vec<ComponentInfo>,
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
        slot: PluginSlot::new(name, staged, staging, checked, copy),
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
    Faults(faults)
}

async fn end(slot: &Arc<PluginSlot>) {
    if tokio::time::timeout(END_AFTER_FAILURE, slot.close())
        .await
        .is_err()
    {
        slot.give_up().await;
    }
}

fn assemble(config: &Config, attempts: Vec<Attempt<'_>>) -> Catalog {
    let mut backings: HashMap<String, Backing> = HashMap::new();
    let mut plugins = Vec::new();
    for Attempt {
        name,
        library,
        file,
        result,
    } in attempts
    {
        let (state, slot) = match result {
            Ok(LoadedPlugin {
                library,
                version,
                built_with,
                components,
                slot,
            }) => (
                PluginState::Loaded {
                    library,
                    version,
                    built_with,
                    components,
                },
                Some(slot),
            ),
            Err(faults) => {
                let reasons: Vec<String> = faults.iter().map(Fault::to_string).collect();
                tracing::warn!(
                    plugin = name,
                    reasons = reasons.join("; "),
                    "an optional plugin failed to load"
                );
                (PluginState::Failed { reasons }, None)
            }
        };
        let backing = match (&slot, &state) {
            (Some(slot), _) => Backing::Loaded(Arc::clone(slot)),
            (None, PluginState::Failed { reasons }) => Backing::Failed(
                format!("plugin `{name}` failed to load: {}", reasons.join("; ")).into(),
            ),
            (None, PluginState::Loaded { .. }) => continue,
        };
        backings.insert(name.to_owned(), backing);
        let status = PluginStatus {
            name: name.to_owned(),
            file,
            required: library.required,
            state,
        };
        plugins.push(Plugin { status, slot });
    }
    let parts = Parts {
        config,
        plugins: &plugins,
        backings: &backings,
    };
    let tools = Arc::new(parts.tools());
    let agents: BTreeMap<String, Arc<Agent>> = config
        .agents
        .keys()
        .map(|name| {
            (
                name.clone(),
                Arc::new(parts.agent(name, &config.agents[name], &tools)),
            )
        })
        .collect();
    agents
        .values()
        .for_each(|agent| warn_of_missing_tools(agent));
    let default_agent = config.default_agent.clone();
    Catalog {
        plugins,
        agents,
        default_agent,
        tools,
    }
}

/// A tool that an agent is allowed by its full name may come later, but more likely the name is wrong.
fn warn_of_missing_tools(agent: &Agent) {
    let tools = agent.tools();
    for name in agent.patterns.plain_names() {
        if !tools.iter().any(|tool| tool.name == name) {
            tracing::warn!(
                agent = agent.name,
                tool = name,
                "an agent may call a tool that no toolset has"
            );
        }
    }
}

/// What agents and toolsets are put together from.
struct Parts<'a> {
    config: &'a Config,
    plugins: &'a [Plugin],
    backings: &'a HashMap<String, Backing>,
}

impl Parts<'_> {
    fn backing(&self, component: &ComponentName) -> Backing {
        self.backings
            .get(&component.plugin)
            .cloned()
            .unwrap_or_else(|| {
                Backing::Failed(format!("plugin `{}` is not configured", component.plugin).into())
            })
    }

    fn tools(&self) -> ToolRegistry {
        let configured = |(name, toolset): (&String, &Toolset)| ConfiguredToolset {
            name: name.clone(),
            component: toolset.component.to_string(),
            plugin: toolset.component.plugin.clone(),
            timeout: toolset.timeout,
            backing: self.backing(&toolset.component),
        };
        ToolRegistry::new(self.config.tools.iter().map(configured).collect())
    }

    fn agent(&self, name: &str, agent: &crate::config::Agent, tools: &Arc<ToolRegistry>) -> Agent {
        let link = |mapper: &Mapper| ChainLink {
            instance: mapper_name(mapper),
            component: mapper.component.to_string(),
            backing: self.backing(&mapper.component),
        };
        Agent {
            name: name.to_owned(),
            display_name: agent.display_name.clone(),
            summary: self.summary(&agent.component).unwrap_or_default(),
            component: agent.component.to_string(),
            backing: self.backing(&agent.component),
            registry: Arc::clone(tools),
            patterns: Patterns::new(agent.tools.iter().cloned()),
            subagents: agent.subagents.clone(),
            mappers: agent
                .mappers
                .iter()
                .chain(&self.config.mappers)
                .map(link)
                .collect(),
        }
    }

    fn summary(&self, component: &ComponentName) -> Option<String> {
        let plugin = self
            .plugins
            .iter()
            .find(|plugin| plugin.status.name == component.plugin)?;
        let PluginState::Loaded { components, .. } = &plugin.status.state else {
            return None;
        };
        let kind = ComponentKind::Agent.as_str();
        let info = components
            .iter()
            .find(|info| info.kind == kind && info.name == component.component)?;
        Some(info.summary.clone())
    }
}
