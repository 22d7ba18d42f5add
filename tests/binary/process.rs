//! A `roundhouse` process that a test starts, and ends with.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take for anything before the test fails. Far above what it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The command, in `folder`, without anything of the developer's own configuration.
pub(crate) fn roundhouse(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roundhouse"));
    command.current_dir(folder).args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROUNDHOUSE_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the command to its end.
pub(crate) fn output(folder: &Path, args: &[&str]) -> Output {
    roundhouse(folder, args).output().unwrap()
}

/// A serving host. It is killed when dropped.
pub(crate) struct Serving {
    child: Child,
    /// Where it listens, as `127.0.0.1:PORT`.
    pub(crate) address: String,
}

impl Serving {
    /// Starts `roundhouse serve` in `folder` on a free port and waits until it listens.
    pub(crate) fn start(folder: &Path, args: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", folder, args)
    }

    /// The same at an address of the test's choice.
    pub(crate) fn start_at(address: &str, folder: &Path, args: &[&str]) -> Self {
        let args = [&["serve", "--listen", address], args].concat();
        let mut child = roundhouse(folder, &args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut all = String::new();
        let address = loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap() == 0 {
                panic!("the host ended before it listened:\n{all}");
            }
            if let Some((_, rest)) = line.split_once("listens on http://") {
                break rest.split(',').next().unwrap().trim().to_owned();
            }
            all.push_str(&line);
        };
        // The rest is read so that the host never waits for somebody to read its log.
        std::thread::spawn(move || {
            std::io::copy(&mut lines.by_ref().take(u64::MAX), &mut std::io::sink())
        });
        Self { child, address }
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, as `kill` knows it.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for the end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the host does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
