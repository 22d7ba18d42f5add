//! The loop against a server that somebody else wrote: `@copilotkit/aimock` from npm, with fixtures of its own form.
//!
//! It runs where there are `node` (20 or later) and `npm`, and says plainly where it does not run. With `REQUIRE_NODE=1` in
//! the environment, as in `.ci/run`, it fails instead.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;

use roundhouse_tests::installed::{self, NODE};
use roundhouse_tests::model::KEY;
use roundhouse_tests::{ModelServer, TestHost, soon};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::stage::{all, config, kinds, last};

/// Where its files are.
fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("aimock")
}

/// The program, installed on first use.
static PROGRAM: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aimock");
    installed::npm(&folder, &own().join("package.json"))?;
    Ok(folder.join("node_modules/@copilotkit/aimock/dist/cli.js"))
});

/// The other server, which ends with the test.
struct Aimock {
    url: String,
    _process: Child,
}

/// Starts it; `None` where it cannot be had.
async fn aimock() -> Option<Aimock> {
    let started = match tokio::task::spawn_blocking(|| PROGRAM.clone())
        .await
        .unwrap()
    {
        Ok(program) => start(&program).await,
        Err(fault) => Err(fault),
    };
    NODE.or_told("the other model's server", started)
}

async fn start(program: &Path) -> Result<Aimock, String> {
    let mut process = Command::new("node")
        .arg(program)
        .args(["--port", "0", "--strict", "--chunk-size", "3", "--fixtures"])
        .arg(own().join("fixtures.json"))
        .env("AIMOCK_API_KEYS", KEY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("node: {error}"))?;
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let url = soon("the other model's server", async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, url)) = line.split_once("listening on ") {
                return Some(url.to_owned());
            }
        }
        None
    });
    match url.await {
        Some(url) => Ok(Aimock {
            url,
            _process: process,
        }),
        None => Err("it ended before it listened".to_owned()),
    }
}

/// A host whose agent is on the other server.
async fn host(other: &Aimock, settings: &str) -> TestHost {
    // Only its address is needed, to be replaced.
    let ours = ModelServer::start().await;
    let toml = config(&ours, settings, "");
    TestHost::with(&toml.replace(&ours.url(), &format!("{}/v1", other.url))).await
}

async fn a_run_with_tools(settings: &str) {
    let Some(other) = aimock().await else {
        return;
    };
    let host = host(&other, settings).await;
    let mut client = host.client().await;
    let frames = client.run("What is six times seven?").await;
    assert_eq!(
        kinds(&frames)[..5],
        [
            "stream_start",
            "thinking_delta",
            "thinking_end",
            "stream_delta",
            "turn_thinking"
        ]
    );
    assert_eq!(
        all(&frames, "turn_thinking")[0]["thinking"],
        "A product of two numbers."
    );
    let mut results: Vec<_> = all(&frames, "tool_call")
        .iter()
        .map(|call| call["result"].to_string())
        .collect();
    results.sort();
    assert_eq!(results, [r#""2""#, r#""42""#]);
    let done = last(&frames);
    assert_eq!(done["content"], "Let me see.\n\nIt is 42 – fürwahr 🚂.");
    assert_eq!(
        (&done["token_count"], &done["context_tokens"]),
        (&json!(16), &json!(37))
    );

    let frames = client.run("Now, are you busy?").await;
    assert_eq!(last(&frames)["content"], "Not any more.");

    // It knows no such message and says so, and of another key it wants nothing.
    let frames = client.run("Something else").await;
    let message = last(&frames)["message"].as_str().unwrap();
    assert!(
        message.starts_with("The model's server answered "),
        "{message}"
    );
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_completions_of_another_server_make_a_run() {
    a_run_with_tools("max_retries = 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_of_another_server_make_a_run() {
    a_run_with_tools("max_retries = 2\napi = \"responses\"").await;
}
