//! Event mappers between agents and clients.

use std::time::{Duration, Instant};

use roundhouse_tests::script::{delta, emit, hold};
use roundhouse_tests::{Frame, Strings, TestHost, fold, script, text_of};
use serde_json::{Value, json};

const REDACT: &str = r#"
[plugins.libraries.redact]
file = "roundhouse_redact"
[[mappers]]
component = "redact/redact"
config = { patterns = ["sk-[a-z0-9]+"] }
"#;

fn steps() -> Vec<Value> {
    vec![
        emit(json!({"type": "tool_started", "tool": "t", "args": {"key": "sk-secret1", "n": 1}})),
        emit(
            json!({"type": "tool_call", "tool": "t", "args": {"key": ["sk-secret1"]}, "result": "got sk-secret2!",
            "success": true, "metadata": {"deep": {"key": "sk-secret3"}}}),
        ),
        delta("the answer passes: sk-answer"),
    ]
}

fn masked() -> [Value; 3] {
    [
        json!({"type": "tool_started", "tool": "t", "args": {"key": "[redacted]", "n": 1}, "is_subagent": false}),
        json!({"type": "tool_call", "tool": "t", "args": {"key": ["[redacted]"]}, "result": "got [redacted]!",
            "success": true, "is_subagent": false, "metadata": {"deep": {"key": "[redacted]"}}}),
        json!({"type": "stream_delta", "delta": "the answer passes: sk-answer"}),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_never_see_what_is_masked_and_the_agent_does() {
    let host = TestHost::with(REDACT).await;
    let session = host.session().await;
    let mut first = host.idle(session).await;
    let mut held = steps();
    held.push(hold());
    first.begin(&script(&held)).await;
    let mut live = Vec::new();
    for _ in 0..3 {
        live.push(first.next().await);
    }
    assert_eq!(fold(&live), masked());
    let mut second = host.connect(session).await;
    second.expect_kind("stream_start").await;
    assert_eq!(fold(&second.replay().await), masked());
    host.stop(session).await;
    first.expect_kind("stream_stopped").await;
    second.expect_kind("stream_stopped").await;

    let history = host
        .rest()
        .get(&format!("/sessions/{session}/messages"))
        .await
        .body;
    // The user's own message is what the user sent.
    let answer = history["messages"][1].to_string();
    assert!(
        answer.contains("[redacted]") && !answer.contains("sk-secret"),
        "{answer}"
    );

    let frames = first.run(&script(&[json!({"echo": "history"})])).await;
    let own: Value = serde_json::from_str(&text_of(&frames)).unwrap();
    let own = own[1].to_string();
    for secret in ["sk-secret1", "sk-secret2", "sk-secret3"] {
        assert!(own.contains(secret), "{own}");
    }
    assert!(!own.contains("[redacted]"), "{own}");
    host.shut_down([first, second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_itself_shows_of_tools_is_masked_too() {
    let toml = format!(
        "{REDACT}\n[plugins.libraries.toolbox]\nfile = \"roundhouse_toolbox\"\n[tools.toolbox]\ncomponent = \"toolbox/toolbox\"\n"
    );
    let host = TestHost::with(&toml).await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let output = puppet
        .order("tool", json!(["text_stats", {"text": "sk-abc"}]))
        .await
        .unwrap();
    assert_eq!(output["success"], true);
    puppet.finish("").await;
    let frames = client.rest_of_run().await;
    assert_eq!(frames[0].value()["args"], json!({"text": "[redacted]"}));
    assert_eq!(frames[1].value()["args"], json!({"text": "[redacted]"}));
    host.shut_down([client]).await;
}

/// The configuration with the mapper that does as its settings say.
fn faulty(config: &str) -> String {
    format!(
        "[plugins.libraries.faulty]\nfile = \"fixture_faulty\"\n[[mappers]]\ncomponent = \"faulty/mapper\"\nconfig = {{ {config} }}\n"
    )
}

fn is_mapper_fault(last: &Frame) -> bool {
    let text = last.value()["message"].as_str().unwrap_or_default();
    last.kind() == "error" && text.starts_with("Internal error: mapper ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapper_that_fails_ends_the_run_and_lets_nothing_through() {
    for mode in ["fail", "panic"] {
        let host = TestHost::with(&faulty(&format!("mode = \"{mode}\""))).await;
        let mut client = host.client().await;
        // Whether the agent is done before it hears of it or not.
        for steps in [vec![delta("secret")], vec![delta("secret"), hold()], vec![]] {
            let frames = client.run(&script(&steps)).await;
            assert_eq!(frames.len(), 2, "{frames:?}");
            assert!(is_mapper_fault(&frames[1]), "{mode}: {frames:?}");
        }
        host.shut_down([client]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapper_may_drop_double_and_rewrite_what_an_agent_emits() {
    for (mode, text) in [("drop", ""), ("double", "aabb"), ("dot", "a.b.")] {
        let host = TestHost::with(&faulty(&format!("mode = \"{mode}\", deltas_only = true"))).await;
        let mut client = host.client().await;
        let frames = client.run(&script(&[delta("a"), delta("b")])).await;
        assert_eq!(text_of(&frames), text, "{mode}");
        let end = frames.last().unwrap().value();
        assert_eq!(
            (&end["type"], &end["content"]),
            (&json!("stream_end"), &json!("ab"))
        );
        host.shut_down([client]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_runs_last_frame_a_mapper_may_rewrite_the_text_and_no_more() {
    let host = TestHost::with(&faulty("mode = \"dot\"")).await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    let frames = client.run(&script(&[delta("a")])).await;
    assert_eq!(frames.last().unwrap().value()["content"], "a.");
    let frames = client
        .run(&script(&[json!({"raise": ["agent", "own words"]})]))
        .await;
    assert_eq!(frames.last().unwrap().value()["message"], "own words.");
    client.begin(&script(&[hold()])).await;
    host.stop(session).await;
    client.expect_kind("stream_stopped").await;
    host.shut_down([client]).await;

    // One that drops it, doubles it, or puts another in its place is at fault.
    for mode in ["drop", "double", "forge"] {
        let host = TestHost::with(&faulty(&format!("mode = \"{mode}\""))).await;
        let session = host.session().await;
        let mut client = host.idle(session).await;
        for steps in [vec![], vec![json!({"raise": ["agent", "own words"]})]] {
            let frames = client.run(&script(&steps)).await;
            assert_eq!(frames.len(), 2, "{frames:?}");
            assert!(is_mapper_fault(&frames[1]), "{mode}: {frames:?}");
        }
        host.shut_down([client]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapper_cannot_make_an_end_of_its_own() {
    let host = TestHost::with(&faulty("mode = \"forge\", deltas_only = true")).await;
    let mut client = host.client().await;
    let frames = client.run(&script(&[delta("a"), delta("b")])).await;
    assert_eq!(frames.len(), 2, "{frames:?}");
    assert!(is_mapper_fault(&frames[1]), "{frames:?}");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_own_mappers_come_before_those_of_everybody() {
    let toml = r#"
[plugins.libraries.faulty]
file = "fixture_faulty"
[[mappers]]
component = "faulty/mapper"
config = { mode = "double", deltas_only = true }
[agents.scripted]
mappers = [{ component = "faulty/mapper", config = { mode = "dot", deltas_only = true } }]
"#;
    let host = TestHost::with(toml).await;
    let mut client = host.client().await;
    let frames = client.run(&script(&[delta("a")])).await;
    assert_eq!(text_of(&frames), "a.a.");
    host.shut_down([client]).await;
}

/// A host with a mapper that hangs until a file is there, and an agent of the same library, which tells the copy that
/// it is of.
async fn hanging(mode: &str) -> TestHost {
    let folder = tempfile::tempdir().unwrap();
    let until = json!(folder.path().join("until"));
    let mapper = faulty(&format!("mode = \"{mode}\", until = {until}"));
    let toml = format!("{mapper}\n[agents.told]\ncomponent = \"faulty/agent\"\n");
    TestHost::in_folder(folder, &toml, Duration::from_secs(10)).await
}

fn release(host: &TestHost) {
    std::fs::write(host.path("until"), "").unwrap();
}

fn is_that_fault(frames: &[Frame]) -> bool {
    frames.len() == 2
        && frames[1].kind() == "error"
        && frames[1].value()["message"] == "Internal error: mapper faulty/mapper"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapper_that_never_returns_ends_the_run_soon() {
    for mode in ["hang", "hang_open"] {
        let host = hanging(mode).await;
        let mut client = host.client().await;
        // In an agent's `emit`, in an event of the host's own, and in the last.
        let call = json!({"tool": ["calculator", {"expression": "1"}]});
        for steps in [vec![delta("secret")], vec![call], vec![]] {
            let begun = Instant::now();
            let frames = client.run(&script(&steps)).await;
            assert!(is_that_fault(&frames), "{mode}: {frames:?}");
            // Long before the end of a run's time or of the grace.
            assert!(begun.elapsed() < Duration::from_secs(8), "{mode}");
        }
        release(&host);
        let frames = client.run(&script(&[delta("open")])).await;
        assert_eq!(text_of(&frames), "open", "{mode}");
        host.shut_down([client]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapper_that_never_closes_is_served_from_a_fresh_copy() {
    let host = hanging("hang_close").await;
    let session = host.session_with("told").await;
    let mut client = host.idle(session).await;
    let mut generation = async || {
        let frames = client.run("generation").await;
        frames.last().unwrap().value()["content"].clone()
    };
    let first = generation().await;
    // Those that come too many in the meantime fail.
    loop {
        let next = generation().await;
        if next != first && !next.is_null() {
            break;
        }
    }
    release(&host);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mapper_makes_is_no_larger_than_what_an_agent_may() {
    let host = TestHost::with(&format!(
        "limits.event_bytes = \"8 KiB\"\n{}",
        faulty("mode = \"grow\"")
    ))
    .await;
    let mut client = host.client().await;
    for steps in [vec![delta("a"), hold()], vec![]] {
        let frames = client.run(&script(&steps)).await;
        assert!(is_that_fault(&frames), "{frames:?}");
    }
    host.shut_down([client]).await;
}
