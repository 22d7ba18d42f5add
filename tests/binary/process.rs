//! A `roundhouse` process that a test starts, and ends with.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
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
    log: Arc<Mutex<String>>,
}

/// What is kept of what a host writes to standard error, in bytes.
const LOG_KEPT: usize = 4 * 1024 * 1024;

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
            all.push_str(&line);
            if let Some((_, rest)) = line.split_once("listens on http://") {
                break rest.split(',').next().unwrap().trim().to_owned();
            }
        };
        let log = Arc::new(Mutex::new(all));
        // All of it is read, so that the host never waits for somebody to read its log.
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while lines
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let mut kept = kept.lock().unwrap();
                if kept.len() < LOG_KEPT {
                    kept.push_str(&String::from_utf8_lossy(&line));
                }
                line.clear();
            }
        });
        Self {
            child,
            address,
            log,
        }
    }

    /// What it has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// A field of its `/proc/PID/status`, in KiB.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let file = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(file).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
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
