//! `roundhouse child-guard`: a process between the host and a program that a plugin has started, so that the program ends
//! with the host, and with it all that it has started.
//!
//! The host may go without a word. What the system itself offers for that, a signal at the parent's death, comes when the
//! *thread* ends that has started the process, and the host's threads come and go. So the guard watches a pipe: its standard
//! input, which only the host can write, and which it hands on to the program. When nobody holds the other end any more the
//! program sees the end of its input, a little later SIGTERM, and at last SIGKILL. That goes for what the program has
//! started as well: where a process dies, the system gives its children to the guard (it is their "subreaper"), which
//! thereby finds each of them, whatever groups and sessions they have made. Asked by a signal to end, the guard does the same:
//! were it to go at once, so would the program, and nobody would look for the rest.
//!
//! The guard has one thread, so the signal at a parent's death does serve for the program: should the guard itself be
//! killed, the program goes with it. It has to be asked for by the process that is to get it, which therefore is this binary
//! again at first (`guarded-child`), and then becomes the program.
//!
//! - `child`: becomes the program; `relay`: hands the input on and sees its end; `family`: what the program has started.

mod child;
#[cfg(unix)]
mod family;
#[cfg(unix)]
mod relay;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

pub(crate) use child::GuardedChildArgs;

/// A program could not be started, though it is there.
const CANNOT_START: u8 = 126;

/// Arguments of `child-guard`, which are a part of the plugin interface: they are only added to.
#[derive(Args, Debug)]
pub(crate) struct ChildGuardArgs {
    #[command(flatten)]
    files: FileArgs,
    /// The program and its arguments.
    #[arg(last = true, required = true, num_args = 1..)]
    command: Vec<OsString>,
}

/// Which files a program may use.
#[derive(Args, Clone, Debug)]
struct FileArgs {
    /// Takes all files from it but the system's own and those that are named.
    #[arg(long)]
    confine: bool,
    /// A file or folder that it may read.
    #[arg(long, value_name = "FILE", requires = "confine")]
    read: Vec<PathBuf>,
    /// A file or folder that it may change as well.
    #[arg(long, value_name = "FILE", requires = "confine")]
    write: Vec<PathBuf>,
}

impl ChildGuardArgs {
    /// Runs the program until it ends, or standard input does. The exit code is the program's, 128 and the signal's
    /// number after a signal.
    #[cfg(unix)]
    pub(crate) fn run(&self) -> ExitCode {
        match self.guard() {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                eprintln!("roundhouse child-guard: {error}");
                ExitCode::from(CANNOT_START)
            }
        }
    }

    #[cfg(not(unix))]
    pub(crate) fn run(&self) -> ExitCode {
        eprintln!("roundhouse child-guard: this system cannot do it");
        ExitCode::from(CANNOT_START)
    }

    #[cfg(unix)]
    fn guard(&self) -> std::io::Result<u8> {
        use std::os::unix::process::CommandExt;
        use std::process::{Command, Stdio};

        // Before it has a child. Where that is not to be had, what the program leaves behind in a group of its own stays.
        family::adopt()?;
        let signals = relay::signals()?;
        let mut command = Command::new(own_program()?);
        command.arg0("roundhouse").arg("guarded-child");
        command.arg("--parent").arg(std::process::id().to_string());
        if self.files.confine {
            command.arg("--confine");
        }
        for (flag, paths) in [("--read", &self.files.read), ("--write", &self.files.write)] {
            for path in paths {
                command.arg(flag).arg(path);
            }
        }
        command.arg("--").args(&self.command);
        let mut child = command.stdin(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let family = family::Family::of(child.id())?;
        relay::relay(input, signals, &family)
    }
}

/// The program that libraries are told to start as a guard: the one that is wanted, or that of this process; `None` where
/// that is not known.
pub(crate) fn program(wanted: Option<&Path>) -> Option<String> {
    let program = wanted.map_or_else(own_program, |wanted| Ok(wanted.to_owned()));
    program.ok()?.into_os_string().into_string().ok()
}

/// The program of this process, also when its file was replaced by another since.
pub(crate) fn own_program() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        Ok(PathBuf::from("/proc/self/exe"))
    } else {
        std::env::current_exe()
    }
}
