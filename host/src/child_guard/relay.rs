//! Handing the input on, until the program or the input ends.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ChildStdin;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::family::{self, Family};

/// Bytes on their way.
const BUFFER: usize = 64 * 1024;

/// How long after the end of the input the program is asked to end, and how long after that it is ended.
const GRACE: Duration = Duration::from_secs(2);

/// How often those are looked for that have ended, where nothing tells of it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Readable once this process was asked to end by a signal. The program is not to have inherited that these are ignored,
/// hence a handler, which does not outlive `exec`.
pub(super) fn signals() -> std::io::Result<UnixStream> {
    let (signals, written) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::low_level::pipe::register(signal, written.try_clone()?)?;
    }
    Ok(signals)
}

/// Returns the program's exit code when it has ended, and all that it had started. They have ended after an error as well.
pub(super) fn relay(
    program: Option<ChildStdin>,
    signals: UnixStream,
    family: &Family,
) -> std::io::Result<u8> {
    let code = hand_on(program, signals, family);
    if code.is_err() {
        family.kill();
    }
    family::end_the_rest();
    code
}

fn hand_on(
    program: Option<ChildStdin>,
    signals: UnixStream,
    family: &Family,
) -> std::io::Result<u8> {
    let mut relay = Relay {
        program,
        input: Some(File::from(std::io::stdin().as_fd().try_clone_to_owned()?)),
        signals,
        buffer: Vec::with_capacity(BUFFER),
        ended: None,
    };
    if let Some(program) = &relay.program {
        rustix::io::ioctl_fionbio(program, true)?;
    }
    let mut asked = false;
    loop {
        let passed = relay.ended.map(|ended| ended.elapsed());
        if passed.is_some_and(|passed| passed >= GRACE * 2) {
            family.kill();
        } else if passed.is_some_and(|passed| passed >= GRACE) && !asked {
            asked = true;
            family.ask_to_end();
        }
        relay.wait(family)?;
        if let Some(code) = family.reap()? {
            return Ok(code);
        }
    }
}

struct Relay {
    /// Where the program reads; `None` once that is closed.
    program: Option<ChildStdin>,
    /// What the host writes; `None` after its end, or a signal.
    input: Option<File>,
    /// Readable when a signal has come.
    signals: UnixStream,
    buffer: Vec<u8>,
    /// Since when nobody can write any more, or is to.
    ended: Option<Instant>,
}

impl Relay {
    /// Waits for anything to happen, and hands on what there is.
    fn wait(&mut self, family: &Family) -> std::io::Result<()> {
        let has_room = self.buffer.is_empty();
        let when = |wanted, flags| if wanted { flags } else { PollFlags::empty() };
        let mut polled = Vec::with_capacity(4);
        let mut watch = |fd, flags| {
            polled.push(PollFd::from_borrowed_fd(fd, flags));
            polled.len() - 1
        };
        // That the other end was closed is told also while there is no room, once.
        let input = self.input.as_ref();
        let input = input
            .filter(|_| has_room || self.ended.is_none())
            .map(|input| watch(input.as_fd(), when(has_room, PollFlags::IN)));
        let program = self.program.as_ref();
        let program =
            program.map(|program| watch(program.as_fd(), when(!has_room, PollFlags::OUT)));
        // Once the input has ended a signal asks for nothing more.
        let input_is_open = self.input.is_some();
        let signals = input_is_open.then(|| watch(self.signals.as_fd(), PollFlags::IN));
        if let Some(end) = &family.end {
            watch(end.as_fd(), PollFlags::IN);
        }
        let wait = match self.ended {
            // What was killed and does not end yet is looked for again soon.
            Some(ended) => (GRACE * 2)
                .saturating_sub(ended.elapsed())
                .clamp(Duration::from_millis(20), Duration::from_millis(250)),
            None => LOOK_EVERY,
        };
        let wait = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(1),
            tv_nsec: wait.subsec_nanos().into(),
        };
        match poll(&mut polled, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let events: Vec<PollFlags> = polled.iter().map(PollFd::revents).collect();
        drop(polled);
        let seen = |at: Option<usize>| {
            let event = at.and_then(|at| events.get(at).copied());
            event.unwrap_or(PollFlags::empty())
        };
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        if seen(input).intersects(gone) {
            self.ended.get_or_insert_with(Instant::now);
        }
        if has_room && !seen(input).is_empty() {
            self.read()?;
        }
        if !seen(signals).is_empty() {
            self.input = None;
            self.ended.get_or_insert_with(Instant::now);
        }
        // Nobody reads there any more. What still comes is dropped, for its end is to be seen.
        if seen(program).intersects(PollFlags::ERR | PollFlags::NVAL) {
            self.program = None;
        }
        self.write();
        Ok(())
    }

    fn read(&mut self) -> std::io::Result<()> {
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        self.buffer.resize(BUFFER, 0);
        let read = match input.read(&mut self.buffer) {
            Ok(read) => read,
            Err(error)
                if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) =>
            {
                self.buffer.clear();
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.buffer.truncate(read);
        if read == 0 {
            self.input = None;
            self.ended.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    fn write(&mut self) {
        let Some(program) = &mut self.program else {
            self.buffer.clear();
            return;
        };
        while !self.buffer.is_empty() {
            match program.write(&self.buffer) {
                Ok(written) => drop(self.buffer.drain(..written)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.program = None;
                    self.buffer.clear();
                    return;
                }
            }
        }
        // All of it has been handed on.
        if self.input.is_none() {
            self.program = None;
        }
    }
}
