//! Looking after the files that the host was made of, to take up their changes by itself.
//!
//! They are looked at every so often. That works for every way in which a file may be replaced, on every file system, and
//! costs a few system calls; what a notification would save is a moment.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use super::super::host::Host;
use crate::config::{Config, LibraryFile, Loader};
use crate::plugin::SearchPath;

/// How a file looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Look {
    modified: Option<SystemTime>,
    bytes: u64,
    /// Which file it is, by the file system's count: another one may be put in its place.
    inode: u64,
}

/// How all files looked; none for one that was not there.
pub(in crate::server) type Looks = Vec<(PathBuf, Option<Look>)>;

/// What to do after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Nothing,
    /// Something has changed, and may still be changing.
    LookAgain,
    Reload,
}

/// What was seen so far. Pure.
#[derive(Debug)]
struct Watch {
    /// What the host has taken up, or tried to.
    taken: Looks,
    last: Looks,
}

impl Watch {
    fn of(looks: Looks) -> Self {
        Self {
            last: looks.clone(),
            taken: looks,
        }
    }

    /// A file that is being written is left alone until it looks the same twice.
    fn seen(&mut self, looks: Looks) -> Next {
        let settled = looks == self.last;
        self.last = looks;
        if self.last == self.taken {
            Next::Nothing
        } else if settled {
            self.taken.clone_from(&self.last);
            Next::Reload
        } else {
            Next::LookAgain
        }
    }
}

/// Watches the files of a host as often as is configured, which may change. Ends with the host, or where there is nothing
/// to be read again. `before` is how they looked before the host read them.
pub(in crate::server) async fn watch(host: Weak<Host>, before: Looks) {
    let mut watch = Some(Watch::of(before));
    loop {
        let Some(host) = host.upgrade() else { return };
        let Some(source) = host.reloads.source.clone() else {
            return;
        };
        let every = host.in_force().config.reload.watch;
        if every.is_zero() {
            watch = None;
            let changed = Arc::clone(&host.reloads.changed);
            let changed = changed.notified();
            tokio::pin!(changed);
            // From here on nothing is missed; what came before shows in the configuration.
            changed.as_mut().enable();
            if host.in_force().config.reload.watch.is_zero() {
                drop(host);
                changed.await;
            }
            continue;
        }
        let in_force = host.in_force();
        let looking = tokio::task::spawn_blocking(move || looks(&in_force.config, &source));
        // Nothing in it panics; and if it did, no file would seem to be there, twice before it counts.
        let looks = looking.await.unwrap_or_default();
        let next = match &mut watch {
            Some(watch) => watch.seen(looks),
            None => {
                watch = Some(Watch::of(looks));
                Next::Nothing
            }
        };
        if next == Next::Reload {
            tracing::info!("a watched file has changed");
            // What became of it is in the log.
            let _ = host.reload().await;
        }
        drop(host);
        tokio::time::sleep(every).await;
    }
}

/// How the configuration's files look, and those of the plugins that it names, where they would be found now. Blocks.
pub(in crate::server) fn looks(config: &Config, source: &Loader) -> Looks {
    let search = SearchPath::with_defaults(&config.plugins.search_paths);
    let libraries = config.plugins.libraries.values().map(|library| {
        let found = search.find(&library.file);
        found.unwrap_or_else(|_| match &library.file {
            LibraryFile::Path(path) => path.clone(),
            LibraryFile::Bare(name) => PathBuf::from(name),
        })
    });
    let files = source.files().into_iter().chain(libraries);
    let look = |file: PathBuf| {
        let look = std::fs::metadata(&file).ok().map(|about| Look {
            modified: about.modified().ok(),
            bytes: about.len(),
            inode: inode(&about),
        });
        (file, look)
    };
    files.map(look).collect()
}

#[cfg(unix)]
fn inode(about: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(about)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(bytes: u64) -> Looks {
        let look = Look {
            modified: None,
            bytes,
            inode: 1,
        };
        vec![(PathBuf::from("a"), Some(look)), (PathBuf::from("b"), None)]
    }

    #[test]
    fn a_change_is_taken_up_once_and_when_it_is_complete() {
        let mut watch = Watch::of(looked(1));
        assert_eq!(watch.seen(looked(1)), Next::Nothing);
        assert_eq!(watch.seen(looked(2)), Next::LookAgain);
        assert_eq!(watch.seen(looked(3)), Next::LookAgain);
        assert_eq!(watch.seen(looked(3)), Next::Reload);
        // Whether or not that went well.
        assert_eq!(watch.seen(looked(3)), Next::Nothing);
        // Back to what it was while nobody had taken it up.
        assert_eq!(watch.seen(looked(4)), Next::LookAgain);
        assert_eq!(watch.seen(looked(3)), Next::Nothing);
        assert_eq!(watch.seen(looked(3)), Next::Nothing);
    }
}
