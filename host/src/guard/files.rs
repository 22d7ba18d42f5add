//! The files of a message: only what was uploaded to its session.

use std::io;
use std::path::{Path, PathBuf};

use crate::protocol::ErrorCode;
use crate::protocol::errors;
use crate::session::FileRef;

/// What the guard asks of a file system.
pub trait Resolve {
    /// The absolute path with every symbolic link and every `..` resolved.
    ///
    /// # Errors
    ///
    /// When nothing is there, or it cannot be looked at.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf>;

    /// Whether a resolved path is a regular file.
    fn is_file(&self, path: &Path) -> bool;
}

/// The host's disk. Its calls block.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Resolve for Disk {
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        path.canonicalize()
    }

    fn is_file(&self, path: &Path) -> bool {
        path.symlink_metadata().is_ok_and(|data| data.is_file())
    }
}

/// Why a message's files are refused. The text is what the client is answered; it tells nothing of what
/// else is on the disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// One is not an upload of the session.
    #[error("{}", errors::not_an_upload(*number))]
    NotAnUpload {
        /// Which, counted from 1.
        number: usize,
    },
}

impl FileFault {
    /// The fault's code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotAnUpload { .. } => ErrorCode::InvalidFile,
        }
    }
}

/// Admits files that lie, with all symbolic links resolved, inside `folder`, the session's upload folder.
///
/// A path may be absolute, as the upload answered it, or relative, and then it starts at `folder`, never at
/// the host's working directory. What comes back is the resolved path, so nothing that the agent is told
/// was left unchecked, and the name without control characters, so that it stays on its line.
///
/// # Errors
///
/// The first file that is missing, lies elsewhere, is no regular file, or has a path that is no text.
pub fn check_files(
    files: &[FileRef],
    folder: &Path,
    disk: &impl Resolve,
) -> Result<Vec<FileRef>, FileFault> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    // A session without uploads may have no folder; then nothing is inside it.
    let folder = disk.resolve(folder).ok();
    (1..)
        .zip(files)
        .map(|(number, file)| {
            let path = folder
                .as_deref()
                .and_then(|folder| admitted(&file.path, folder, disk));
            let path = path.ok_or(FileFault::NotAnUpload { number })?;
            Ok(FileRef {
                name: without_control_characters(&file.name),
                path,
            })
        })
        .collect()
}

/// The resolved path, if it may pass. `folder` is resolved.
fn admitted(path: &str, folder: &Path, disk: &impl Resolve) -> Option<String> {
    let resolved = disk.resolve(&folder.join(path)).ok()?;
    // Compares whole components, so `…/uploads/1` does not contain `…/uploads/12/x`.
    let inside = resolved.starts_with(folder) && resolved != folder;
    let resolved = resolved.into_os_string().into_string().ok()?;
    (inside && disk.is_file(Path::new(&resolved))).then_some(resolved)
}

fn without_control_characters(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
#[path = "tests/files.rs"]
mod tests;
