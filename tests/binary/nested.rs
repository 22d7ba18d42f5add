//! Cargo inside a test: projects that are built as their authors build them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of the binary, to be found by what runs it.
pub(crate) fn binaries() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_roundhouse"));
    binary.parent().unwrap().to_owned()
}

/// What all nested builds have in common: one folder for what they compile, kept from one test run to the next;
/// nothing of the outer build's own environment; and no network, for the crates are there since this was compiled.
pub(crate) fn environment(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let outer = text.starts_with("CARGO") && !matches!(&*text, "CARGO_HOME");
        if outer || text.starts_with("ROUNDHOUSE_") || text.starts_with("RUSTFLAGS") {
            command.env_remove(name);
        }
    }
    let target = binaries().parent().unwrap().join("nested");
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{}:{path}", binaries().display()))
        .env("CARGO_BUILD_BUILD_DIR", target)
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TERM_COLOR", "never")
        // Nobody looks at these libraries with a debugger.
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_INCREMENTAL", "0")
}

/// Runs cargo in `folder`; its output, both streams together, if it succeeds.
pub(crate) fn cargo(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new("cargo");
    command.current_dir(folder).args(args);
    let Output {
        status,
        stdout,
        stderr,
    } = environment(&mut command).output().unwrap();
    let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert!(status.success(), "cargo {args:?}: {status}\n{said}");
    said
}
