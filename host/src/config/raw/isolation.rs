//! Whether a plugin runs in the host's own process, and what a worker process of it may do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a plugin's code runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Isolation {
    /// In the host's own process.
    #[default]
    InProcess,
    /// In a worker process of its own.
    Process,
}

/// What a worker process may do with files, where the system can enforce it.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Files {
    /// Files and folders that it may read, with all that is in them. Relative to this file.
    #[schemars(inner(length(min = 1)), example = &["/srv/models"])]
    pub(crate) read: Vec<String>,
    /// Files and folders that it may read and change, with all that is in them. Relative to this file.
    #[schemars(inner(length(min = 1)), example = &["/srv/scratch"])]
    pub(crate) write: Vec<String>,
}
