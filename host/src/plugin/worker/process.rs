//! A worker's process: how it is started, what it prints, and how it ended.

use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::child_guard::own_program;
use crate::config::{Confinement, Isolation, Plugins};

/// Bytes that may be in the socket on their way to the host.
const SOCKET_BYTES: usize = 64 * 1024;

/// How long the system may take to end a process.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// How the workers of a plugin are started.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WorkerSettings {
    /// The `roundhouse` that they run; `None` for the program of this process.
    executable: Option<PathBuf>,
    pub(crate) confinement: Confinement,
    /// The largest event that an agent may emit, in bytes.
    pub(crate) event_bytes: usize,
    /// How long a run may take: what is longer in a worker that is to end is ended with it.
    pub(crate) run_time: Duration,
}

impl WorkerSettings {
    /// Those of a plugin; `None` for one in the host's own process.
    pub(crate) fn of(
        isolation: &Isolation,
        plugins: &Plugins,
        event_bytes: usize,
        run_time: Duration,
    ) -> Option<Arc<Self>> {
        match isolation {
            Isolation::InProcess => None,
            Isolation::Process(confinement) => Some(Arc::new(Self {
                executable: plugins.worker_executable.clone(),
                confinement: confinement.clone(),
                event_bytes,
                run_time,
            })),
        }
    }
}

/// A worker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system gave no process, socket or thread.
    #[error("its worker process could not be started: {what}: {source}")]
    System {
        /// What there was none of.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The library cannot be opened there.
    #[error("{0}")]
    Refused(String),
    /// It ended before it had opened the library.
    #[error("{0} while it opened the library")]
    Ended(String),
    /// It does not come to an end of it.
    #[error("its worker process did not open the library within {} seconds", .0.as_secs())]
    Deadline(Duration),
}

/// A process, until it was waited for. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    child: Mutex<Option<Child>>,
}

/// A process that has begun, and the host's ends of what it was given.
pub(super) struct Started {
    pub(super) process: Process,
    pub(super) socket: UnixStream,
    /// The same socket for the thread that reads.
    pub(super) reading: UnixStream,
    /// The same socket for the thread that writes.
    pub(super) writing: UnixStream,
    pub(super) output: PipeReader,
}

/// Starts the process. It gets the socket, a pipe for what it prints, the configured part of the environment, and
/// nothing else.
pub(super) fn start(plugin: &str, settings: &WorkerSettings) -> Result<Started, StartError> {
    let system = |what| move |source| StartError::System { what, source };
    let (socket, theirs) = UnixStream::pair().map_err(system("a socket"))?;
    // As the queue before it: what is in it comes after the host was slow.
    socket2::SockRef::from(&theirs)
        .set_send_buffer_size(SOCKET_BYTES)
        .map_err(system("a socket"))?;
    let reading = socket.try_clone().map_err(system("a socket"))?;
    let writing = socket.try_clone().map_err(system("a socket"))?;
    let (output, printed) = std::io::pipe().map_err(system("a pipe"))?;
    let errors = printed.try_clone().map_err(system("a pipe"))?;
    let executable = match &settings.executable {
        Some(executable) => executable.clone(),
        None => own_program().map_err(system("the path of this program"))?,
    };
    let names = settings.confinement.env.iter();
    let environment = names.filter_map(|name| Some((name, std::env::var_os(name)?)));
    let child = Command::new(executable)
        .arg0("roundhouse")
        .args(["plugin-worker", plugin])
        .env_clear()
        .envs(environment)
        .stdin(OwnedFd::from(theirs))
        .stdout(printed)
        .stderr(errors)
        // A Ctrl-C in the host's terminal is the host's to act on.
        .process_group(0)
        .spawn()
        .map_err(system("a process"))?;
    Ok(Started {
        process: Process {
            pid: child.id(),
            child: Mutex::new(Some(child)),
        },
        socket,
        reading,
        writing,
        output,
    })
}

impl Process {
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Blocks until it has ended, and leaves it to be waited for.
    pub(super) fn see_its_end(&self) {
        let Some(pid) = Pid::from_raw(self.pid.cast_signed()) else {
            return;
        };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        // Any other error: it was waited for meanwhile, so that it has ended.
        while matches!(waitid(WaitId::Pid(pid), options), Err(Errno::INTR)) {}
    }

    /// Ends it at once, and what it has started that is still of its group.
    pub(super) fn kill(&self) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(child) = &*child {
            kill_group(child);
        }
    }

    /// Waits for the end of a process that has closed its socket, or has it, and of what it has started that is still
    /// of its group. `None` if it cannot be known, or the system does not end it.
    pub(super) fn ended(&self) -> Option<ExitStatus> {
        // One that is ending already keeps the status that it has.
        self.kill();
        let begun = Instant::now();
        while begun.elapsed() < ENDS_WITHIN {
            let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
            match child.as_mut()?.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => {
                    *child = None;
                    return Some(status);
                }
                Err(_) => return None,
            }
            drop(child);
            std::thread::sleep(Duration::from_millis(1));
        }
        tracing::error!(pid = self.pid, "a worker process does not end");
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Nobody has waited for it: its start broke off.
        if child.is_some() {
            self.ended();
        }
    }
}

fn kill_group(child: &Child) {
    // It was not waited for, so that the number is still its own.
    if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
        // It may have ended already.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// How a process ended, for people.
pub(super) fn how_it_ended(status: Option<ExitStatus>) -> String {
    let Some(status) = status else {
        return "the worker process ended".to_owned();
    };
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!(
            "the worker process was ended by signal {signal}{}",
            signal_name(signal)
        ),
        (None, code) => format!(
            "the worker process ended by itself with exit code {}",
            code.unwrap_or_default()
        ),
    }
}

fn signal_name(number: i32) -> &'static str {
    let names = [
        (Signal::ILL, " (SIGILL)"),
        (Signal::TRAP, " (SIGTRAP)"),
        (Signal::ABORT, " (SIGABRT)"),
        (Signal::BUS, " (SIGBUS)"),
        (Signal::FPE, " (SIGFPE)"),
        (Signal::KILL, " (SIGKILL)"),
        (Signal::SEGV, " (SIGSEGV)"),
        (Signal::TERM, " (SIGTERM)"),
    ];
    let known = names.iter().find(|(signal, _)| signal.as_raw() == number);
    known.map_or("", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, getrlimit, setrlimit};

    use super::*;

    /// Set in a process of the test's own, in which there may be too few descriptors.
    const ALONE: &str = "ROUNDHOUSE_TEST_FEW_DESCRIPTORS";

    fn cat() -> WorkerSettings {
        WorkerSettings {
            executable: Some("/bin/cat".into()),
            confinement: Confinement {
                memory_limit: None,
                env: Vec::new(),
                files: None,
            },
            event_bytes: 1,
            run_time: Duration::ZERO,
        }
    }

    #[test]
    fn a_start_that_breaks_off_leaves_no_process_behind() {
        if std::env::var_os(ALONE).is_none() {
            let name = std::thread::current().name().unwrap().to_owned();
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", &name])
                .env(ALONE, "1")
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && text.contains("1 passed"),
                "{text}"
            );
            return;
        }
        let used = std::fs::read_dir("/dev/fd").unwrap().count() as u64;
        let (mut failed, mut started) = (0, 0);
        for descriptors in used..used + 16 {
            let mut limit = getrlimit(Resource::Nofile);
            limit.current = Some(descriptors);
            setrlimit(Resource::Nofile, limit).unwrap();
            match start("p", &cat()) {
                Ok(begun) => {
                    started += 1;
                    drop(begun);
                }
                Err(_) => failed += 1,
            }
            // No child at all, ended or not.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            let left = waitid(WaitId::All, options).map(drop);
            assert_eq!(left, Err(Errno::CHILD), "with {descriptors} descriptors");
        }
        assert!(failed > 3 && started > 3, "{failed} {started}");
    }

    #[test]
    fn what_ended_a_process_is_told_by_name() {
        assert_eq!(
            how_it_ended(Some(ExitStatus::from_raw(11))),
            "the worker process was ended by signal 11 (SIGSEGV)"
        );
        assert_eq!(
            how_it_ended(Some(ExitStatus::from_raw(3 << 8))),
            "the worker process ended by itself with exit code 3"
        );
    }
}
