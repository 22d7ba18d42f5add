//! The frames of a representative session, judged by a validator that the host does not use itself: `jsonschema`
//! from PyPI, in Python.
//!
//! It runs where there is a `python3` that can make virtual environments, and says plainly where it does not run.
//! With `REQUIRE_PYTHON=1` in the environment, as in `.ci/run`, it fails instead.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use roundhouse_tests::installed::{self, PYTHON};
use roundhouse_tests::script::{delta, emit, hold};
use roundhouse_tests::{TestHost, schema, script};
use serde_json::{Value, json};

/// The interpreter of an environment with the validator in it, made on first use.
fn interpreter() -> Result<PathBuf, String> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("independent/requirements.txt");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("independent-validator");
    installed::python(&folder, &requirements)
}

/// Has the other validator judge frames.
fn judge(python: &Path, frames: &Value) -> Result<(), String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("independent/validate.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut input = child.stdin.take().unwrap();
    input.write_all(frames.to_string().as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&said).into_owned()),
    }
}

/// Frames of every type, as the host sends them, and the messages that brought them about.
async fn session() -> (Vec<String>, Vec<String>) {
    let host = TestHost::with("heartbeat.interval = \"200ms\"").await;
    let session = host.session().await;
    let mut first = host.connect(session).await;
    first.keep_frames();
    first.expect_kind("session_sync").await;
    while first.next_with_heartbeats().await.kind() != "heartbeat" {}
    let steps = [
        emit(json!({"type": "thinking_delta", "delta": "hm"})),
        emit(json!({"type": "thinking_end"})),
        emit(json!({"type": "turn_thinking", "thinking": "all"})),
        delta("text \u{1f682}\n"),
        emit(json!({"type": "planning_status", "phase": "p", "label": "l"})),
        emit(json!({"type": "plan_ready", "plan": [{"step": 1}]})),
        emit(json!({"type": "plan_ready", "plan": null})),
        emit(json!({"type": "tool_started", "tool": "t", "args": {"a": [1, null]}})),
        emit(
            json!({"type": "tool_call", "tool": "t", "args": {}, "result": "r", "metadata": {"m": 1}}),
        ),
        emit(json!({"type": "tool_call", "tool": "t", "args": 7})),
        emit(json!({"type": "profile_switched", "profile_id": "p", "profile_name": "P"})),
        emit(
            json!({"type": "context_compressed", "messages_before": 2, "messages_after": 1, "summary": "s"}),
        ),
        emit(json!({"type": "citation", "url": "https://example.org/", "deep": {"seq": 1}})),
    ];
    first.run(&script(&steps)).await;
    first.send_text("nonsense").await;
    first.expect_kind("error").await;
    first
        .send(&json!({"type": "message", "content": "look", "images": ["R0lGODlh"], "files": [], "more": {}}))
        .await;
    first.whole_run().await;
    first.begin(&script(&[delta("a"), hold()])).await;
    first.expect_kind("stream_delta").await;
    let mut second = host.connect(session).await;
    second.keep_frames();
    second.expect_kind("stream_start").await;
    second.replay().await;
    host.stop(session).await;
    first.expect_kind("stream_stopped").await;
    second.expect_kind("stream_stopped").await;
    second.expect_kind("session_sync").await;

    let (mut received, mut sent) = (Vec::new(), Vec::new());
    for client in [&first, &second] {
        received.extend_from_slice(client.kept_received());
        sent.extend_from_slice(client.kept_sent());
    }
    host.shut_down([first, second]).await;
    (received, sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_of_a_session_passes_another_validator() {
    let (received, sent) = session().await;
    let kinds: BTreeSet<_> = received
        .iter()
        .map(|frame| serde_json::from_str::<Value>(frame).unwrap()["type"].to_string())
        .collect();
    assert_eq!(
        kinds.len(),
        19,
        "the 18 types and one of the agent's own: {kinds:?}"
    );

    let Some(python) = PYTHON.or_told("the independent validator", interpreter()) else {
        return;
    };
    let file = |name: &str| schema::folder().join(name).display().to_string();
    // The messages that are some, and are well formed.
    let messages: Vec<_> = sent.iter().filter(|text| text.starts_with('{')).collect();
    let frames = json!({
        file("server.json"): {
            "valid": received,
            "invalid": [
                "[]",
                "{}",
                r#"{"type":7}"#,
                r#"{"type":"stream_delta"}"#,
                r#"{"type":"stream_delta","delta":7}"#,
                r#"{"type":"tool_call","tool":"t","args":{},"result":"r","success":1,"is_subagent":false,"metadata":null}"#,
                r#"{"type":"stream_end","content":"x"}"#,
                r#"{"type":"replay_start","count":-1}"#,
            ],
        },
        file("client.json"): {
            "valid": messages,
            "invalid": [
                "{}",
                r#"{"type":"message"}"#,
                r#"{"type":"message","content":""}"#,
                r#"{"type":"message","content":"x","images":"y"}"#,
                r#"{"type":"message","content":"x","files":[{"name":"a"}]}"#,
                r#"{"type":"halt"}"#,
            ],
        },
    });
    if let Err(faults) = judge(&python, &frames) {
        panic!("{faults}");
    }
    // The judge can say no.
    let wrong =
        json!({file("server.json"): {"valid": [r#"{"type":"stream_delta"}"#], "invalid": []}});
    assert!(judge(&python, &wrong).is_err());
}
