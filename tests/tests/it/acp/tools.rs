//! The agent's own tools.

use roundhouse_tests::Frame;
use serde_json::{Value, json};

use super::stage::{Stage, all, content, say, script, update};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_shown_from_its_beginning_to_its_end() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let steps = [
        say("Let me look."),
        update(
            "tool_call",
            json!({"toolCallId": "c1", "title": "Reading a.rs", "kind": "read",
            "rawInput": {"path": "a.rs"}, "locations": [{"path": "/a.rs", "line": 3}]}),
        ),
        update(
            "tool_call_update",
            json!({"toolCallId": "c1", "status": "in_progress",
            "content": [{"type": "content", "content": {"type": "text", "text": "half"}}]}),
        ),
        update(
            "tool_call_update",
            json!({"toolCallId": "c1", "status": "completed",
            "content": [{"type": "content", "content": {"type": "text", "text": "fn main() {}"}},
                {"type": "diff", "path": "/a.rs", "oldText": "x", "newText": "y"}],
            "rawOutput": {"bytes": 12}}),
        ),
        update(
            "tool_call",
            json!({"toolCallId": "c2", "title": "Running it", "name": "shell", "kind": "execute",
            "status": "failed", "rawOutput": "no such program"}),
        ),
        say("It fails."),
    ];
    let frames = client.run(&script(&steps)).await;
    let started = all(&frames, "tool_started");
    assert_eq!(started.len(), 2);
    assert_eq!(
        (&started[0]["tool"], &started[0]["args"]),
        (&json!("read"), &json!({"path": "a.rs"}))
    );
    let updates = all(&frames, "tool_update");
    assert_eq!(updates.len(), 1);
    assert_eq!(
        updates[0],
        &json!({"type": "tool_update", "call_id": "c1", "tool": "read", "title": "Reading a.rs",
            "status": "in_progress", "content": "half"})
    );
    let calls = all(&frames, "tool_call");
    assert_eq!(calls[0]["result"], "fn main() {}\nChanged: /a.rs");
    assert_eq!(calls[0]["success"], true);
    let facts = &calls[0]["metadata"];
    assert_eq!(
        (&facts["title"], &facts["kind"]),
        (&json!("Reading a.rs"), &json!("read"))
    );
    assert_eq!(
        facts["diffs"],
        json!([{"path": "/a.rs", "old_text": "x", "new_text": "y"}])
    );
    assert_eq!(facts["raw_output"], json!({"bytes": 12}));
    assert_eq!(facts["locations"], json!([{"path": "/a.rs", "line": 3}]));
    assert_eq!(
        (&calls[1]["tool"], &calls[1]["args"]),
        (&json!("shell"), &json!({"title": "Running it"}))
    );
    assert_eq!(
        (&calls[1]["result"], &calls[1]["success"]),
        (&json!("no such program"), &json!(false))
    );
    assert_eq!(content(&frames), "Let me look.\n\nIt fails.");
    assert_eq!(
        frames.last().map(Frame::value).unwrap()["tool_call_count"],
        2
    );
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ids_of_calls_reach_version_2() {
    let stage = Stage::start().await;
    let mut client = stage.host.v2(stage.host.session().await).await;
    let call = json!({"toolCallId": "c7", "title": "t", "status": "completed"});
    let frames = client.run_v2(&script(&[update("tool_call", call)])).await;
    for kind in ["tool_started", "tool_call"] {
        let frame = all(&frames, kind)[0];
        assert_eq!(frame["call_id"], "c7", "{frame}");
    }
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_agent_forgets_ends_with_the_turn() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let call = update("tool_call", json!({"toolCallId": "c1", "title": "t"}));
    let frames = client.run(&script(&[call])).await;
    let calls = all(&frames, "tool_call");
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["success"], false);
    assert_eq!(
        calls[0]["result"],
        "The agent has ended its turn before the tool has ended."
    );
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_for_the_host_is_shown_in_part() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let many: Vec<Value> = (0..40)
        .map(|_| json!({"type": "diff", "path": "/a", "newText": "x".repeat(100_000)}))
        .collect();
    let steps = [
        update(
            "tool_call",
            json!({"toolCallId": "c1", "title": "t", "rawInput": {"deep": deep}}),
        ),
        update(
            "tool_call_update",
            json!({"toolCallId": "c1", "status": "completed", "content": many}),
        ),
        say("on it goes"),
    ];
    let frames = client.run(&script(&steps)).await;
    assert_eq!(all(&frames, "tool_started").len(), 1);
    let calls = all(&frames, "tool_call");
    assert_eq!(
        (&calls[0]["metadata"], &calls[0]["success"]),
        (&json!({"cut": true}), &json!(true))
    );
    assert_eq!(content(&frames), "on it goes");
    stage.end([client]).await;
}
