//! What a library says of itself, wherever it is open.

use plugin_api::abi::import::{Component, ComponentKind as Functions, PluginDescriptor};
use plugin_api::abi::types;
use plugin_api::wire::ComponentDescription;
use serde::{Deserialize, Serialize};

use super::component::ComponentKind;
use super::worker::described::{Opened, OpenedComponent};

/// What a library says of itself.
pub(crate) struct Descriptor {
    pub(crate) about: About,
    pub(crate) components: Vec<LoadedComponent>,
}

/// What a library says of itself as a whole.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) built_with: String,
    pub(crate) abi_minor: u32,
    pub(crate) min_host_minor: u32,
}

/// A component of a library.
pub(crate) enum LoadedComponent {
    Here(Component),
    InWorker(OpenedComponent),
}

impl LoadedComponent {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Here(component) => &component.name,
            Self::InWorker(component) => &component.name,
        }
    }

    /// Its kind, as it crosses.
    pub(crate) fn kind_number(&self) -> u32 {
        match self {
            Self::Here(component) => kind_number(&component.kind),
            Self::InWorker(component) => component.kind,
        }
    }

    /// Its kind, if this host knows it.
    pub(crate) fn kind(&self) -> Option<ComponentKind> {
        kind_of(self.kind_number())
    }

    /// What it says of itself. Blocks, for it may run the library's own code.
    pub(crate) fn describe(&self) -> Result<ComponentDescription, String> {
        match self {
            Self::Here(component) => component.describe().map_err(|error| error.to_string()),
            Self::InWorker(component) => component.description.clone(),
        }
    }
}

/// The kind that crosses as `number`, if this host knows it.
pub(crate) fn kind_of(number: u32) -> Option<ComponentKind> {
    match number {
        types::COMPONENT_AGENT => Some(ComponentKind::Agent),
        types::COMPONENT_TOOLSET => Some(ComponentKind::Toolset),
        types::COMPONENT_MAPPER => Some(ComponentKind::Mapper),
        _ => None,
    }
}

/// A component's kind, as it crosses.
pub(crate) fn kind_number(kind: &Functions) -> u32 {
    match kind {
        Functions::Agent(_) => types::COMPONENT_AGENT,
        Functions::Toolset(_) => types::COMPONENT_TOOLSET,
        Functions::Mapper(_) => types::COMPONENT_MAPPER,
        Functions::Unsupported(kind) => *kind,
        // Like one that this release does not know.
        _ => 0,
    }
}

impl From<&PluginDescriptor> for About {
    fn from(descriptor: &PluginDescriptor) -> Self {
        Self {
            name: descriptor.name.clone(),
            version: descriptor.version.clone(),
            built_with: descriptor.built_with.clone(),
            abi_minor: descriptor.abi_minor,
            min_host_minor: descriptor.min_host_minor,
        }
    }
}

impl From<PluginDescriptor> for Descriptor {
    fn from(descriptor: PluginDescriptor) -> Self {
        let about = About::from(&descriptor);
        let components = descriptor.components.into_iter();
        Self {
            about,
            components: components.map(LoadedComponent::Here).collect(),
        }
    }
}

impl From<Opened> for Descriptor {
    fn from(opened: Opened) -> Self {
        let components = opened.components.into_iter();
        Self {
            about: opened.about,
            components: components.map(LoadedComponent::InWorker).collect(),
        }
    }
}
