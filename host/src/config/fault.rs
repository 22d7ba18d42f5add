//! What is wrong with a configuration, said so that a person can put it right.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a configured value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nowhere: the host's own default.
    BuiltIn,
    /// A file.
    File(PathBuf),
    /// The environment variable of this name.
    Env(String),
    /// The command line's flag of this name, dashes included.
    Flag(String),
}

impl Source {
    /// The folder that a relative path from this source starts at; `None` is the
    /// working directory.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::File(path) => path.parent().filter(|p| !p.as_os_str().is_empty()),
            Self::BuiltIn | Self::Env(_) | Self::Flag(_) => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One fault. Its texts never hold the offending value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where the faulty value was written.
    pub source: Source,
    /// The line in that file, from 1, where it is known.
    pub line: Option<usize>,
    /// The key's path, such as `agents.echo.component` or `mappers[0].config`; empty for
    /// the file as a whole.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What would be right; empty when the problem already says so.
    pub expected: String,
}

impl Fault {
    /// The order in which a person goes through the faults: file by file, from the top.
    fn place(&self) -> (&Source, Option<usize>) {
        (&self.source, self.line)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.problem)?;
        if !self.expected.is_empty() {
            write!(f, "; {}", self.expected)?;
        }
        Ok(())
    }
}

/// All faults of a configuration; at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Faults in the order in which a person goes through them.
    pub(crate) fn in_order(mut faults: Vec<Fault>) -> Self {
        faults.sort_by(|a, b| a.place().cmp(&b.place()));
        Self(faults)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the configuration has a fault:")?,
            n => write!(f, "the configuration has {n} faults:")?,
        }
        for fault in &self.0 {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}
