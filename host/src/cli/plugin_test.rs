//! `roundhouse plugin test`: each check in a process of its own, which may crash or hang.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use serde::de::DeserializeOwned;

use super::{ConfigArgs, output};
use crate::config::LibraryFile;
use crate::conformance::{self, Check, CheckReport, Examined, Outcome, Report, Setup, Verdict};
use crate::plugin::SearchPath;

/// What an agent is asked where nothing else is said.
const MESSAGE: &str = "Hello there, how are you today?";

#[derive(Args, Debug)]
pub(super) struct TestArgs {
    #[command(flatten)]
    target: Target,
    /// Run these checks alone, and those of the library as a whole.
    #[arg(long, value_name = "CHECK")]
    only: Vec<Check>,
    /// Seconds that one check may take before it is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    time_limit: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is tested, and with what.
#[derive(Args, Clone, Debug)]
struct Target {
    /// The library: a file, or a name such as `roundhouse_echo` that is searched for where the configuration says.
    #[arg(value_name = "LIBRARY")]
    library: String,
    /// What agents are asked.
    #[arg(long, value_name = "TEXT", default_value = MESSAGE)]
    message: String,
    #[command(flatten)]
    config: ConfigArgs,
}

/// One check, in a process of its own.
#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    target: Target,
    /// The folder for the answer and what else is written.
    #[arg(long)]
    folder: PathBuf,
    /// The component's index; without it the library as a whole is examined.
    #[arg(long, requires = "check")]
    component: Option<usize>,
    /// The check.
    #[arg(long)]
    check: Option<Check>,
}

impl Target {
    /// The library's file.
    fn file(&self) -> anyhow::Result<PathBuf> {
        let path = Path::new(&self.library);
        if path.extension().is_some() || path.components().count() > 1 {
            let file = LibraryFile::Path(path.to_owned());
            return Ok(SearchPath::default().find(&file)?);
        }
        let config = self.config.load()?;
        let search = SearchPath::with_defaults(&config.plugins.search_paths);
        let configured = config.plugins.libraries.get(&self.library);
        let bare = LibraryFile::Bare(self.library.clone());
        Ok(search.find(configured.map_or(&bare, |configured| &configured.file))?)
    }
}

/// Does one check and writes what it came to.
pub(super) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let config = args.target.config.load()?;
    let file = args.target.file()?;
    let setup = Setup {
        file: &file,
        config: &config,
        message: &args.target.message,
        staging: &args.folder.join("staging"),
        note: args.folder.join("note"),
        said: Some(args.folder.join("said")),
    };
    let json = match (args.component, args.check) {
        (Some(component), Some(check)) => {
            serde_json::to_string(&conformance::check(&setup, component, check)?)?
        }
        _ => serde_json::to_string(&conformance::examine(&setup)?)?,
    };
    std::fs::write(args.folder.join("answer"), json).context("the file for the answer")?;
    // Threads of the library may still be at work, and what they do at an orderly exit is not asked here.
    Ok(ExitCode::SUCCESS)
}

/// Tests a library; exits with 0 if it has passed.
pub(super) fn run(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let file = args.target.file()?;
    // What is wrong with it is told once, and not by every check.
    args.target.config.load()?;
    let report = test(args, file)?;
    let text = if args.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.to_string()
    };
    output::print(&text)?;
    Ok(if report.passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn test(args: &TestArgs, file: PathBuf) -> anyhow::Result<Report> {
    let mut checks = Vec::new();
    let mut add = |of: Option<&(String, String)>, check: &str, verdict, begun: Instant| {
        checks.push(CheckReport {
            kind: of.map(|(kind, _)| kind.clone()),
            component: of.map(|(_, name)| name.clone()),
            check: check.to_owned(),
            verdict,
            seconds: begun.elapsed().as_secs_f64(),
        });
    };
    let begun = Instant::now();
    let (mut name, mut version) = (String::new(), String::new());
    match elsewhere::<Examined>(args, &[])? {
        Err(problem) => add(None, "descriptor", Verdict::failed(problem), begun),
        Ok(examined) => {
            (name, version) = (examined.name, examined.version);
            add(None, "descriptor", examined.descriptor, begun);
            add(None, "schemas", examined.schemas, begun);
            for (index, of) in examined.components.iter().enumerate() {
                let mut made = true;
                for check in Check::ALL {
                    let asked = args.only.is_empty() || args.only.contains(check);
                    if !asked || !check.is_for(&of.0) {
                        continue;
                    }
                    let begun = Instant::now();
                    let verdict = if made {
                        let index = index.to_string();
                        let task = ["--component", &index, "--check", check.as_str()];
                        elsewhere::<Verdict>(args, &task)?.unwrap_or_else(Verdict::failed)
                    } else {
                        Verdict::not_run("no instance can be made")
                    };
                    if *check == Check::Starts {
                        made = matches!(verdict.outcome, Outcome::Passed);
                    }
                    add(Some(of), check.as_str(), verdict, begun);
                }
            }
        }
    }
    Ok(Report {
        file,
        name,
        version,
        passed: Report::is_good(&checks),
        checks,
    })
}

/// Has another process do it. The inner error is what became of that.
fn elsewhere<T: DeserializeOwned>(
    args: &TestArgs,
    task: &[&str],
) -> anyhow::Result<Result<T, String>> {
    let folder = tempfile::tempdir().context("a folder for a check")?;
    let said = File::create(folder.path().join("said")).context("a file for what a check says")?;
    let Target {
        library,
        message,
        config,
    } = &args.target;
    let mut child = Command::new(std::env::current_exe().context("the path of this binary")?)
        .args(["plugin", "check-one", "--folder"])
        .arg(folder.path())
        .args(["--message", message])
        .args(task)
        .args(config.to_args())
        .args(["--", library])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said)
        .spawn()
        .context("the process for a check could not be started")?;
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(args.time_limit) {
            child.kill()?;
            child.wait()?;
            let doing = doing(folder.path());
            return Ok(Err(format!(
                "it hung, and was ended after {} s, while {doing}",
                args.time_limit
            )));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    // Of a library that crashes once all is done, it is told as well.
    if !status.success() {
        return Ok(Err(what_happened(status, folder.path())));
    }
    let answer = std::fs::read_to_string(folder.path().join("answer"));
    let Ok(answer) = answer else {
        return Ok(Err(format!(
            "it ended the process while {}",
            doing(folder.path())
        )));
    };
    Ok(Ok(
        serde_json::from_str(&answer).context("the answer of a check")?
    ))
}

fn doing(folder: &Path) -> String {
    let note = std::fs::read_to_string(folder.join("note"));
    note.unwrap_or_else(|_| "opening it".to_owned())
}

/// What ended the process of a check.
fn what_happened(status: ExitStatus, folder: &Path) -> String {
    use std::os::unix::process::ExitStatusExt;
    let said = std::fs::read(folder.join("said")).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let said = said.trim();
    match status.signal() {
        Some(signal) => {
            let crashed = format!(
                "it crashed the process (signal {signal}) while {}",
                doing(folder)
            );
            match said.lines().last() {
                Some(last) => format!("{crashed}; the last that it said: {last}"),
                None => crashed,
            }
        }
        None => match said.strip_prefix("roundhouse: ") {
            Some(problem) => problem.to_owned(),
            None => format!("it ended the process ({status}) while {}", doing(folder)),
        },
    }
}
