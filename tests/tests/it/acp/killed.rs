//! The end of the host, however it comes, is the end of the agents' processes and of all that they have started.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use roundhouse_tests::client::Connect;
use roundhouse_tests::{Rest, TestHost, programs};
use serde_json::{Value, json};

use super::stage::{config, content, error, gone, is_there, pid, say, script};

/// A host in a process of its own. It is killed when dropped.
struct Serving {
    process: Child,
    address: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(folder: &Path) -> Serving {
    let mut process = Command::new(programs().unwrap())
        .current_dir(folder)
        .args(["serve", "--listen", "127.0.0.1:0", "--config", "host.toml"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap());
    let mut all = String::new();
    let address = loop {
        let mut line = String::new();
        assert_ne!(
            lines.read_line(&mut line).unwrap(),
            0,
            "the host ended:\n{all}"
        );
        if let Some((_, rest)) = line.split_once("listens on http://") {
            break rest.split(',').next().unwrap().trim().to_owned();
        }
        all.push_str(&line);
    };
    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    Serving { process, address }
}

/// In a worker process, which may be killed as well.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_an_agent_when_its_worker_is_killed() {
    let root = tempfile::tempdir().unwrap();
    let file = "file = \"roundhouse_acp\"";
    let toml = config(&root, &[], "").replace(file, &format!("{file}\nisolation = \"process\""));
    let host = TestHost::with(&toml).await;
    let mut client = host.client().await;
    let process = pid(&mut client).await;
    let plugins = host.rest().get("/plugins").await.body;
    let worker = find(&plugins, "pid").unwrap_or_else(|| panic!("{plugins}"));
    client
        .begin(&script(&[say("So far"), json!({"hang": true})]))
        .await;
    client.expect_kind("stream_delta").await;
    let killed = Command::new("kill")
        .args(["-KILL", &worker.to_string()])
        .status();
    assert!(killed.unwrap().success());
    let frames = client.rest_of_run().await;
    assert!(
        error(&frames).starts_with("Internal error"),
        "{}",
        error(&frames)
    );
    gone(process).await;
    let frames = client.run("and now?").await;
    assert!(content(&frames).ends_with("and now?"));
    host.shut_down([client]).await;
}

/// The first number under this key, at any depth.
fn find(value: &Value, key: &str) -> Option<u64> {
    match value {
        Value::Object(fields) => fields
            .get(key)
            .and_then(Value::as_u64)
            .or_else(|| fields.values().find_map(|value| find(value, key))),
        Value::Array(items) => items.iter().find_map(|value| find(value, key)),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_an_agent_when_the_host_is_killed() {
    let root = tempfile::tempdir().unwrap();
    let libraries = std::env::current_exe()
        .unwrap()
        .parent()
        .unwrap()
        .to_owned();
    let library = libraries.join(format!(
        "{}roundhouse_acp{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    ));
    let toml = config(&root, &[], "").replace("\"roundhouse_acp\"", &format!("{library:?}"));
    std::fs::write(root.path().join("host.toml"), toml).unwrap();
    let mut serving = serve(root.path());
    let address = serving.address.parse().unwrap();
    let session = Rest::of(address).create_session(&json!({})).await;
    let mut client = Connect::to(address, session).open().await;
    client.expect_kind("session_sync").await;
    let steps = [json!({"pid": true}), say(" "), json!({"daemon": true})];
    let frames = client.run(&script(&steps)).await;
    let (agent, daemon) = content(&frames).split_once(' ').unwrap();
    let pids: [u32; 2] = [agent, daemon].map(|pid| pid.parse().unwrap());
    // In the middle of a turn, which it does not end.
    client
        .begin(&script(&[say("So far"), json!({"hang": true})]))
        .await;
    client.expect_kind("stream_delta").await;
    assert!(pids.iter().all(|pid| is_there(*pid)));

    serving.process.kill().unwrap();
    client.until_broken_off().await;
    for pid in pids {
        gone(pid).await;
    }
}
