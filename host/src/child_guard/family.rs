//! The program, and all that it has started.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, wait,
};

/// How long the system may take to end what was killed.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Lets this process have the children of those that die among its descendants.
pub(super) fn adopt() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// The program's process, and those that came to this one since.
pub(super) struct Family {
    program: Pid,
    /// Readable when the program has ended; `None` where the system has no such thing.
    pub(super) end: Option<OwnedFd>,
}

impl Family {
    /// That of a child of this process, which nobody has waited for.
    pub(super) fn of(program: u32) -> std::io::Result<Self> {
        let program = i32::try_from(program).ok().and_then(Pid::from_raw);
        let program = program.ok_or_else(|| std::io::Error::other("a process without a number"))?;
        #[cfg(target_os = "linux")]
        let end = {
            use rustix::process::{PidfdFlags, pidfd_open};
            pidfd_open(program, PidfdFlags::empty()).ok()
        };
        #[cfg(not(target_os = "linux"))]
        let end = None;
        Ok(Self { program, end })
    }

    /// Takes note of who has ended; the program's exit code, once it has.
    pub(super) fn reap(&self) -> std::io::Result<Option<u8>> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.program => return Ok(Some(code(status))),
                // One that the program had left to itself.
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Asks all that can be found to end.
    pub(super) fn ask_to_end(&self) {
        // Of those that are gone there is nothing to say, here and below.
        let _ = kill_process_group(self.program, Signal::TERM);
        for child in children() {
            let _ = kill_process(child, Signal::TERM);
        }
    }

    /// Ends the program, which was not waited for.
    pub(super) fn kill(&self) {
        let _ = kill_process_group(self.program, Signal::KILL);
        // It may have made itself a group of its own.
        let _ = kill_process(self.program, Signal::KILL);
    }
}

/// Ends what the program has left behind, which came to this process when it ended; and what that has started, which
/// comes in its turn. Only children are named to the system: nobody else waits for them, so that their numbers are
/// their own.
pub(super) fn end_the_rest() {
    let begun = Instant::now();
    loop {
        for child in children() {
            let _ = kill_process(child, Signal::KILL);
        }
        // Gone through all of them, or there are none.
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        if begun.elapsed() > ENDS_WITHIN {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The children of this process.
#[cfg(target_os = "linux")]
fn children() -> Vec<Pid> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};

    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    // Asking for a process that is not a child is an error. What `/proc` says of each would tell as well, but there may be
    // leave to list it alone.
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    processes
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| waitid(WaitId::Pid(*pid), look).is_ok())
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn children() -> Vec<Pid> {
    Vec::new()
}

/// As a shell tells it.
fn code(status: WaitStatus) -> u8 {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    };
    u8::try_from(code).unwrap_or(u8::MAX)
}
