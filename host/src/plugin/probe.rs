//! A library that is opened to be examined: its functions as they are, with a host of the examiner's own.
#![expect(
    unsafe_code,
    reason = "an instance is made of the pointer that its component completed with"
)]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plugin_api::Health;
use plugin_api::abi::import::{
    AgentInstance, Answer, Completion, Component, ComponentKind as Functions, EventRef,
    HostLibrary, LogLine, MapperInstance, PluginDescriptor, Sink, ToolsetInstance,
};
use serde_json::{Map, Value};

use super::component::{ComponentKind, Use, uses_by_plugin};
use super::descriptor::{kind_number, kind_of};
use super::inspect::InspectError;
use super::library;
use super::loader::{self, LoadError, PanicAbort, ReadLibrary};
use super::search::SearchPath;
use super::staging::Staging;
use crate::config::{Config, Fault, Located};

/// An open library. What it calls goes to the examiner's host; what it makes can be asked for here.
pub(crate) struct Probe {
    descriptor: PluginDescriptor,
    watch: Arc<Watch>,
    constant: bool,
}

/// An instance that was made.
pub(crate) enum Probed {
    Agent(AgentInstance),
    Toolset(ToolsetInstance),
    Mapper(MapperInstance),
}

/// A component's configuration, and where it stands.
pub(crate) struct Configured {
    /// As JSON, with the secrets in it.
    pub(crate) json: String,
    /// The key of the entry that it is from; none for an empty one that nobody wrote.
    pub(crate) from: Option<String>,
}

impl Probe {
    /// Opens a copy of `file`, which is put into the folder `staging`, and connects it to `host`.
    ///
    /// Blocks, and runs the library's own code: one that crashes takes the process with it.
    pub(crate) fn open(
        file: &Path,
        staging: &Path,
        host: Arc<dyn HostLibrary>,
    ) -> Result<Self, InspectError> {
        let staging = Staging::new(staging)?;
        let (staged, _) = library::stage(file, None, &staging).map_err(LoadError::from)?;
        let entry = library::open(file, &staged, || {}).map_err(LoadError::from)?;
        let ReadLibrary {
            descriptor,
            constant,
        } = loader::read(file, entry, PanicAbort::Refused)?;
        let watch = Arc::new(Watch {
            host,
            creating: Mutex::default(),
            made: Mutex::default(),
        });
        let connected =
            descriptor
                .init(Arc::clone(&watch) as _)
                .map_err(|source| LoadError::Init {
                    file: file.to_owned(),
                    source,
                })?;
        connected.set_log_level(Some(tracing::Level::INFO));
        Ok(Self {
            descriptor,
            watch,
            constant,
        })
    }

    pub(crate) fn descriptor(&self) -> &PluginDescriptor {
        &self.descriptor
    }

    /// Whether the entry function answers the same every time.
    pub(crate) fn is_constant(&self) -> bool {
        self.constant
    }

    /// Starts making an instance; it ends with the completion of `scope`, after which it can be [taken](Self::take).
    pub(crate) fn create(&self, component: &Component, scope: u64, config: &str, params: &str) {
        lock(&self.watch.creating).insert(scope, component.kind);
        match component.kind {
            Functions::Agent(functions) => functions.create(scope, config, params),
            Functions::Toolset(functions) => functions.create(scope, config, params),
            Functions::Mapper(functions) => functions.create(scope, config, params),
            _ => {}
        }
    }

    /// The instance that a `create` with this scope has completed with, once.
    pub(crate) fn take(&self, scope: u64) -> Option<Probed> {
        lock(&self.watch.made).remove(&scope)
    }
}

/// The configuration that `config` has for a component of the library `file`: the first one that fits its kind and
/// name; an empty table where there is none. Checked against the component's schema. Blocks.
///
/// # Errors
///
/// Every fault of it.
pub(crate) fn configuration(
    component: &Component,
    config: &Config,
    file: &Path,
) -> Result<Configured, Vec<Fault>> {
    let Some(kind) = kind_of(kind_number(&component.kind)) else {
        return Err(Vec::new());
    };
    let wanted = use_of(component, kind, config, file);
    let from = wanted.as_ref().map(|wanted| wanted.config.key().to_owned());
    let wanted = wanted.unwrap_or_else(|| Use {
        kind,
        name: "test".to_owned(),
        component: component.name.clone(),
        config: Located::new(
            "config".to_owned(),
            Value::Object(Map::new()),
            BTreeMap::new(),
        ),
        prefix: String::new(),
    });
    let described = component.describe().map_err(|error| error.to_string());
    let json = loader::check_use(described, &wanted)?;
    Ok(Configured { json, from })
}

fn use_of(component: &Component, kind: ComponentKind, config: &Config, file: &Path) -> Option<Use> {
    let search = SearchPath::with_defaults(&config.plugins.search_paths);
    let file = file.canonicalize().ok()?;
    let is_file = |plugin: &str| {
        let library = config.plugins.libraries.get(plugin);
        let found = library.and_then(|library| search.find(&library.file).ok());
        found.and_then(|found| found.canonicalize().ok()).as_ref() == Some(&file)
    };
    let uses = uses_by_plugin(config).into_iter();
    let of_file = uses.filter(|(plugin, _)| is_file(plugin));
    of_file
        .flat_map(|(_, uses)| uses)
        .find(|found| found.kind == kind && found.component == component.name)
}

/// Passes everything on, and makes instances of what `create` completes with.
struct Watch {
    host: Arc<dyn HostLibrary>,
    /// What is being made, by the scope of its `create`.
    creating: Mutex<HashMap<u64, Functions>>,
    made: Mutex<HashMap<u64, Probed>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostLibrary for Watch {
    fn emit(&self, scope: u64, event: EventRef<'_>) -> Answer {
        self.host.emit(scope, event)
    }

    fn complete(&self, scope: u64, completion: Completion) -> Answer {
        let creating = lock(&self.creating).remove(&scope);
        if let (
            Some(functions),
            Completion::Finished {
                value: Some(pointer),
                ..
            },
        ) = (creating, &completion)
        {
            let pointer = *pointer;
            let made = match functions {
                Functions::Agent(functions) => {
                    // SAFETY: The pointer is what this component's `create` completed with, once: the scope was
                    // taken out above.
                    Some(Probed::Agent(unsafe { functions.instance(pointer) }))
                }
                Functions::Toolset(functions) => {
                    // SAFETY: As above.
                    Some(Probed::Toolset(unsafe { functions.instance(pointer) }))
                }
                Functions::Mapper(functions) => {
                    // SAFETY: As above.
                    Some(Probed::Mapper(unsafe { functions.instance(pointer) }))
                }
                _ => None,
            };
            if let Some(made) = made {
                lock(&self.made).insert(scope, made);
            }
        }
        self.host.complete(scope, completion)
    }

    fn request(&self, scope: u64, id: u64, method: &str, params: &str, sink: Sink) {
        self.host.request(scope, id, method, params, sink);
    }

    fn cancel(&self, scope: u64, id: u64) -> Answer {
        self.host.cancel(scope, id)
    }

    fn image(&self, scope: u64, handle: u64) -> Option<Arc<[u8]>> {
        self.host.image(scope, handle)
    }

    fn log(&self, line: LogLine<'_>) {
        self.host.log(line);
    }

    fn child_guard(&self) -> Option<&str> {
        self.host.child_guard()
    }

    fn set_health(&self, scope: u64, health: Health) -> Answer {
        self.host.set_health(scope, health)
    }
}
