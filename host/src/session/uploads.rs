//! Where uploaded files lie: `uploads/SESSION/` in the data folder.

use std::io;
use std::path::{Path, PathBuf};

use super::ids::SessionId;

/// The folders of uploaded files, one a session.
#[derive(Debug, Clone)]
pub struct UploadFolders {
    root: PathBuf,
}

impl UploadFolders {
    /// The folders in a data folder. Touches nothing.
    #[must_use]
    pub fn in_data_folder(data: &Path) -> Self {
        Self {
            root: data.join("uploads"),
        }
    }

    /// The session's folder, whether or not it exists.
    #[must_use]
    pub fn of(&self, session: SessionId) -> PathBuf {
        self.root.join(session.to_string())
    }

    /// Makes the session's folder, readable by the host's user alone, and
    /// returns its canonical path. One that exists is left as it is. Blocks.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(&self, session: SessionId) -> io::Result<PathBuf> {
        let folder = self.of(session);
        private_folder(&folder)?;
        folder.canonicalize()
    }

    /// Deletes the session's folder with everything in it. One that does not
    /// exist is fine. Blocks.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove(&self, session: SessionId) -> io::Result<()> {
        match std::fs::remove_dir_all(self.of(session)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

/// Makes a folder and its parents, where missing, with access for the host's
/// user alone.
pub(in crate::session) fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_private_and_removed_twice() {
        let data = tempfile::tempdir().unwrap();
        let folders = UploadFolders::in_data_folder(data.path());
        let session = SessionId::new();
        let folder = folders.create(session).unwrap();
        assert!(folder.ends_with(format!("uploads/{session}")));
        assert_eq!(folders.create(session).unwrap(), folder);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = folder.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        std::fs::write(folder.join("a.txt"), "a").unwrap();
        folders.remove(session).unwrap();
        assert!(!folder.exists());
        folders.remove(session).unwrap();
    }
}
