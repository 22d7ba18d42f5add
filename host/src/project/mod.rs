//! A new plugin: a project that builds wherever it lies, with nothing that is not published but what it brings along.
//!
//! In reading order: [`Parts`] and [`create`], what is made; `files`: its files' texts; `api`: the source of
//! `plugin-api` as it was when this host was built.

mod api;
mod files;
mod name;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use api::HEADER;
pub use name::{Name, NameError};

/// Which components the plugin has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// An agent.
    pub agent: bool,
    /// A tool.
    pub tool: bool,
    /// A mapper.
    pub mapper: bool,
}

/// A project could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// There is something already.
    #[error("`{}` is there already; take another name, or remove it first", .0.display())]
    Exists(PathBuf),
    /// A file or folder could not be written.
    #[error("`{}` cannot be written", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes the project `name` in the folder `parent`, which is made if it is missing. Answers the project's folder.
///
/// # Errors
///
/// [`ProjectError`]. What was written until then is removed again.
pub fn create(parent: &Path, name: &Name, parts: Parts) -> Result<PathBuf, ProjectError> {
    let write = |path: &Path| {
        let path = path.to_owned();
        move |source| ProjectError::Write { path, source }
    };
    if !parent.as_os_str().is_empty() {
        fs::create_dir_all(parent).map_err(write(parent))?;
    }
    let folder = parent.join(name.as_str());
    // Which fails for whatever is there, a dangling link too.
    fs::create_dir(&folder).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => ProjectError::Exists(folder.clone()),
        _ => write(&folder)(source),
    })?;
    let written = fill(&folder, name, parts);
    if written.is_err() {
        // It is of no use, and in the way of another attempt. Why it came to this is told already.
        let _ = fs::remove_dir_all(&folder);
    }
    written.map(|()| folder)
}

fn fill(folder: &Path, name: &Name, parts: Parts) -> Result<(), ProjectError> {
    let vendored = api::FILES
        .iter()
        .map(|(path, text)| (Path::new(api::FOLDER).join(path), (*text).to_owned()));
    let own = files::all(name, parts)
        .into_iter()
        .map(|(path, text)| (PathBuf::from(path), text));
    for (path, text) in own.chain(vendored) {
        let path = folder.join(path);
        let below = path.parent().map_or(Ok(()), fs::create_dir_all);
        below
            .and_then(|()| fs::write(&path, text))
            .map_err(|source| ProjectError::Write { path, source })?;
    }
    Ok(())
}
