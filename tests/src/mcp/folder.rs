//! The folder of a server that is a program: what it does wrong, and what it has seen.

use std::path::Path;

use tempfile::TempDir;

use crate::programs;
use crate::wait::until;

/// One server's folder.
pub struct Folder(TempDir);

impl Folder {
    /// For a server that does this wrong; nothing, if it is empty.
    ///
    /// # Panics
    ///
    /// When there is no folder.
    #[must_use]
    pub fn new(mode: &str) -> Self {
        match tempfile::tempdir() {
            Ok(folder) => {
                let folder = Self(folder);
                folder.set_mode(mode);
                folder
            }
            Err(error) => panic!("no folder: {error}"),
        }
    }

    /// What it does wrong when it is started the next time.
    ///
    /// # Panics
    ///
    /// When that cannot be written.
    pub fn set_mode(&self, mode: &str) {
        if let Err(error) = std::fs::write(self.path().join("mode"), mode) {
            panic!("{error}");
        }
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The settings by which it is started, without what follows them.
    ///
    /// # Panics
    ///
    /// When the program was not built.
    #[must_use]
    pub fn settings(&self) -> String {
        let Some(program) = programs() else {
            panic!("the test programs were not built");
        };
        format!(
            "command = {:?}\nargs = [\"mcp-server\", {:?}]\n",
            program.display().to_string(),
            self.path().display().to_string()
        )
    }

    /// What it has written, in its order.
    #[must_use]
    pub fn journal(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path().join("journal")).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// The lines that begin so, without that.
    #[must_use]
    pub fn entries(&self, kind: &str) -> Vec<String> {
        let of_kind = |line: String| Some(line.strip_prefix(kind)?.trim().to_owned());
        self.journal().into_iter().filter_map(of_kind).collect()
    }

    /// Waits until there are so many lines that begin so; the last.
    ///
    /// # Panics
    ///
    /// When there will not be.
    pub async fn wait_for(&self, kind: &str, count: usize) -> String {
        until(&format!("{count} times `{kind}`"), || {
            self.entries(kind).len() >= count
        })
        .await;
        self.entries(kind).swap_remove(count - 1)
    }
}
