//! Where a plugin's library is looked for.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};

use crate::config::LibraryFile;

/// The folders that are searched for a library given by its bare name, in order.
///
/// A bare name (`roundhouse_echo`) gets the platform's prefix and suffix (`libroundhouse_echo.so`). A path is
/// taken as it stands, and nothing is searched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchPath {
    folders: Vec<PathBuf>,
}

/// A library was not found. The text names every place that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// A path was given, and there is nothing.
    #[error("there is no file `{}`", .0.display())]
    NoFile(PathBuf),
    /// A path was given, and it is a folder, a pipe or the like.
    #[error("`{}` is not a file", .0.display())]
    NotAFile(PathBuf),
    /// A bare name was given, and no folder has it.
    #[error("there is no `{file}`; looked in {}", listed(.looked_in))]
    NotFound {
        /// The file's name, with the platform's prefix and suffix.
        file: String,
        /// Where it was looked for.
        looked_in: Vec<PathBuf>,
    },
}

fn listed(folders: &[PathBuf]) -> String {
    if folders.is_empty() {
        return "no folder, for none is configured".to_owned();
    }
    let quoted: Vec<String> = folders
        .iter()
        .map(|folder| format!("`{}`", folder.display()))
        .collect();
    quoted.join(", ")
}

impl SearchPath {
    /// Searches `folders` and nothing else.
    #[must_use]
    pub fn only(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut unique = Vec::new();
        for folder in folders {
            if !unique.contains(&folder) {
                unique.push(folder);
            }
        }
        Self { folders: unique }
    }

    /// Searches the configured folders first, then those around the running executable: `plugins` beside
    /// it, `../lib/roundhouse/plugins`, and the build's own (`deps` in its folder, and its folder).
    #[must_use]
    pub fn with_defaults(configured: &[PathBuf]) -> Self {
        // Without a path of its own executable (a container that hides it) only the configured ones remain.
        let around = std::env::current_exe()
            .ok()
            .and_then(|exe| exe.parent().map(around_executable))
            .unwrap_or_default();
        Self::only(configured.iter().cloned().chain(around))
    }

    /// The folders, in the order in which they are searched.
    #[must_use]
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Finds the library's file.
    ///
    /// # Errors
    ///
    /// [`SearchError`] when there is none.
    pub fn find(&self, library: &LibraryFile) -> Result<PathBuf, SearchError> {
        match library {
            LibraryFile::Path(path) => match std::fs::metadata(path) {
                Ok(metadata) if metadata.is_file() => Ok(path.clone()),
                Ok(_) => Err(SearchError::NotAFile(path.clone())),
                Err(_) => Err(SearchError::NoFile(path.clone())),
            },
            LibraryFile::Bare(name) => self.find_named(name),
        }
    }

    fn find_named(&self, name: &str) -> Result<PathBuf, SearchError> {
        let file = format!("{DLL_PREFIX}{name}{DLL_SUFFIX}");
        // Cargo names the library of a package `my-agent` `libmy_agent.so`.
        let as_cargo_names_it = format!("{DLL_PREFIX}{}{DLL_SUFFIX}", name.replace('-', "_"));
        for folder in &self.folders {
            for candidate in [&file, &as_cargo_names_it] {
                let path = folder.join(candidate);
                if path.is_file() {
                    return Ok(path);
                }
            }
        }
        Err(SearchError::NotFound {
            file,
            looked_in: self.folders.clone(),
        })
    }
}

fn around_executable(folder: &Path) -> Vec<PathBuf> {
    let mut folders = vec![folder.join("plugins")];
    if let Some(above) = folder.parent() {
        folders.push(above.join("lib").join("roundhouse").join("plugins"));
    }
    // `deps` first: every build writes there, while the copy beside the binary is left over from the last
    // build that named the plugin itself.
    folders.push(folder.join("deps"));
    folders.push(folder.to_owned());
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_name(bare: &str) -> String {
        format!("{DLL_PREFIX}{bare}{DLL_SUFFIX}")
    }

    fn find(search: &SearchPath, name: &str) -> Result<PathBuf, SearchError> {
        search.find(&LibraryFile::Bare(name.to_owned()))
    }

    #[test]
    fn a_bare_name_gets_prefix_and_suffix_and_the_first_folder_wins() {
        let first = tempfile::tempdir().unwrap();
        let second = tempfile::tempdir().unwrap();
        let search = SearchPath::only([first.path().to_owned(), second.path().to_owned()]);
        std::fs::write(second.path().join(file_name("my_agent")), "").unwrap();
        assert_eq!(
            find(&search, "my_agent"),
            Ok(second.path().join(file_name("my_agent")))
        );
        std::fs::write(first.path().join(file_name("my_agent")), "").unwrap();
        assert_eq!(
            find(&search, "my_agent"),
            Ok(first.path().join(file_name("my_agent")))
        );
        assert_eq!(
            find(&search, "my-agent"),
            Ok(first.path().join(file_name("my_agent")))
        );
    }

    #[test]
    fn an_empty_result_says_where_it_looked() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other");
        let search = SearchPath::only([folder.path().to_owned(), other.clone()]);
        let text = find(&search, "nothing").unwrap_err().to_string();
        assert!(text.contains(&file_name("nothing")), "{text}");
        assert!(
            text.contains(&folder.path().display().to_string()),
            "{text}"
        );
        assert!(text.contains(&other.display().to_string()), "{text}");
        let nowhere = find(&SearchPath::default(), "nothing")
            .unwrap_err()
            .to_string();
        assert!(nowhere.contains("none is configured"), "{nowhere}");
    }

    #[test]
    fn a_path_is_taken_as_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let search = SearchPath::only([folder.path().to_owned()]);
        let find = |path: &Path| search.find(&LibraryFile::Path(path.to_owned()));
        let file = elsewhere.path().join("anything");
        std::fs::write(&file, "").unwrap();
        assert_eq!(find(&file), Ok(file.clone()));
        let missing = elsewhere.path().join("missing.so");
        assert_eq!(find(&missing), Err(SearchError::NoFile(missing.clone())));
        let not_a_file = elsewhere.path().to_owned();
        assert_eq!(
            find(&not_a_file),
            Err(SearchError::NotAFile(not_a_file.clone()))
        );
    }

    #[test]
    fn the_default_folders_are_around_the_executable() {
        let folders = around_executable(Path::new("/opt/bin"));
        let expected = [
            "/opt/bin/plugins",
            "/opt/lib/roundhouse/plugins",
            "/opt/bin/deps",
            "/opt/bin",
        ];
        assert_eq!(folders, expected.map(PathBuf::from));
        let all = SearchPath::with_defaults(&[PathBuf::from("/configured")]);
        assert_eq!(all.folders()[0], PathBuf::from("/configured"));
        assert!(all.folders().len() == 5, "{all:?}");
    }
}
