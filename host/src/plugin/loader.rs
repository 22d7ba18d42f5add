//! From a file to a library that is connected, and from configuration to what its instances are made with.
#![expect(
    unsafe_code,
    reason = "a descriptor is what a library's entry function says it is"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::abi::import::{
    DescriptorError, HostLibrary, InitError, PluginDescriptor, read_descriptor,
};
use plugin_api::abi::types::RhEntry;
use plugin_api::wire::ComponentDescription;
use tracing::level_filters::LevelFilter;

use super::component::{ComponentKind, Use};
use super::descriptor::{Descriptor, LoadedComponent};
use super::generation::{Generation, Home};
use super::library::{self, OpenError};
use super::library_host::LibraryHost;
use super::opening::Opening;
use super::schema::Schema;
use super::secrets;
use super::worker::{StartError, Worker, WorkerSettings};
use crate::config::{Breach, Fault};

/// A library could not be made ready. Every text names the file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its descriptor does not do.
    #[error("`{}` cannot be loaded: {source}", file.display())]
    Descriptor {
        /// The library as found.
        file: PathBuf,
        /// What is wrong with the descriptor.
        source: DescriptorError,
    },
    /// A panic in it would end the host.
    #[error(
        "`{}` cannot be loaded: it was built with `panic = \"abort\"`, so that a panic in it would end \
         the host; build it with `panic = \"unwind\"`",
        file.display()
    )]
    PanicAbort {
        /// The library as found.
        file: PathBuf,
    },
    /// It refused.
    #[error("`{}` cannot be loaded: {source}", file.display())]
    Init {
        /// The library as found.
        file: PathBuf,
        /// Its answer.
        source: InitError,
    },
    /// It could not be opened in a worker process.
    #[error("`{}` cannot be loaded: {source}", file.display())]
    Worker {
        /// The library as found.
        file: PathBuf,
        /// Why not.
        source: StartError,
    },
    /// Its worker process could not open it.
    #[error("{0}")]
    InWorker(String),
}

/// A library that is open and connected to the host.
pub(crate) struct OpenedCopy {
    pub(crate) descriptor: Descriptor,
    pub(crate) host: Arc<LibraryHost>,
    /// The copy that was opened.
    pub(crate) staged: PathBuf,
    pub(crate) generation: Arc<Generation>,
    /// The process that it is open in, if that is not the host's.
    pub(crate) worker: Option<Arc<Worker>>,
}

/// A use whose component exists and whose configuration fits it.
#[derive(Clone)]
pub(crate) struct CheckedUse {
    pub(crate) of: Use,
    /// The configuration as JSON, with the secrets in it.
    pub(crate) config: String,
}

impl CheckedUse {
    /// Whether an instance that was made for one would do for the other.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.of.kind == other.of.kind
            && self.of.name == other.of.name
            && self.of.component == other.of.component
            && self.of.prefix == other.of.prefix
            && self.config == other.config
    }
}

/// What a component says of itself.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct ComponentInfo {
    /// `agent`, `toolset`, `mapper`, or what else a newer library has.
    pub kind: String,
    /// The name that configuration uses, after the plugin's: `plugin/component`.
    pub name: String,
    /// One sentence; empty when the component has none.
    pub summary: String,
    /// JSON Schema of its configuration.
    pub config_schema: serde_json::Value,
    /// Whether this host can use it.
    pub supported: bool,
}

/// Opens a copy of `file` and connects it; in a worker process, if there are settings for one. Blocks, and runs the
/// library's own code. Where there are such settings, call it where there is a runtime.
pub(crate) fn open_copy(
    plugin: &str,
    file: &Path,
    sha256: Option<&[u8; 32]>,
    opening: &Opening,
    worker: Option<&WorkerSettings>,
) -> Result<OpenedCopy, LoadError> {
    let (staged, found) = library::stage(file, sha256, opening.staging())?;
    let host = LibraryHost::new(plugin, opening.child_guard());
    let home = if worker.is_some() {
        Home::Worker
    } else {
        Home::Host
    };
    let generation = opening.begun(plugin, file, found, home);
    let mut is_mapped = false;
    let opened = match worker {
        None => library::open(file, &staged, || is_mapped = true)
            .map_err(LoadError::from)
            .and_then(|entry| {
                let level = LevelFilter::current().into_level();
                let connecting = Arc::clone(&host) as _;
                let descriptor = connect(file, entry, connecting, level, PanicAbort::Refused)?;
                Ok((Descriptor::from(descriptor), None))
            }),
        Some(settings) => {
            let opened = Worker::open(plugin, (file, &staged), settings, &host);
            opened
                .map(|(worker, opened)| (Descriptor::from(opened), Some(worker)))
                .map_err(|source| match source {
                    // It names the file.
                    StartError::Refused(text) => LoadError::InWorker(text),
                    source => LoadError::Worker {
                        file: file.to_owned(),
                        source,
                    },
                })
        }
    };
    match opened {
        Ok((descriptor, worker)) => {
            generation.tells_version(&descriptor.about.version);
            Ok(OpenedCopy {
                descriptor,
                host,
                staged,
                generation,
                worker,
            })
        }
        Err(error) => {
            if is_mapped || worker.is_some() {
                generation.ended();
            } else {
                opening.refused(&generation);
            }
            Err(error)
        }
    }
}

/// What to do about a library whose panics end the process that it is in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PanicAbort {
    /// It is not opened.
    Refused,
    /// That is what the process is for.
    Fine,
}

/// What an open library says of itself.
pub(crate) struct ReadLibrary {
    pub(crate) descriptor: PluginDescriptor,
    /// Whether its entry function answers the same every time.
    pub(crate) constant: bool,
}

/// Reads the descriptor of the library `file`, which was opened in this process.
pub(crate) fn read(
    file: &Path,
    entry: RhEntry,
    panic_abort: PanicAbort,
) -> Result<ReadLibrary, LoadError> {
    // SAFETY: It is the function of the symbol that states its type and major, of a library that is never
    // unloaded. It takes nothing and may be called from any thread.
    let pointer = unsafe { entry() };
    // SAFETY: As above.
    let again = unsafe { entry() };
    // SAFETY: The pointer comes from the entry function just called, and the library stays mapped for ever.
    let descriptor =
        unsafe { read_descriptor(pointer) }.map_err(|source| LoadError::Descriptor {
            file: file.to_owned(),
            source,
        })?;
    if descriptor.panic_abort && panic_abort == PanicAbort::Refused {
        return Err(LoadError::PanicAbort {
            file: file.to_owned(),
        });
    }
    Ok(ReadLibrary {
        descriptor,
        constant: std::ptr::eq(pointer, again),
    })
}

/// Connects the library `file`, which was opened in this process, to `host`.
pub(crate) fn connect(
    file: &Path,
    entry: RhEntry,
    host: Arc<dyn HostLibrary>,
    level: Option<tracing::Level>,
    panic_abort: PanicAbort,
) -> Result<PluginDescriptor, LoadError> {
    let ReadLibrary { descriptor, .. } = read(file, entry, panic_abort)?;
    let connected = descriptor.init(host).map_err(|source| LoadError::Init {
        file: file.to_owned(),
        source,
    })?;
    connected.set_log_level(level);
    Ok(descriptor)
}

impl OpenedCopy {
    /// The component that a use wants.
    pub(crate) fn component(&self, wanted: &Use) -> Option<&LoadedComponent> {
        let components = self.descriptor.components.iter();
        components
            .filter(|component| component.kind() == Some(wanted.kind))
            .find(|component| component.name() == wanted.component)
    }

    /// What all components say of themselves. One that fails to is said to have no schema. Blocks, for it runs the
    /// library's own code.
    pub(crate) fn describe(&self) -> Vec<ComponentInfo> {
        let describe = |component: &LoadedComponent| {
            let kind = component.kind();
            let supported = kind.is_some();
            let description = match component.describe() {
                Ok(description) => description,
                Err(error) => {
                    if supported {
                        tracing::warn!(
                            component = component.name(),
                            error,
                            "a component does not describe itself"
                        );
                    }
                    Default::default()
                }
            };
            ComponentInfo {
                kind: match kind {
                    Some(kind) => kind.to_string(),
                    None => format!("unsupported (kind {})", component.kind_number()),
                },
                name: component.name().to_owned(),
                summary: description.summary,
                config_schema: description.config_schema,
                supported,
            }
        };
        self.descriptor.components.iter().map(describe).collect()
    }

    /// Checks all uses: that the component is there, and that its configuration fits. Blocks, for it runs
    /// the library's own code and reads files with secrets.
    ///
    /// # Errors
    ///
    /// Every fault of every use.
    pub(crate) fn check(&self, plugin: &str, uses: &[Use]) -> Result<Vec<CheckedUse>, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut checked = Vec::new();
        for wanted in uses {
            match self.check_one(plugin, wanted) {
                Ok(config) => checked.push(CheckedUse {
                    of: wanted.clone(),
                    config,
                }),
                Err(mut more) => faults.append(&mut more),
            }
        }
        if faults.is_empty() {
            Ok(checked)
        } else {
            Err(faults)
        }
    }

    fn check_one(&self, plugin: &str, wanted: &Use) -> Result<String, Vec<Fault>> {
        let component = self
            .component(wanted)
            .ok_or_else(|| vec![self.no_component(plugin, wanted)])?;
        if self.worker.is_some() && wanted.kind == ComponentKind::Mapper {
            return Err(vec![wanted.component_fault(
                format!("is a mapper of plugin `{plugin}`, which runs in a worker process"),
                "a mapper is called within each event, and has to be in the host's own process: configure the \
                 library a second time, without `isolation`, for its mappers",
            )]);
        }
        check_use(component.describe(), wanted)
    }

    fn no_component(&self, plugin: &str, wanted: &Use) -> Fault {
        let (name, kind) = (&wanted.component, wanted.kind);
        let others = self
            .descriptor
            .components
            .iter()
            .filter(|other| other.name() == *name);
        if let Some(unknown) = others.clone().find(|other| other.kind().is_none()) {
            let number = unknown.kind_number();
            return wanted.component_fault(
                format!("plugin `{plugin}` has `{name}`, which is of a kind ({number}) that this host does not know"),
                "a newer host may",
            );
        }
        let is = others
            .filter_map(LoadedComponent::kind)
            .map(ComponentKind::with_article)
            .collect::<Vec<_>>();
        let of_kind: Vec<&str> = self
            .descriptor
            .components
            .iter()
            .filter(|other| other.kind() == Some(kind))
            .map(LoadedComponent::name)
            .collect();
        let has = if of_kind.is_empty() {
            format!("it has no {kind} at all")
        } else {
            format!("it has: {}", of_kind.join(", "))
        };
        let but = if is.is_empty() {
            String::new()
        } else {
            format!("; `{name}` is {}", is.join(" and "))
        };
        wanted.component_fault(
            format!("plugin `{plugin}` has no {kind} `{name}`{but}"),
            has,
        )
    }
}

/// Checks that the configuration of a use fits its component; answers it as JSON, with the secrets in it. Blocks,
/// for it runs the library's own code and reads files with secrets.
///
/// # Errors
///
/// Every fault.
pub(crate) fn check_use(
    described: Result<ComponentDescription, String>,
    wanted: &Use,
) -> Result<String, Vec<Fault>> {
    let broken = |problem: String| vec![wanted.component_fault(problem, "")];
    let description = described.map_err(|error| broken(format!("cannot be used: {error}")))?;
    let schema = Schema::compile(&description.config_schema).map_err(|error| {
        broken(format!(
            "cannot be used: the schema of its configuration is {error}"
        ))
    })?;
    let faults = |found: Vec<Breach>| {
        found
            .iter()
            .map(|breach| breach.fault(&wanted.config))
            .collect::<Vec<_>>()
    };
    let config = secrets::resolve(&wanted.config, schema.source()).map_err(faults)?;
    let found = schema.breaches(&config);
    if found.is_empty() {
        Ok(config.to_string())
    } else {
        Err(faults(found))
    }
}
