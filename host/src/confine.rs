//! Taking files from this process, and from all that it starts, but those that it is to have; and the processes of others,
//! which it may signal no more.
//!
//! Linux does it, by Landlock. Without a system that can, nothing is taken, and that is an error: who asked for it must not
//! go on as if it were so.

use std::path::{Path, PathBuf};

/// How far files were taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Confined {
    Wholly,
    /// [`IN_PART`]
    InPart,
}

/// How it is told of.
pub(crate) const IN_PART: &str =
    "only as far as this kernel's Landlock goes, which is not all of moving and truncating files";

/// Files could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    #[error("`{}`: {reason}", .path.display())]
    Path { path: PathBuf, reason: String },
    #[error("{0}")]
    Refused(String),
    #[error("this kernel has no Landlock, or it is not switched on")]
    NotEnforced,
    #[cfg(not(target_os = "linux"))]
    #[error("this system cannot do it")]
    System,
}

/// What every process needs of the system: its libraries, names and addresses, certificates, time zones.
pub(crate) const SYSTEM_READ: &[&str] = &[
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local/lib",
    "/usr/share/ca-certificates",
    "/usr/share/zoneinfo",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/timezone",
    "/run/systemd/resolve",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
    // And not those of others: not every kernel keeps their environment and memory from a process that Landlock confines.
    "/proc/self",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
];

/// Which processes there are, and nothing of them: a guard looks for those that are its own.
const SYSTEM_LIST: &[&str] = &["/proc"];

/// As above.
pub(crate) const SYSTEM_WRITE: &[&str] = &["/dev/null"];

/// What a program needs besides, one with an interpreter, and one that starts others.
pub(crate) const PROGRAMS_READ: &[&str] = &[
    "/bin",
    "/sbin",
    "/usr",
    "/opt",
    "/etc/bash.bashrc",
    "/etc/gitconfig",
    "/etc/group",
    "/etc/inputrc",
    "/etc/mime.types",
    "/etc/npmrc",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/profile",
    "/etc/profile.d",
    "/etc/python3",
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys",
    "/proc/uptime",
    "/proc/version",
];

/// As above. Not `/dev/pts`, where the terminals of all are that the user has open.
pub(crate) const PROGRAMS_WRITE: &[&str] = &["/dev/full", "/dev/tty"];

/// Files by what may be done with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files<'a> {
    pub(crate) read: Vec<&'a Path>,
    /// To be read and changed.
    pub(crate) write: Vec<&'a Path>,
}

impl Files<'static> {
    /// Those of the lists above.
    pub(crate) fn system(
        read: &[&'static [&'static str]],
        write: &[&'static [&'static str]],
    ) -> Self {
        let paths = |lists: &[&'static [&'static str]]| {
            lists.iter().copied().flatten().map(Path::new).collect()
        };
        Self {
            read: paths(read),
            write: paths(write),
        }
    }
}

/// Takes all files but these. Of `system` what is not there is left out; those that are `asked` for have to be there. For
/// the thread that calls it, and what it starts. Where the kernel can (since 6.12), those may besides neither signal nor, by
/// an abstract socket, reach any process but one another.
#[cfg(target_os = "linux")]
pub(crate) fn to_files(system: Files<'_>, asked: Files<'_>) -> Result<Confined, ConfineError> {
    use landlock::{
        ABI, Access, AccessFs, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
        Scope, path_beneath_rules,
    };

    // The first that covers truncating a file.
    const VERSION: ABI = ABI::V3;
    for path in asked.read.iter().chain(&asked.write) {
        PathFd::new(path).map_err(|error| ConfineError::Path {
            path: path.to_path_buf(),
            reason: error.to_string(),
        })?;
    }
    let (reading, all) = (AccessFs::from_read(VERSION), AccessFs::from_all(VERSION));
    let readable = system.read.into_iter().chain(asked.read);
    let writable = system.write.into_iter().chain(asked.write);
    let restricted = Ruleset::default()
        .handle_access(all)
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rules(path_beneath_rules(readable, reading)))
        .and_then(|rules| rules.add_rules(path_beneath_rules(writable, all)))
        .and_then(|rules| rules.add_rules(path_beneath_rules(SYSTEM_LIST, AccessFs::ReadDir)))
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|error| ConfineError::Refused(error.to_string()))?;
    // For itself, so that the lack of it does not look like a lack of the above.
    Ruleset::default()
        .scope(Scope::from_all(ABI::V6))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|error| ConfineError::Refused(error.to_string()))?;
    match restricted.ruleset {
        RulesetStatus::FullyEnforced => Ok(Confined::Wholly),
        RulesetStatus::PartiallyEnforced => Ok(Confined::InPart),
        RulesetStatus::NotEnforced => Err(ConfineError::NotEnforced),
    }
}

/// As above.
#[cfg(not(target_os = "linux"))]
pub(crate) fn to_files(_: Files<'_>, _: Files<'_>) -> Result<Confined, ConfineError> {
    Err(ConfineError::System)
}
