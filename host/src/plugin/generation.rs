//! One generation of a plugin: an opened copy of its library. It is mapped as long as the process lives; what is told of
//! it here says how far it has come.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::SystemTime;

use super::library_copy::LibraryCopy;

/// How far a generation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GenerationState {
    /// It is opened, and its instances are made.
    Starting,
    /// New runs take it.
    Serving,
    /// New runs take another one; it ends when those that took it have.
    Retiring,
    /// Its instances have ended. Its memory stays.
    Retired,
    /// It was opened and found wrong, or another plugin was; it never served.
    Refused,
}

impl GenerationState {
    /// Every state, in the order in which they come.
    pub const ALL: [Self; 5] = [
        Self::Starting,
        Self::Serving,
        Self::Retiring,
        Self::Retired,
        Self::Refused,
    ];

    /// Its name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Refused => "refused",
        }
    }

    /// After it was put in force.
    fn in_force(self) -> Self {
        match self {
            Self::Starting => Self::Serving,
            other => other,
        }
    }

    /// After another took its place.
    fn superseded(self) -> Self {
        match self {
            Self::Serving => Self::Retiring,
            other => other,
        }
    }

    /// After its instances have ended, or could not be made.
    fn ended(self) -> Self {
        match self {
            Self::Starting | Self::Refused => Self::Refused,
            Self::Serving | Self::Retiring | Self::Retired => Self::Retired,
        }
    }
}

/// Whose memory a generation is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// The host's own, where it stays.
    Host,
    /// A worker's, which is given back with it.
    Worker,
}

/// What there is to say of a generation.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationStatus {
    /// Counts the generations of a host, from 1.
    pub number: u64,
    /// The configured name of its plugin.
    pub plugin: String,
    /// The file that it was copied from.
    pub file: PathBuf,
    /// The library's own version; empty when it did not get as far as to tell it.
    pub version: String,
    /// SHA-256 of the file as it was copied.
    pub sha256: [u8; 32],
    /// When it was opened.
    pub opened_at: SystemTime,
    /// How far it has come.
    pub state: GenerationState,
    /// Whether a run or a call of a mapper in it does not end.
    pub stuck: bool,
    /// Runs of its agents in progress, subagents' included, and those that were abandoned and go on.
    pub running: usize,
    /// Runs that it failed.
    pub failures: u64,
}

/// See the module.
pub(crate) struct Generation {
    number: u64,
    plugin: String,
    /// What was opened a copy of.
    file: PathBuf,
    /// Where that was copied from, if it was a copy already.
    origin: OnceLock<PathBuf>,
    version: OnceLock<String>,
    sha256: [u8; 32],
    home: Home,
    opened_at: SystemTime,
    failures: AtomicU64,
    state: Mutex<GenerationState>,
    /// Where its instances are, once they are made.
    copy: OnceLock<Weak<LibraryCopy>>,
}

impl Generation {
    pub(crate) fn new(
        number: u64,
        plugin: &str,
        file: &Path,
        sha256: [u8; 32],
        home: Home,
    ) -> Self {
        Self {
            number,
            plugin: plugin.to_owned(),
            file: file.to_owned(),
            origin: OnceLock::new(),
            version: OnceLock::new(),
            sha256,
            home,
            opened_at: SystemTime::now(),
            failures: AtomicU64::new(0),
            state: Mutex::new(GenerationState::Starting),
            copy: OnceLock::new(),
        }
    }

    pub(crate) fn home(&self) -> Home {
        self.home
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_gone(&self) -> bool {
        let over = matches!(
            *self.state(),
            GenerationState::Retired | GenerationState::Refused
        );
        over && self.home == Home::Worker
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the file has not changed since.
    pub(crate) fn is_of(&self, sha256: &[u8; 32]) -> bool {
        self.sha256 == *sha256
    }

    /// It was made from the copy of another generation.
    pub(crate) fn came_from(&self, other: &Self) {
        self.origin.get_or_init(|| other.found().to_owned());
    }

    /// The file as it was found.
    fn found(&self) -> &Path {
        self.origin.get().unwrap_or(&self.file)
    }

    /// What the library says that it is.
    pub(crate) fn tells_version(&self, version: &str) {
        self.version.get_or_init(|| version.to_owned());
    }

    /// Its instances are made.
    pub(crate) fn made(&self, copy: &Arc<LibraryCopy>) {
        self.copy.get_or_init(|| Arc::downgrade(copy));
    }

    /// A run was failed by it.
    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, GenerationState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// New runs take it from now on.
    pub(crate) fn put_in_force(&self) {
        let mut state = self.state();
        *state = state.in_force();
    }

    /// New runs take another one from now on.
    pub(crate) fn superseded(&self) {
        let mut state = self.state();
        *state = state.superseded();
    }

    /// Its instances have ended, or could not be made.
    pub(crate) fn ended(&self) {
        let mut state = self.state();
        *state = state.ended();
    }

    pub(crate) fn status(&self) -> GenerationStatus {
        let copy = self.copy.get().and_then(Weak::upgrade);
        GenerationStatus {
            number: self.number,
            plugin: self.plugin.clone(),
            file: self.found().to_owned(),
            version: self.version.get().cloned().unwrap_or_default(),
            sha256: self.sha256,
            opened_at: self.opened_at,
            state: *self.state(),
            stuck: copy.as_ref().is_some_and(|copy| copy.is_stuck()),
            running: copy.map_or(0, |copy| copy.running()),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::GenerationState::*;

    #[test]
    fn one_that_served_retires_and_one_that_did_not_was_refused() {
        assert_eq!(Starting.in_force().superseded().ended(), Retired);
        assert_eq!(Starting.in_force().ended().ended(), Retired);
        assert_eq!(Starting.superseded().ended().ended(), Refused);
        // What has ended does not come back.
        for over in [Retired, Refused] {
            assert_eq!(over.in_force().superseded(), over);
        }
    }
}
