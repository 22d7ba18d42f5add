//! Processes that end with the host.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use thiserror::Error;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

/// What a child gets of the host's environment; names that begin with `LC_` as well. The rest may be secret.
const PASSED_ON: [&str; 9] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TMPDIR", "TZ",
];

/// A command whose process ends with the host, made by [`InstanceContext::child`](crate::InstanceContext::child).
///
/// The process runs under a guard, a process of the host's own program that watches a pipe: when the host is gone, however
/// it went, the guard ends the process and all that it has started. Its standard streams are pipes. Of the host's
/// environment it gets `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL`, `LANG`, `LC_…`, `TERM`, `TMPDIR` and `TZ`, and what
/// [`env`](Self::env) adds.
#[derive(Clone, Debug)]
#[must_use = "a command does nothing until it is spawned"]
pub struct ChildCommand {
    guard: OsString,
    program: OsString,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    current_dir: Option<PathBuf>,
    files: Option<(Vec<PathBuf>, Vec<PathBuf>)>,
}

/// A process could not be started.
///
/// That the program itself is not there or may not be run is found by the guard: the process ends with exit code 127 or
/// 126, and a line on its standard error says why.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChildError {
    /// The host is older than this: guards are there since plugin interface 1.1.
    #[error("this host cannot guard child processes; one with plugin interface 1.1 or later can")]
    NoGuard,
    /// The system gave no process.
    #[error("no process could be started: {0}")]
    Spawn(#[source] io::Error),
}

impl ChildCommand {
    pub(crate) fn new(guard: &str, program: &OsStr) -> Self {
        Self {
            guard: guard.into(),
            program: program.to_owned(),
            args: Vec::new(),
            env: BTreeMap::new(),
            current_dir: None,
            files: None,
        }
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// The folder that the process works in; without it, the host's.
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(folder.into());
        self
    }

    /// Takes all files from the process, and from all that it starts, but the system's programs and libraries, the program
    /// itself, what is in `read`, and what is in `write`, which it may change as well. Folders are meant with all that
    /// they hold.
    ///
    /// A path that is not there, and a system that cannot do it (Linux can, with Landlock), end the process at its start,
    /// with exit code 126 and a line on its standard error.
    pub fn files(mut self, read: Vec<PathBuf>, write: Vec<PathBuf>) -> Self {
        self.files = Some((read, write));
        self
    }

    /// Starts the process. Needs the library's runtime, as all that is awaited does.
    ///
    /// # Errors
    ///
    /// [`ChildError`]
    pub fn spawn(&self) -> Result<Child, ChildError> {
        if self.guard.is_empty() {
            return Err(ChildError::NoGuard);
        }
        let mut command = Command::new(&self.guard);
        command.arg("child-guard");
        if let Some((read, write)) = &self.files {
            command.arg("--confine");
            for (flag, paths) in [("--read", read), ("--write", write)] {
                for path in paths {
                    command.arg(flag).arg(path);
                }
            }
        }
        command.arg("--").arg(&self.program).args(&self.args);
        let is_passed_on = |name: &OsStr| {
            let name = name.to_str().unwrap_or_default();
            PASSED_ON.contains(&name) || name.starts_with("LC_")
        };
        command
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| is_passed_on(name)))
            .envs(&self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A Ctrl-C in the host's terminal is the host's to act on. The name is for whoever lists processes.
        #[cfg(unix)]
        command.process_group(0).arg0("roundhouse");
        if let Some(folder) = &self.current_dir {
            command.current_dir(folder);
        }
        let mut process = command.spawn().map_err(ChildError::Spawn)?;
        let streams = (
            process.stdin.take(),
            process.stdout.take(),
            process.stderr.take(),
        );
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
            return Err(ChildError::Spawn(io::Error::other("it has no streams")));
        };
        Ok(Child {
            stdin,
            stdout,
            stderr,
            guard: ChildGuard(process),
        })
    }
}

/// A process that ends with the host.
///
/// To end it sooner, drop [`stdin`](Self::stdin): the process sees the end of its input, as programs that speak over it
/// expect. What of it is still there 2 seconds later gets SIGTERM, 2 seconds after that SIGKILL.
#[derive(Debug)]
#[non_exhaustive]
pub struct Child {
    /// Where the process reads. Dropped, it ends.
    pub stdin: ChildStdin,
    /// What the process prints.
    pub stdout: ChildStdout,
    /// What the process complains of.
    pub stderr: ChildStderr,
    /// Its end.
    pub guard: ChildGuard,
}

/// The end of a process, once [`Child`] was taken apart.
#[derive(Debug)]
pub struct ChildGuard(tokio::process::Child);

impl ChildGuard {
    /// Waits until the process is gone, and all that it has started.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.0.wait().await
    }

    /// The number of the process that watches over it; none once that was waited for.
    pub fn id(&self) -> Option<u32> {
        self.0.id()
    }
}
