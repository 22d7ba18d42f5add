//! The processes that are measured, and what Linux says of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

const CONFIG: &str = include_str!("../load.toml");

/// The name that it gets.
const CONFIG_FILE: &str = "load.toml";

/// Builds the host and its plugins as `cargo build --release` does, and answers where the binary is. It is a
/// build of its own, so that nothing this benchmark depends on changes what is measured.
pub(crate) fn build_host() -> Result<PathBuf> {
    build(&["--package", "roundhouse-host"], "roundhouse")
}

/// Has Cargo build what `arguments` say, and answers where the program `name` of it is.
pub(crate) fn build(arguments: &[&str], name: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release"])
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .status()
        .context("cargo does not run")?;
    if !built.success() {
        bail!("{name} does not build");
    }
    let own = std::env::current_exe()?;
    let binary = own.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if !binary.is_file() {
        bail!("there is no {}", binary.display());
    }
    Ok(binary)
}

/// A serving process. It is killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// The processes of its workers.
    workers: Vec<u32>,
}

impl Server {
    /// Starts the host on the data that `folder` has, or none.
    pub(crate) fn host(binary: &Path, folder: &Path) -> Result<Self> {
        Self::host_with(binary, folder, CONFIG)
    }

    /// The same, with its plugin in a worker process.
    pub(crate) fn host_apart(binary: &Path, folder: &Path) -> Result<Self> {
        let file = "file = \"roundhouse_scripted\"\n";
        let config = CONFIG.replace(file, &format!("{file}isolation = \"process\"\n"));
        let mut server = Self::host_with(binary, folder, &config)?;
        server.workers = children_of(server.child.id())?;
        if server.workers.is_empty() {
            bail!("the host has no worker");
        }
        Ok(server)
    }

    fn host_with(binary: &Path, folder: &Path, config: &str) -> Result<Self> {
        fs::write(folder.join(CONFIG_FILE), config)?;
        let mut command = Command::new(binary);
        command.current_dir(folder).args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--config",
            CONFIG_FILE,
        ]);
        Self::start(command).context("the host does not start")
    }

    /// Starts the floor. It sends the frames of the file `attach` to those who attach.
    pub(crate) fn floor(attach: Option<&Path>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(crate::FLOOR);
        command.args(attach);
        Self::start(command).context("the floor does not start")
    }

    fn start(mut command: Command) -> Result<Self> {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ROUNDHOUSE_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().context("no standard error")?;
        let mut lines = BufReader::new(stderr);
        let mut all = String::new();
        let address = loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                let _ = child.kill();
                child.wait()?;
                bail!("it ended before it listened:\n{all}");
            }
            if let Some((_, rest)) = line.split_once("listens on http://") {
                let address = rest.split([',', '\n']).next().unwrap_or_default().trim();
                break address.parse()?;
            }
            all.push_str(&line);
        };
        // The rest is read so that it never waits for somebody to read its log. It ends with the process.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Ok(Self {
            child,
            address,
            workers: Vec::new(),
        })
    }

    /// The processor time of its threads, and of those of its workers, up to now.
    pub(crate) fn cpu(&self) -> Result<CpuTime> {
        let mut time = CpuTime::of(&self.child.id().to_string())?;
        for worker in &self.workers {
            time.0.extend(CpuTime::of(&worker.to_string())?.0);
        }
        Ok(time)
    }

    /// Its memory now.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(kib * 1024)
        };
        Ok(Memory {
            resident: bytes("VmRSS").context("no VmRSS")?,
            peak: bytes("VmHWM").context("no VmHWM")?,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes of a process's memory.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) peak: u64,
}

/// What each thread of a process has used, in nanoseconds. Of `/proc/PID/stat` the grain would be 10 ms.
pub(crate) struct CpuTime(BTreeMap<String, u64>);

impl CpuTime {
    /// Of this process.
    pub(crate) fn own() -> Result<Self> {
        Self::of("self")
    }

    fn of(process: &str) -> Result<Self> {
        let mut threads = BTreeMap::new();
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let thread = thread?;
            // A thread may end between the two.
            let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else {
                continue;
            };
            let nanos = text.split_whitespace().next().unwrap_or_default().parse()?;
            threads.insert(thread.file_name().to_string_lossy().into_owned(), nanos);
        }
        Ok(Self(threads))
    }

    /// What was used since `earlier`; that of threads that have ended meanwhile is not in it.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let used = |(thread, now): (&String, &u64)| {
            now.saturating_sub(earlier.0.get(thread).copied().unwrap_or_default())
        };
        Duration::from_nanos(self.0.iter().map(used).sum())
    }
}

/// Lets this process, and those it starts, open as many files as the system allows.
pub(crate) fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is not allowed, opening connections will say so.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// The processes that a process has started.
fn children_of(parent: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(process) = entry?.file_name().to_string_lossy().parse() else {
            continue;
        };
        // It may end between the two. After the name, which is in brackets, come its state and its parent.
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        if fields.split_whitespace().nth(1) == Some(parent.to_string().as_str()) {
            children.push(process);
        }
    }
    Ok(children)
}
