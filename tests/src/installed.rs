//! Programs that somebody else wrote, installed on first use and kept.
//!
//! A test that wants one says plainly where it cannot be had, and passes: a machine with nothing but Rust can run everything
//! else. With a variable set, as in `.ci/run`, it fails instead.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What has to be there for a program.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    what: &'static str,
    /// The variable that asks for it.
    required_by: &'static str,
}

/// For a program from npm.
pub const NODE: Needs = Needs {
    what: "node (20 or later) and npm (on Debian and Ubuntu: apt-get install nodejs npm), and access to the npm registry \
         the first time",
    required_by: "REQUIRE_NODE",
};

/// For a program from PyPI.
pub const PYTHON: Needs = Needs {
    what: "python3 with the modules venv and ensurepip (on Debian and Ubuntu: apt-get install python3 python3-venv), \
         and access to PyPI the first time",
    required_by: "REQUIRE_PYTHON",
};

impl Needs {
    /// What there is; `None`, and a text on the terminal, where it cannot be had.
    ///
    /// # Panics
    ///
    /// When it cannot be had and is required.
    pub fn or_told<T>(self, program: &str, found: Result<T, String>) -> Option<T> {
        let fault = match found {
            Ok(found) => return Some(found),
            Err(fault) => fault,
        };
        let text = format!("{program} did not run; it needs {}:\n{fault}", self.what);
        let required = std::env::var_os(self.required_by)
            .is_some_and(|value| !value.is_empty() && value != "0");
        assert!(!required, "{text}");
        // Straight to the terminal: what a test prints is not shown while it passes.
        let _ = writeln!(std::io::stderr(), "{text}");
        None
    }
}

/// Runs a command to its end.
///
/// # Errors
///
/// How it ended and what it printed, where it failed.
pub fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Err(format!("{command:?}: {}\n{out}{err}", output.status))
}

/// Has `install` fill a folder with what a file of versions names, unless it did so before for the same versions.
///
/// # Errors
///
/// Those of `install`.
///
/// # Panics
///
/// When the file cannot be read, or the folder not written.
pub fn once(
    folder: &Path,
    versions: &Path,
    install: impl FnOnce(&str) -> Result<(), String>,
) -> Result<(), String> {
    let complete = folder.join("complete");
    let wanted = match std::fs::read_to_string(versions) {
        Ok(wanted) => wanted,
        Err(error) => panic!("{}: {error}", versions.display()),
    };
    if std::fs::read_to_string(&complete).is_ok_and(|made| made == wanted) {
        return Ok(());
    }
    written(std::fs::create_dir_all(folder), folder);
    install(&wanted)?;
    written(std::fs::write(&complete, wanted), &complete);
    Ok(())
}

/// Packages from npm, by a `package.json`.
///
/// # Errors
///
/// What npm says.
///
/// # Panics
///
/// As [`once`].
pub fn npm(folder: &Path, package: &Path) -> Result<(), String> {
    once(folder, package, |wanted| {
        let own = folder.join("package.json");
        written(std::fs::write(&own, wanted), &own);
        let flags = ["install", "--no-audit", "--no-fund", "--ignore-scripts"];
        run(Command::new("npm").args(flags).current_dir(folder))
    })
}

/// A virtual environment with packages from PyPI, by a `requirements.txt`; its interpreter.
///
/// # Errors
///
/// What Python says.
///
/// # Panics
///
/// As [`once`].
pub fn python(folder: &Path, requirements: &Path) -> Result<PathBuf, String> {
    once(folder, requirements, |_| environment(folder, requirements))?;
    Ok(interpreter(folder))
}

/// Makes such an environment.
///
/// # Errors
///
/// What Python says.
pub fn environment(folder: &Path, requirements: &Path) -> Result<(), String> {
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(folder))?;
    let flags = ["install", "--requirement"];
    run(pip(&interpreter(folder)).args(flags).arg(requirements))
}

/// The interpreter of an environment.
#[must_use]
pub fn interpreter(environment: &Path) -> PathBuf {
    environment.join("bin/python")
}

/// The package manager of an interpreter.
#[must_use]
pub fn pip(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]);
    command
}

fn written(done: std::io::Result<()>, file: &Path) {
    if let Err(error) = done {
        panic!("{}: {error}", file.display());
    }
}
