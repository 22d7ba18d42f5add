//! Plugins in worker processes: real ones, of this build's binary, behind a host in the test's own process.

mod confined;
mod endings;
mod load;
mod mapped;
mod serving;
mod told;
mod untrusted;

use std::path::Path;
use std::time::Duration;

use roundhouse_tests::{Client, Frame, TestHost, soon};
use serde_json::Value;

/// The fixture in a worker, with an agent and its tools, and `scripted` in another.
const WORKERS: &str = r#"
[plugins.libraries.faulty]
file = "fixture_faulty"
isolation = "process"

[plugins.libraries.apart]
file = "roundhouse_scripted"
isolation = "process"

[agents.faulty]
component = "faulty/agent"

[agents.apart]
component = "apart/scripted"

[tools.faulty]
component = "faulty/tools"

[stop]
grace = "300ms"
"#;

/// The binary whose workers these are.
fn executable() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_roundhouse"))
}

async fn host() -> TestHost {
    TestHost::with_worker(WORKERS, executable()).await
}

async fn client(host: &TestHost, agent: &str) -> Client {
    host.idle(host.session_with(agent).await).await
}

/// The last frame of a new run.
async fn end_of(client: &mut Client, content: &str) -> Frame {
    client.run(content).await.pop().unwrap()
}

/// The answer of a new run.
async fn answer(client: &mut Client, content: &str) -> String {
    let end = end_of(client, content).await;
    assert_eq!(end.kind(), "stream_end", "{end:?}");
    end.text_at("content").to_owned()
}

/// The text of the error that a new run ends with.
async fn error_of(client: &mut Client, content: &str) -> String {
    let end = end_of(client, content).await;
    assert_eq!(end.kind(), "error", "{end:?}");
    end.text_at("message").to_owned()
}

/// What `GET /plugins` says of a plugin.
async fn plugin(host: &TestHost, name: &str) -> Value {
    let body = host.rest().get("/plugins").await.body;
    let plugins = body["plugins"].as_array().unwrap();
    let found = plugins.iter().find(|plugin| plugin["name"] == name);
    found.unwrap().clone()
}

/// The process of a plugin's worker, as soon as there is one.
async fn pid(host: &TestHost, name: &str) -> u64 {
    soon("a worker", async {
        loop {
            if let Some(pid) = plugin(host, name).await["worker"]["pid"].as_u64() {
                return pid;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// Whether there is such a process, ended and not waited for or not.
fn exists(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn signal(name: &str, pid: u64) {
    let sent = std::process::Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}
