//! An agent that somebody else wrote: `examples/agent.py` of the source distribution of PyPI's `agent-client-protocol`,
//! with that package, in Python.
//!
//! It runs where there is a `python3` that can make virtual environments, and says plainly where it does not run.
//! With `REQUIRE_PYTHON=1` in the environment, as in `.ci/run`, it fails instead.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use roundhouse_tests::TestHost;
use serde_json::json;

use super::stage::{content, last};

/// What has to be installed for it.
const NEEDED: &str = "python3 with the modules venv and ensurepip (on Debian and Ubuntu: apt-get install python3 python3-venv), \
     and access to PyPI the first time";

/// Runs a command to its end; its output where it fails.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}\n{out}{err}", output.status)),
    }
}

/// Where the agent is.
#[derive(Clone)]
struct Other {
    python: PathBuf,
    script: PathBuf,
    /// What it reads besides the interpreter.
    source: PathBuf,
}

/// The agent, installed on first use.
static OTHER: LazyLock<Result<Other, String>> = LazyLock::new(|| {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("acp/requirements.txt");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("acp-example");
    let (environment, source) = (folder.join("environment"), folder.join("source"));
    let (python, complete) = (environment.join("bin/python"), folder.join("complete"));
    let wanted = std::fs::read_to_string(&requirements).unwrap();
    let package = wanted.lines().next().unwrap();
    let unpacked = source.join(package.replace('-', "_").replace("==", "-"));
    if !std::fs::read_to_string(&complete).is_ok_and(|made| made == wanted) {
        std::fs::create_dir_all(&source).unwrap();
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&environment))?;
        let pip = |args: &[&str]| {
            let mut command = Command::new(&python);
            command.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]);
            command.args(args).current_dir(&source);
            command
        };
        run(pip(&["install", "--requirement"]).arg(&requirements))?;
        run(&mut pip(&[
            "download",
            "--no-binary",
            ":all:",
            "--no-deps",
            package,
        ]))?;
        run(Command::new(&python)
            .args(["-m", "tarfile", "-e"])
            .arg(unpacked.with_added_extension("tar.gz"))
            .arg(&source))?;
        std::fs::write(&complete, &wanted).unwrap();
    }
    Ok(Other {
        python,
        script: unpacked.join("examples/agent.py"),
        source,
    })
});

/// The agent; `None` where it cannot be had.
async fn other() -> Option<Other> {
    let other = tokio::task::spawn_blocking(|| OTHER.clone()).await.unwrap();
    let fault = match other {
        Ok(other) => return Some(other),
        Err(fault) => fault,
    };
    let text = format!("the other agent did not run; it needs {NEEDED}:\n{fault}");
    let required =
        std::env::var_os("REQUIRE_PYTHON").is_some_and(|value| !value.is_empty() && value != "0");
    assert!(!required, "{text}");
    // Straight to the terminal: what a test prints is not shown while it passes.
    let _ = writeln!(std::io::stderr(), "{text}");
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_on_another_implementation_answers() {
    let Some(Other {
        python,
        script,
        source,
    }) = other().await
    else {
        return;
    };
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let host = TestHost::with(&format!(
        r#"
default_agent = "example"

[plugins.libraries.acp]
file = "roundhouse_acp"

[agents.example]
component = "acp/acp"

[agents.example.config]
command = {python:?}
args = [{script:?}]
folder = {work:?}
files.read = [{source:?}]
"#
    ))
    .await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    let frames = client.run("Hello, fürwahr 🚂.").await;
    assert_eq!(content(&frames), "Client sent:Hello, fürwahr 🚂.");
    assert_eq!(last(&frames)["tool_call_count"], 0);

    let uploaded = host
        .rest()
        .upload(session, &[("notes.txt", b"remember")])
        .await;
    let message = json!({"type": "message", "content": "And this?", "files": uploaded.body});
    client.send(&message).await;
    let frames = client.whole_run().await;
    let text = content(&frames);
    assert!(
        text.starts_with("Client sent:And this?[notes.txt](file:///"),
        "{text}"
    );
    host.shut_down([client]).await;
}
