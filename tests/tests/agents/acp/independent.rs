//! An agent that somebody else wrote: `examples/agent.py` of the source distribution of PyPI's `agent-client-protocol`,
//! with that package, in Python.
//!
//! It runs where there is a `python3` that can make virtual environments, and says plainly where it does not run.
//! With `REQUIRE_PYTHON=1` in the environment, as in `.ci/run`, it fails instead.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use roundhouse_tests::TestHost;
use roundhouse_tests::installed::{self, PYTHON};
use serde_json::json;

use super::stage::{content, last};

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
    let python = installed::interpreter(&environment);
    let wanted = std::fs::read_to_string(&requirements).unwrap();
    let package = wanted.lines().next().unwrap();
    let unpacked = source.join(package.replace('-', "_").replace("==", "-"));
    installed::once(&folder, &requirements, |_| {
        std::fs::create_dir_all(&source).unwrap();
        installed::environment(&environment, &requirements)?;
        let flags = ["download", "--no-binary", ":all:", "--no-deps", package];
        installed::run(installed::pip(&python).args(flags).current_dir(&source))?;
        installed::run(
            Command::new(&python)
                .args(["-m", "tarfile", "-e"])
                .arg(unpacked.with_added_extension("tar.gz"))
                .arg(&source),
        )
    })?;
    Ok(Other {
        python,
        script: unpacked.join("examples/agent.py"),
        source,
    })
});

/// The agent; `None` where it cannot be had.
async fn other() -> Option<Other> {
    let other = tokio::task::spawn_blocking(|| OTHER.clone()).await.unwrap();
    PYTHON.or_told("the other agent", other)
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
