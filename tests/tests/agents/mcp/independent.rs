//! Servers that somebody else wrote: the protocol's reference servers, `everything` from npm over both transports and
//! `time` from PyPI in both openings.
//!
//! They run where there are `node` (20 or later) and `npm`, and a `python3` that can make virtual environments, and say
//! plainly where they do not run. With `REQUIRE_NODE=1` and `REQUIRE_PYTHON=1` in the environment, as in `.ci/run`, they
//! fail instead.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use plugin_api::Part;
use roundhouse_tests::installed::{self, NODE, Needs, PYTHON};
use roundhouse_tests::{TestHost, script, soon, until};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::stage::{answers, at, call, complains, health, host, names, text, tools, well};

/// Which versions of them.
fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mcp")
}

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The script of `everything`.
static EVERYTHING: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
    let folder = kept("mcp-everything");
    installed::npm(&folder, &own().join("package.json"))?;
    Ok(folder.join("node_modules/@modelcontextprotocol/server-everything/dist/index.js"))
});

/// The program of `time`.
static TIME: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
    let folder = kept("mcp-time");
    installed::python(&folder, &own().join("requirements.txt"))?;
    Ok(folder.join("bin/mcp-server-time"))
});

/// A server's program; `None` where it cannot be had.
async fn program(of: &'static LazyLock<Result<PathBuf, String>>, needs: Needs) -> Option<String> {
    let installed = tokio::task::spawn_blocking(|| (**of).clone());
    let program = needs.or_told("a reference server", installed.await.unwrap())?;
    Some(program.display().to_string())
}

async fn everything() -> Option<String> {
    program(&EVERYTHING, NODE).await
}

async fn time() -> Option<String> {
    program(&TIME, PYTHON).await
}

/// What `everything` can do, by whichever transport.
async fn does_everything(host: &TestHost, prefix: &str) {
    let tool = |name: &str| format!("{prefix}{name}");
    let listed = tools(host).await;
    let listed = listed["tools"].as_array().unwrap();
    let sum = listed
        .iter()
        .find(|listed| listed["name"] == tool("get-sum"))
        .unwrap();
    assert_eq!(sum["description"], "Returns the sum of two numbers");
    assert_eq!(sum["input_schema"]["properties"]["a"]["type"], "number");
    assert_eq!(health(host).await.0, "ok");

    let told = text(host, &tool("get-sum"), json!({"a": 19, "b": 23})).await;
    assert_eq!(told, "The sum of 19 and 23 is 42.");
    let wrong = call(host, &tool("get-sum"), json!({"a": "x", "b": 1}))
        .await
        .output;
    assert!(
        !wrong.success && wrong.text.contains("/a: is a text"),
        "{wrong:?}"
    );

    let image = call(host, &tool("get-tiny-image"), json!({})).await.output;
    assert!(image.text.contains("[image, image/png]"), "{}", image.text);
    assert!(matches!(&image.parts[0], Part::Image { media_type, .. } if media_type == "image/png"));

    let structured = json!({"location": "Chicago"});
    let structured = call(host, &tool("get-structured-content"), structured)
        .await
        .output;
    let conditions = "Light rain / drizzle";
    assert_eq!(
        structured.metadata.unwrap()["structured_content"]["conditions"],
        conditions
    );
    assert!(
        matches!(&structured.parts[0], Part::Json { value, .. } if value["conditions"] == conditions)
    );

    let links = text(host, &tool("get-resource-links"), json!({"count": 2})).await;
    assert!(
        links.contains("[resource demo://resource/dynamic/blob/1: "),
        "{links}"
    );
    let embedded = json!({"resourceType": "Text", "resourceId": 1});
    let embedded = text(host, &tool("get-resource-reference"), embedded).await;
    assert!(
        embedded.contains("[resource demo://resource/dynamic/text/1]\n"),
        "{embedded}"
    );

    let long = json!({"duration": 0.4, "steps": 4});
    let long = call(host, &tool("trigger-long-running-operation"), long).await;
    assert_eq!(
        long.output.text,
        "Long running operation completed. Duration: 0.4 seconds, Steps: 4."
    );
    // The progress of the last step and the result race each other.
    assert!(
        long.progress.len() >= 3 && long.progress[0] == "1 of 4",
        "{:?}",
        long.progress
    );
}

/// A run in which it works for long is stopped, and it goes on to answer others.
async fn is_stopped(host: &TestHost, prefix: &str) {
    let session = host.session().await;
    let mut client = host.idle(session).await;
    let long = json!({"duration": 600, "steps": 600});
    let tool = format!("{prefix}trigger-long-running-operation");
    client
        .begin(&script(&[json!({ "tool": [tool, long] })]))
        .await;
    client.expect_kind("tool_started").await;
    host.stop(session).await;
    client.rest_of_run().await;
    client.close().await;
    let told = text(
        host,
        &format!("{prefix}echo"),
        json!({"message": "still there"}),
    )
    .await;
    assert_eq!(told, "Echo: still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_over_stdio() {
    let Some(script) = everything().await else {
        return;
    };
    let settings = format!("command = \"node\"\nargs = [{script:?}, \"stdio\"]");
    let host = host(&[("everything", settings)]).await;
    super::stage::offered(&host, "everything_echo").await;
    does_everything(&host, "everything_").await;
    is_stopped(&host, "everything_").await;
    // Of the host's own variables it shows none.
    let env: Value =
        serde_json::from_str(&text(&host, "everything_get-env", json!({})).await).unwrap();
    assert!(
        env["PATH"].is_string() && env["CARGO_MANIFEST_DIR"].is_null(),
        "{env}"
    );
    host.shut_down([]).await;
}

/// `everything` over HTTP, and where.
struct Remote {
    process: tokio::process::Child,
    port: u16,
}

impl Remote {
    /// On any port that is free, or on this one.
    async fn start(script: &str, port: Option<u16>) -> Self {
        // It takes no port 0, and another program may be faster.
        for _ in 0..20 {
            let free = || {
                std::net::TcpListener::bind("127.0.0.1:0")
                    .unwrap()
                    .local_addr()
                    .unwrap()
                    .port()
            };
            let port = port.unwrap_or_else(free);
            let mut process = tokio::process::Command::new("node")
                .args([script, "streamableHttp"])
                .env("PORT", port.to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
            let listens = soon("everything", async {
                while let Some(line) = lines.next_line().await.unwrap() {
                    if line.contains(&format!("listening on port {port}")) {
                        return true;
                    }
                }
                false
            });
            if listens.await {
                // It writes a line for each request, and must have somebody who reads them.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Self { process, port };
            }
        }
        panic!("there is no port for it");
    }

    async fn stop(mut self) -> u16 {
        self.process.start_kill().unwrap();
        soon("its end", self.process.wait()).await.unwrap();
        self.port
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_over_streamable_http() {
    let Some(script) = everything().await else {
        return;
    };
    let remote = Remote::start(&script, None).await;
    let url = format!("http://127.0.0.1:{}/mcp", remote.port);
    let host = host(&[("remote", at(&url))]).await;
    does_everything(&host, "remote_").await;
    is_stopped(&host, "remote_").await;
    // It ends, and comes back without its sessions.
    let port = remote.stop().await;
    complains(&host, "cannot be reached").await;
    let remote = Remote::start(&script, Some(port)).await;
    answers(&host, "remote_echo", json!({"message": "again"})).await;
    well(&host).await;
    host.shut_down([]).await;
    remote.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_is_told_in_both_openings() {
    let Some(program) = time().await else {
        return;
    };
    let settings = format!("command = {program:?}\nargs = [\"--local-timezone\", \"UTC\"]");
    let host = host(&[
        (
            "new",
            format!("{settings}\nhandshake = \"discover\"\ntools = [\"get_*\"]"),
        ),
        ("time", settings),
    ])
    .await;
    super::stage::offered(&host, "new_get_current_time").await;
    super::stage::offered(&host, "time_get_current_time").await;
    assert_eq!(
        names(&host).await,
        [
            "new_get_current_time",
            "time_get_current_time",
            "time_convert_time"
        ]
    );
    for tool in ["new_get_current_time", "time_get_current_time"] {
        let told = text(&host, tool, json!({"timezone": "Asia/Tokyo"})).await;
        let told: Value = serde_json::from_str(&told).unwrap();
        assert!(
            told["datetime"].as_str().unwrap().ends_with("+09:00"),
            "{told}"
        );
    }
    let noon = json!({"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"});
    let told: Value = serde_json::from_str(&text(&host, "time_convert_time", noon).await).unwrap();
    assert_eq!(told["time_difference"], "+9.0h");
    let wrong = call(
        &host,
        "time_get_current_time",
        json!({"timezone": "Mars/Base"}),
    )
    .await
    .output;
    assert!(
        !wrong.success && wrong.text.contains("Invalid timezone"),
        "{wrong:?}"
    );
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_server_that_is_killed_is_started_again() {
    let Some(program) = time().await else {
        return;
    };
    // By which its processes are told from those of tests that run at the same time.
    let own = "Pacific/Chatham";
    let settings = format!("command = {program:?}\nargs = [\"--local-timezone\", {own:?}]");
    let host = host(&[("time", settings)]).await;
    super::stage::offered(&host, "time_get_current_time").await;
    let pids = || children(own);
    let before = pids();
    assert_eq!(before.len(), 1);
    let killed = Command::new("kill")
        .args(["-KILL", &before[0]])
        .status()
        .unwrap();
    assert!(killed.success());
    until("another process", || {
        let now = pids();
        now.len() == 1 && now != before
    })
    .await;
    answers(&host, "time_get_current_time", json!({"timezone": "UTC"})).await;
    host.shut_down([]).await;
    assert_eq!(pids(), [""; 0]);
}

/// The processes with this argument: grandchildren of this process, below a guard.
fn children(argument: &str) -> Vec<String> {
    let stat = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let parent = |pid: &str| {
        let stat = stat(pid);
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        fields
            .split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    };
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let runs_it = command.split('\0').any(|part| part == argument);
        if runs_it && !command.contains("child-guard") && parent(&parent(&pid)) == own {
            found.push(pid);
        }
    }
    found
}
