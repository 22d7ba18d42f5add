//! From a file to a library that is connected, and from configuration to what its instances are made with.
#![expect(
    unsafe_code,
    reason = "a descriptor is what a library's entry function says it is"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::abi::import::{
    Component, ComponentKind as Functions, DescriptorError, InitError, PluginDescriptor,
    read_descriptor,
};
use tracing::level_filters::LevelFilter;

use super::component::{ComponentKind, Use};
use super::library::{self, OpenError};
use super::library_host::LibraryHost;
use super::schema::Schema;
use super::secrets;
use super::staging::Staging;
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
}

/// A library that is open and connected to the host.
pub(crate) struct OpenedCopy {
    pub(crate) descriptor: PluginDescriptor,
    pub(crate) host: Arc<LibraryHost>,
    /// The copy that was opened.
    pub(crate) staged: PathBuf,
}

/// A use whose component exists and whose configuration fits it.
#[derive(Clone)]
pub(crate) struct CheckedUse {
    pub(crate) of: Use,
    /// The configuration as JSON, with the secrets in it.
    pub(crate) config: String,
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

/// A library that is open, and not connected yet.
pub(crate) struct ReadCopy {
    pub(crate) descriptor: PluginDescriptor,
    /// The copy that was opened.
    pub(crate) staged: PathBuf,
    /// Whether its entry function answers the same every time.
    pub(crate) constant: bool,
}

/// Opens a copy of `file` and reads its descriptor. Blocks, and runs the library's static initialisers.
pub(crate) fn read_copy(
    file: &Path,
    sha256: Option<&[u8; 32]>,
    staging: &Staging,
) -> Result<ReadCopy, LoadError> {
    let library::Opened { entry, staged } = library::open(file, sha256, staging)?;
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
    if descriptor.panic_abort {
        return Err(LoadError::PanicAbort {
            file: file.to_owned(),
        });
    }
    Ok(ReadCopy {
        descriptor,
        staged,
        constant: std::ptr::eq(pointer, again),
    })
}

/// Opens a copy of `file` and connects it. Blocks, and runs the library's own code.
pub(crate) fn open_copy(
    plugin: &str,
    file: &Path,
    sha256: Option<&[u8; 32]>,
    staging: &Staging,
) -> Result<OpenedCopy, LoadError> {
    let ReadCopy {
        descriptor, staged, ..
    } = read_copy(file, sha256, staging)?;
    let host = LibraryHost::new(plugin);
    let connected = descriptor
        .init(Arc::clone(&host) as _)
        .map_err(|source| LoadError::Init {
            file: file.to_owned(),
            source,
        })?;
    connected.set_log_level(LevelFilter::current().into_level());
    Ok(OpenedCopy {
        descriptor,
        host,
        staged,
    })
}

/// The kind of a component, if this host knows it.
pub(crate) fn kind_of(component: &Component) -> Option<ComponentKind> {
    match component.kind {
        Functions::Agent(_) => Some(ComponentKind::Agent),
        Functions::Toolset(_) => Some(ComponentKind::Toolset),
        Functions::Mapper(_) => Some(ComponentKind::Mapper),
        _ => None,
    }
}

impl OpenedCopy {
    /// The component that a use wants.
    pub(crate) fn component(&self, wanted: &Use) -> Option<&Component> {
        let components = self.descriptor.components.iter();
        components
            .filter(|component| kind_of(component) == Some(wanted.kind))
            .find(|component| component.name == wanted.component)
    }

    /// What all components say of themselves. One that fails to is said to have no schema. Blocks, for it runs the
    /// library's own code.
    pub(crate) fn describe(&self) -> Vec<ComponentInfo> {
        let describe = |component: &Component| {
            let supported = kind_of(component).is_some();
            let description = match component.describe() {
                Ok(description) => description,
                Err(error) => {
                    if supported {
                        tracing::warn!(component = component.name, %error, "a component does not describe itself");
                    }
                    Default::default()
                }
            };
            ComponentInfo {
                kind: component.kind.to_string(),
                name: component.name.clone(),
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
    pub(crate) fn check(
        &self,
        plugin: &str,
        uses: Vec<Use>,
    ) -> Result<Vec<CheckedUse>, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut checked = Vec::new();
        for wanted in uses {
            match self.check_one(plugin, &wanted) {
                Ok(config) => checked.push(CheckedUse { of: wanted, config }),
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
        check_use(component, wanted)
    }

    fn no_component(&self, plugin: &str, wanted: &Use) -> Fault {
        let (name, kind) = (&wanted.component, wanted.kind);
        let others = self
            .descriptor
            .components
            .iter()
            .filter(|other| other.name == *name);
        let unknown = others.clone().find(|other| kind_of(other).is_none());
        if let Some(Component {
            kind: Functions::Unsupported(number),
            ..
        }) = unknown
        {
            return wanted.component_fault(
                format!("plugin `{plugin}` has `{name}`, which is of a kind ({number}) that this host does not know"),
                "a newer host may",
            );
        }
        let is = others
            .filter_map(kind_of)
            .map(ComponentKind::with_article)
            .collect::<Vec<_>>();
        let of_kind: Vec<&str> = self
            .descriptor
            .components
            .iter()
            .filter(|other| kind_of(other) == Some(kind))
            .map(|other| other.name.as_str())
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
pub(crate) fn check_use(component: &Component, wanted: &Use) -> Result<String, Vec<Fault>> {
    let broken = |problem: String| vec![wanted.component_fault(problem, "")];
    let description = component
        .describe()
        .map_err(|error| broken(format!("cannot be used: {error}")))?;
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
