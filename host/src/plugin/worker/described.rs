//! The JSON of the first frame in each direction.

use std::path::PathBuf;

use crate::plugin::descriptor::About;
use plugin_api::wire::ComponentDescription;
use serde::{Deserialize, Serialize};

/// What host and worker have to have in common. They are the same binary, so it counts nothing but mistakes.
pub(crate) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "+frames.2");

/// What a worker is to do. Nothing in it is secret.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Hello {
    /// [`VERSION`] of the host.
    pub(crate) version: String,
    /// The copy of the library that is to be opened.
    pub(crate) library: PathBuf,
    /// The file that it is a copy of, for texts.
    pub(crate) file: PathBuf,
    /// The most verbose level that the host wants to see.
    pub(crate) log_level: Option<String>,
    /// The largest event that an agent may emit, in bytes.
    pub(crate) event_bytes: usize,
    /// Most bytes of data that the worker may have.
    pub(crate) memory_limit: Option<u64>,
    /// The files that it may use; all of them when it is absent.
    pub(crate) files: Option<Files>,
}

/// See [`Hello::files`].
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Files {
    pub(crate) read: Vec<PathBuf>,
    pub(crate) write: Vec<PathBuf>,
}

/// What a library says of itself.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Opened {
    pub(crate) about: About,
    pub(crate) components: Vec<OpenedComponent>,
    /// What the worker could not confine itself with, and why.
    pub(crate) unavailable: Vec<String>,
}

/// A component of a library.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct OpenedComponent {
    /// `RH_COMPONENT_…`
    pub(crate) kind: u32,
    pub(crate) name: String,
    /// What it says of itself, or why it does not.
    pub(crate) description: Result<ComponentDescription, String>,
}
