//! The folder that libraries are copied to before they are opened.
//!
//! Opening the same path twice hands back the image that is mapped already, and rewriting a mapped file kills the process.
//! So each opening gets a copy of its own, under a name never used before, that nobody else writes to.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

const LOCK_FILE: &str = "lock";

/// A folder of this process's own inside the data folder's `plugins`, removed on drop; those that other
/// processes left behind are removed when one is made.
///
/// Several processes may use one data folder (`roundhouse check` beside a running host): each holds a lock
/// in its own folder while it lives, and a folder that is locked is left alone.
#[derive(Debug)]
pub(crate) struct Staging {
    folder: PathBuf,
    next: AtomicU64,
    /// Held open, for closing it releases the lock.
    _lock: File,
}

/// The folder for staged copies could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare the folder for plugin copies `{}`: {source}", folder.display())]
pub struct StagingError {
    folder: PathBuf,
    source: io::Error,
}

/// A library could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The source cannot be read.
    #[error("cannot read `{}`: {source}", file.display())]
    Read {
        /// The library as found.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The copy cannot be written.
    #[error("cannot copy `{}` to `{}`: {source}", file.display(), staged.display())]
    Write {
        /// The library as found.
        file: PathBuf,
        /// The copy.
        staged: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Staging {
    /// Makes this process's folder in `data_folder`, and clears away those whose process is gone.
    pub(crate) fn new(data_folder: &Path) -> Result<Self, StagingError> {
        let all = data_folder.join("plugins");
        let failed = |folder: &Path, source| StagingError {
            folder: folder.to_owned(),
            source,
        };
        std::fs::create_dir_all(data_folder).map_err(|source| failed(data_folder, source))?;
        make_private_folder(&all).map_err(|source| failed(&all, source))?;
        // One at a time, or one process could take a folder that another has made and not locked yet.
        let turn = File::create(all.join(LOCK_FILE)).map_err(|source| failed(&all, source))?;
        turn.lock().map_err(|source| failed(&all, source))?;
        remove_left_behind(&all);
        let random =
            getrandom::u64().map_err(|error| failed(&all, io::Error::other(error.to_string())))?;
        let folder = all.join(format!("{}-{random:016x}", std::process::id()));
        make_private_folder(&folder).map_err(|source| failed(&folder, source))?;
        let lock =
            File::create(folder.join(LOCK_FILE)).map_err(|source| failed(&folder, source))?;
        lock.lock().map_err(|source| failed(&folder, source))?;
        Ok(Self {
            folder,
            next: AtomicU64::new(0),
            _lock: lock,
        })
    }

    /// Copies a library to a name never used before and answers the copy's path.
    pub(crate) fn stage(&self, file: &Path) -> Result<PathBuf, StageError> {
        let read = |source| StageError::Read {
            file: file.to_owned(),
            source,
        };
        let mut source = File::open(file).map_err(read)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let staged = self.folder.join(format!("{number}-{name}"));
        let write = |source| StageError::Write {
            file: file.to_owned(),
            staged: staged.clone(),
            source,
        };
        let mut copy = File::create_new(&staged).map_err(write)?;
        io::copy(&mut source, &mut copy).map_err(write)?;
        Ok(staged)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What is mapped stays mapped without its file. What cannot be removed is removed at the next start.
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::debug!(folder = %self.folder.display(), %error, "could not remove the plugin copies");
        }
    }
}

/// The SHA-256 of a file.
pub(crate) fn sha256_of(file: &Path) -> Result<[u8; 32], StageError> {
    let failed = |source| StageError::Read {
        file: file.to_owned(),
        source,
    };
    let mut file = File::open(file).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            return Ok(hasher.finalize().into());
        }
        hasher.update(&buffer[..read]);
    }
}

fn remove_left_behind(all: &Path) {
    let Ok(entries) = std::fs::read_dir(all) else {
        return;
    };
    for folder in entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
    {
        let in_use = match File::open(folder.join(LOCK_FILE)) {
            Ok(lock) => lock.try_lock().is_err(),
            Err(_) => false,
        };
        if !in_use && let Err(error) = std::fs::remove_dir_all(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "could not remove old plugin copies");
        }
    }
}

fn make_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // The one that was there already may have been made with another mode.
    #[cfg(unix)]
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_private_and_never_share_a_name() {
        let data = tempfile::tempdir().unwrap();
        let source = data.path().join("libx.so");
        std::fs::write(&source, b"content").unwrap();
        let staging = Staging::new(&data.path().join("data")).unwrap();
        let first = staging.stage(&source).unwrap();
        let second = staging.stage(&source).unwrap();
        assert_ne!(first, second);
        assert_eq!(std::fs::read(&second).unwrap(), b"content");
        #[cfg(unix)]
        for folder in [first.parent().unwrap(), &data.path().join("data/plugins")] {
            let mode =
                std::os::unix::fs::PermissionsExt::mode(&folder.metadata().unwrap().permissions());
            assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
        }
    }

    #[test]
    fn what_a_dead_process_left_is_removed_and_a_live_one_is_let_be() {
        let data = tempfile::tempdir().unwrap();
        let source = data.path().join("libx.so");
        std::fs::write(&source, b"content").unwrap();
        let left_behind = data.path().join("plugins/4711-0123456789abcdef");
        std::fs::create_dir_all(&left_behind).unwrap();
        std::fs::write(left_behind.join(LOCK_FILE), "").unwrap();
        std::fs::write(left_behind.join("0-libx.so"), "").unwrap();

        let live = Staging::new(data.path()).unwrap();
        assert!(!left_behind.exists());
        let staged = live.stage(&source).unwrap();
        let other = Staging::new(data.path()).unwrap();
        assert!(staged.exists());
        assert_ne!(other.stage(&source).unwrap(), staged);

        drop(live);
        assert!(!staged.exists());
    }

    #[test]
    fn a_source_that_cannot_be_read_is_named() {
        let data = tempfile::tempdir().unwrap();
        let staging = Staging::new(data.path()).unwrap();
        let text = staging
            .stage(Path::new("/nowhere/libx.so"))
            .unwrap_err()
            .to_string();
        assert!(text.contains("/nowhere/libx.so"), "{text}");
    }

    #[test]
    fn the_checksum_is_the_files() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("abc");
        std::fs::write(&file, "abc").unwrap();
        assert_eq!(sha256_of(&file).unwrap()[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
