//! The socket to the host: the one thing that a worker is given.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpgrp, getpid, kill_current_process_group, kill_process};

use super::super::frame::{Decoder, TO_WORKER_BYTES};
use super::{WorkerError, start_thread, system};

/// Takes the socket from standard input. That is empty afterwards, and a process that the library starts inherits
/// nothing.
pub(super) fn take() -> Result<UnixStream, WorkerError> {
    let stdin = rustix::stdio::stdin();
    let is_socket = rustix::fs::fstat(stdin)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_socket());
    if !is_socket {
        return Err(WorkerError::NoSocket);
    }
    let socket = rustix::io::fcntl_dupfd_cloexec(stdin, 3)
        .map_err(|error| system("the socket")(error.into()))?;
    let null = std::fs::File::open("/dev/null").map_err(system("/dev/null"))?;
    rustix::stdio::dup2_stdin(&null).map_err(|error| system("standard input")(error.into()))?;
    Ok(UnixStream::from(socket))
}

/// Ends this process as soon as the host has closed the socket or has ended, whatever the library is doing.
pub(super) fn watch(socket: Arc<UnixStream>) -> Result<(), WorkerError> {
    start_thread("watch", move || {
        loop {
            let mut watched = [PollFd::new(&*socket, PollFlags::RDHUP)];
            match poll(&mut watched, None) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                // Hung up, or it cannot be known.
                Ok(_) | Err(_) => return,
            }
        }
    })
}

/// Ends this process at once, and what the library has started: no code of the library runs any more.
pub(super) fn end_now() -> ! {
    let _ = if getpgrp() == getpid() {
        kill_current_process_group(Signal::KILL)
    } else {
        kill_process(getpid(), Signal::KILL)
    };
    // Not reached: the signal cannot be refused.
    std::process::abort()
}

/// The frames that come.
pub(super) struct Frames {
    socket: UnixStream,
    decoder: Decoder,
}

impl Frames {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            decoder: Decoder::new(TO_WORKER_BYTES),
        }
    }

    /// Waits for the next one. Ends the process when the host has gone.
    pub(super) fn next(&mut self) -> Result<&[u8], WorkerError> {
        while !self.decoder.has_frame()? {
            match self.socket.read(self.decoder.room()) {
                Ok(0) => end_now(),
                Ok(read) => self.decoder.filled(read),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let what = "reading from the host";
                    return Err(WorkerError::System { what, source });
                }
            }
        }
        Ok(self.decoder.next_frame()?.unwrap_or_default())
    }
}
