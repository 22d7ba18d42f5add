//! The end of a host: asked for, forced, and by surprise.

use std::path::Path;

use roundhouse_host::session::SessionId;
use roundhouse_tests::client::Connect;
use roundhouse_tests::script::{delta, emit, hold, repeat};
use roundhouse_tests::{Client, Close, Rest, script, soon, text_of};
use serde_json::{Value, json};

use crate::process::Serving;

pub(crate) const CONFIG: &str = r#"
[storage]
path = "../data"
[server]
drain_spread = "0s"
[plugins.libraries.scripted]
file = "roundhouse_scripted"
[agents.scripted]
component = "scripted/scripted"
"#;

/// A folder with a configuration that serves `scripted`.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("config")).unwrap();
    std::fs::write(folder.path().join("config/roundhouse.toml"), CONFIG).unwrap();
    folder
}

/// A host in a folder, and its HTTP side.
pub(crate) fn serve(folder: &Path) -> (Serving, Rest) {
    let serving = Serving::start(folder, &[]);
    let rest = Rest::of(serving.address.parse().unwrap());
    (serving, rest)
}

async fn connect(serving: &Serving, session: SessionId) -> Client {
    Connect::to(serving.address.parse().unwrap(), session)
        .open()
        .await
}

pub(crate) async fn idle(serving: &Serving, session: SessionId) -> Client {
    let mut client = connect(serving, session).await;
    client.expect_kind("session_sync").await;
    client
}

/// Waits for the process to end; answers its exit code.
pub(crate) async fn exit_code(mut serving: Serving) -> Option<i32> {
    let ended = tokio::task::spawn_blocking(move || serving.ended().code());
    ended.await.unwrap()
}

pub(crate) fn draining() -> Close {
    Close {
        code: 1012,
        reason: "retry_ms=1000".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_it_lets_runs_end_and_sends_clients_away() {
    for signal in ["TERM", "INT"] {
        let folder = folder();
        let (serving, rest) = serve(folder.path());
        let session = rest.create_session(&json!({})).await;
        let mut idler = idle(&serving, rest.create_session(&json!({})).await).await;
        let mut client = idle(&serving, session).await;
        let steps = [delta("a"), json!({"sleep": 0.5}), delta("b")];
        client.begin(&script(&steps)).await;
        client.expect_kind("stream_delta").await;
        serving.signal(signal);
        let frames = client.rest_of_run().await;
        assert_eq!(text_of(&frames), "b");
        assert_eq!(frames[1].kind(), "stream_end");
        assert_eq!(client.closed().await, draining());
        assert_eq!(idler.closed().await, draining());
        assert_eq!(exit_code(serving).await, Some(0));

        // What is left can be gone on with.
        let (serving, rest) = serve(folder.path());
        let runs = rest.get(&format!("/sessions/{session}/runs")).await.body;
        assert_eq!(runs["runs"][0]["status"], "completed");
        serving.signal("TERM");
        assert_eq!(exit_code(serving).await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let folder = folder();
    let (serving, rest) = serve(folder.path());
    let mut busy = idle(&serving, rest.create_session(&json!({})).await).await;
    let mut idler = idle(&serving, rest.create_session(&json!({})).await).await;
    busy.begin(&script(&[hold()])).await;
    serving.signal("TERM");
    // Until the first one has been heard.
    soon("the drain", async {
        loop {
            idler.message(&script(&[])).await;
            let answer = idler.next().await;
            if answer.value()["message"] == "Server is shutting down." {
                return;
            }
            idler.rest_of_run().await;
        }
    })
    .await;
    serving.signal("TERM");
    assert_eq!(exit_code(serving).await, Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_the_hosts_death_cut_short_is_lost_with_what_was_saved() {
    let folder = folder();
    let (serving, rest) = serve(folder.path());
    let session = rest.create_session(&json!({})).await;
    let mut client = idle(&serving, session).await;
    client.run("before").await;
    let steps = [
        emit(json!({"type": "plan_ready", "plan": ["a"]})),
        delta("half of the "),
        delta("answer"),
        emit(json!({"type": "thinking_end"})),
        hold(),
    ];
    client.begin(&script(&steps)).await;
    client.until(|frame| frame.kind() == "thinking_end").await;
    // Until it is on the disk: that the run's position is the last one.
    let runs = format!("/sessions/{session}/runs");
    soon("the records", async {
        loop {
            let run = rest.get(&runs).await.body["runs"][0].clone();
            assert_eq!(run["status"], "running");
            let saved = run["last_seq"].as_u64().unwrap() - run["first_seq"].as_u64().unwrap();
            if saved >= 3 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    serving.signal("KILL");
    assert_eq!(exit_code(serving).await, None);
    drop(client);

    let (serving, rest) = serve(folder.path());
    let run = rest.get(&runs).await.body["runs"][0].clone();
    assert_eq!(
        (&run["status"], &run["outcome"]),
        (&json!("lost"), &Value::Null)
    );
    let history = rest
        .get(&format!("/sessions/{session}/messages"))
        .await
        .body;
    let lost = &history["messages"][3];
    assert_eq!(lost["status"], "lost");
    assert_eq!(lost["content"], "half of the answer");
    assert_eq!(lost["events"][0]["plan"], json!(["a"]));
    // Nothing runs, and the session can be gone on with.
    let mut client = idle(&serving, session).await;
    assert_eq!(text_of(&client.run("after").await), "after ");
    let history = client.run(&script(&[json!({"echo": "history"})])).await;
    assert!(text_of(&history).contains("half of the answer"));
    serving.signal("TERM");
    assert_eq!(client.closed().await, draining());
    assert_eq!(exit_code(serving).await, Some(0));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_that_nobody_reads_does_not_grow_it() {
    let folder = folder();
    let (serving, rest) = serve(folder.path());
    let session = rest.create_session(&json!({})).await;
    let mut client = idle(&serving, session).await;
    client.run("warm").await;
    let before = serving.memory("VmRSS");
    // 200 MB of text.
    let flood = repeat(
        50_000,
        json!({"type": "stream_delta", "delta": "x".repeat(4000)}),
    );
    client.begin(&script(&[flood])).await;
    client.cut();
    let runs = format!("/sessions/{session}/runs");
    soon("the flood's end", async {
        loop {
            let runs = rest.get(&runs).await.body;
            if runs["runs"][0]["status"] == "completed" {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let most = serving.memory("VmHWM");
    assert!(
        most < before + 100 * 1024,
        "{before} KiB before, {most} KiB at the most"
    );
    serving.signal("TERM");
    assert_eq!(exit_code(serving).await, Some(0));
}
