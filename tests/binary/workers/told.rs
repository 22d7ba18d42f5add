//! What an operator reads of a worker in the host's log.

use std::path::Path;
use std::process::Child;
use std::time::Duration;

use roundhouse_tests::client::Connect;
use roundhouse_tests::{Rest, soon};
use serde_json::{Value, json};

use crate::process::roundhouse;

const TOML: &str = r#"
default_agent = "faulty"
[storage]
path = "data"
[log]
format = "json"
[plugins.libraries.faulty]
file = "fixture_faulty"
isolation = "process"
[agents.faulty]
component = "faulty/agent"
"#;

/// A host whose log goes to a file.
struct Logged(Child);

impl Drop for Logged {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first line of the log that this is true of.
async fn line(log: &Path, is_it: impl Fn(&Value) -> bool) -> Value {
    soon("a line of the log", async {
        loop {
            let text = std::fs::read_to_string(log).unwrap();
            let lines = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            if let Some(line) = lines.into_iter().find(|line: &Value| is_it(line)) {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

fn message(line: &Value) -> &str {
    line["fields"]["message"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_the_plugin_come_with_their_run_and_what_it_prints_with_its_process() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("host.toml"), TOML).unwrap();
    let log = folder.path().join("log");
    let args = ["serve", "--listen", "127.0.0.1:0", "--config", "host.toml"];
    let host = roundhouse(folder.path(), &args)
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let _host = Logged(host);
    let address = soon("a host that listens", async {
        loop {
            // For people, whatever the format of the log.
            let text = std::fs::read_to_string(&log).unwrap();
            if let Some((_, rest)) = text.split_once("listens on http://")
                && let Some((address, _)) = rest.split_once(',')
            {
                return address.parse().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let session = Rest::of(address).create_session(&json!({})).await;
    let mut client = Connect::to(address, session).open().await;
    client.expect_kind("session_sync").await;

    client.run("log heard").await;
    let heard = line(&log, |line| message(line) == "heard").await;
    assert_eq!(heard["target"], "fixture_faulty::told");
    let fields = &heard["fields"];
    assert_eq!(
        (&fields["plugin"], &fields["agent"], &fields["answer"]),
        (&json!("faulty"), &json!("faulty"), &json!(42))
    );
    assert_eq!(fields["session_id"], session.to_string());

    client.run("print aloud").await;
    for text in ["printed: aloud", "printed: aloud to errors"] {
        let printed = line(&log, |line| message(line) == text).await;
        assert!(printed["fields"]["pid"].is_u64(), "{printed}");
    }

    client.run("abort").await;
    let ended = line(&log, |line| message(line) == "a worker has ended").await;
    assert_eq!(ended["level"], "ERROR");
    let how = ended["fields"]["how"].as_str().unwrap();
    assert!(how.contains("SIGABRT"), "{ended}");
    line(&log, |line| message(line) == "starting another worker").await;
    client.close().await;
}
