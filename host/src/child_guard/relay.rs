//! Handing the input on, until the program or the input ends.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::process::ChildStdin;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::family::{self, Family};

/// Bytes on their way.
const BUFFER: usize = 64 * 1024;

/// How long after the end of the input the program is asked to end, and how long after that it is ended.
const GRACE: Duration = Duration::from_secs(2);

/// How often those are looked for that have ended, where nothing tells of it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Returns the program's exit code when it has ended, and all that it had started.
pub(super) fn relay(program: Option<ChildStdin>, family: Family) -> std::io::Result<u8> {
    let mut relay = Relay {
        program,
        input: Some(File::from(std::io::stdin().as_fd().try_clone_to_owned()?)),
        buffer: Vec::with_capacity(BUFFER),
        ended: None,
    };
    if let Some(program) = &relay.program {
        rustix::io::ioctl_fionbio(program, true)?;
    }
    let mut asked = false;
    let code = loop {
        let passed = relay.ended.map(|ended| ended.elapsed());
        if passed.is_some_and(|passed| passed >= GRACE * 2) {
            family.kill();
        } else if passed.is_some_and(|passed| passed >= GRACE) && !asked {
            asked = true;
            family.ask_to_end();
        }
        relay.wait(&family)?;
        if let Some(code) = family.reap()? {
            break code;
        }
    };
    family::end_the_rest();
    Ok(code)
}

struct Relay {
    /// Where the program reads; `None` once that is closed.
    program: Option<ChildStdin>,
    /// What the host writes; `None` after its end.
    input: Option<File>,
    buffer: Vec<u8>,
    /// Since when nobody can write any more.
    ended: Option<Instant>,
}

impl Relay {
    /// Waits for anything to happen, and hands on what there is.
    fn wait(&mut self, family: &Family) -> std::io::Result<()> {
        let has_room = self.buffer.is_empty();
        let mut polled = Vec::with_capacity(3);
        // That the other end was closed is told also while there is no room, once.
        let input = self
            .input
            .as_ref()
            .filter(|_| has_room || self.ended.is_none());
        if let Some(input) = input {
            let wanted = if has_room {
                PollFlags::IN
            } else {
                PollFlags::empty()
            };
            polled.push(PollFd::from_borrowed_fd(input.as_fd(), wanted));
        }
        if let Some(program) = &self.program {
            let wanted = if has_room {
                PollFlags::empty()
            } else {
                PollFlags::OUT
            };
            polled.push(PollFd::from_borrowed_fd(program.as_fd(), wanted));
        }
        if let Some(end) = &family.end {
            polled.push(PollFd::new(end, PollFlags::IN));
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
        let mut events = events.into_iter();
        if self
            .input
            .as_ref()
            .is_some_and(|_| has_room || self.ended.is_none())
        {
            let seen = events.next().unwrap_or(PollFlags::empty());
            if seen.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
                self.ended.get_or_insert_with(Instant::now);
            }
            if has_room && !seen.is_empty() {
                self.read()?;
            }
        }
        if self.program.is_some() {
            let seen = events.next().unwrap_or(PollFlags::empty());
            // Nobody reads there any more. What still comes is dropped, for its end is to be seen.
            if seen.intersects(PollFlags::ERR | PollFlags::NVAL) {
                self.program = None;
            }
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
