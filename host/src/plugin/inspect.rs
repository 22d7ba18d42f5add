//! What a library says of itself, without making an instance of anything.

use std::path::{Path, PathBuf};

use super::SearchPath;
use super::generations::Generations;
use super::loader::{ComponentInfo, LoadError, open_copy};
use super::opening::Opening;
use super::search::SearchError;
use super::staging::{Staging, StagingError};
use crate::config::LibraryFile;

/// A library's descriptor and components.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Inspection {
    /// The file.
    pub file: PathBuf,
    /// The library's own name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// What built it.
    pub built_with: String,
    /// The minor version of the boundary that it was built with.
    pub abi_minor: u32,
    /// The least one of a host that it works with.
    pub min_host_minor: u32,
    /// Its components.
    pub components: Vec<ComponentInfo>,
}

/// A library could not be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// There is no such file.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// There is nowhere to put a copy.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// It cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Opens a library and reads what it says of itself. A copy of it is put into the folder `staging` for
/// that time.
///
/// Blocks, and runs the library's own code: one that crashes takes the process with it.
///
/// # Errors
///
/// [`InspectError`], naming the file.
pub fn inspect(
    library: &LibraryFile,
    search: &SearchPath,
    staging: &Path,
) -> Result<Inspection, InspectError> {
    let file = search.find(library)?;
    let generations = Generations::new(Staging::new(staging)?, None, 1);
    let opened = open_copy("inspected", &file, None, &Opening::new(&generations), None)?;
    let components = opened.describe();
    let about = opened.descriptor.about;
    Ok(Inspection {
        file,
        name: about.name,
        version: about.version,
        built_with: about.built_with,
        abi_minor: about.abi_minor,
        min_host_minor: about.min_host_minor,
        components,
    })
}
