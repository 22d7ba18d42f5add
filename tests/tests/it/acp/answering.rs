//! What the agent tells of its work, as the client sees it.

use serde_json::json;

use super::stage::{Stage, all, content, error, last, say, script, update};

fn text(text: &str) -> serde_json::Value {
    json!({"content": {"type": "text", "text": text}})
}

#[tokio::test(flavor = "multi_thread")]
async fn text_and_thoughts_come_as_they_are_told() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let thought = |part| update("agent_thought_chunk", text(part));
    let steps = [
        thought("Hm, "),
        thought("let me see."),
        say("It is "),
        say("42 – fürwahr 🚂."),
        thought("Sure?"),
        update("usage_update", json!({"used": 700, "size": 1000})),
        update("a_kind_of_the_future", json!({"more": [1, 2]})),
        update(
            "available_commands_update",
            json!({"availableCommands": []}),
        ),
    ];
    let frames = client.run(&script(&steps)).await;
    let mut kinds: Vec<_> = frames.iter().map(|frame| frame.kind()).collect();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "stream_start",
            "thinking_delta",
            "thinking_end",
            "stream_delta",
            "thinking_delta",
            "thinking_end",
            "turn_thinking",
            "stream_end"
        ]
    );
    assert_eq!(
        all(&frames, "turn_thinking")[0]["thinking"],
        "Hm, let me see.\n\nSure?"
    );
    assert_eq!(content(&frames), "It is 42 – fürwahr 🚂.");
    let last = last(&frames);
    assert_eq!(
        (&last["context_tokens"], &last["max_context_tokens"]),
        (&json!(700), &json!(1000))
    );
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_text_is_told_in_words() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let chunk = |content| update("agent_message_chunk", json!({"content": content}));
    let steps = [
        chunk(json!({"type": "image", "mimeType": "image/png", "data": "AAAA"})),
        chunk(json!({"type": "resource_link", "name": "notes", "uri": "file:///n"})),
        chunk(json!({"type": "resource", "resource": {"uri": "file:///n", "text": "inside"}})),
    ];
    let frames = client.run(&script(&steps)).await;
    assert_eq!(
        content(&frames),
        "[image: image/png][notes](file:///n)inside"
    );
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_are_shown_with_how_far_they_are() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let plan = |first: &str, second: &str| {
        let entry = |content: &str, status: &str| json!({"content": content, "priority": "medium", "status": status});
        update(
            "plan",
            json!({"entries": [entry("Look", first), entry("Tell", second)]}),
        )
    };
    let steps = [
        plan("pending", "pending"),
        plan("in_progress", "pending"),
        plan("completed", "in_progress"),
        plan("completed", "completed"),
        say("Done."),
    ];
    let frames = client.run(&script(&steps)).await;
    let phases: Vec<_> = all(&frames, "planning_status")
        .iter()
        .map(|frame| {
            (
                frame["phase"].as_str().unwrap(),
                frame["label"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        phases,
        [
            ("planning", "Planning"),
            ("executing", "Look"),
            ("executing", "Tell"),
            ("done", "The plan is carried out")
        ]
    );
    let plans = all(&frames, "plan_ready");
    assert_eq!(plans.len(), 4);
    assert_eq!(
        plans[1]["plan"],
        json!([{"step": 1, "title": "Look", "status": "in_progress", "priority": "medium"},
            {"step": 2, "title": "Tell", "status": "pending", "priority": "medium"}])
    );
    assert_eq!(content(&frames), "Done.");
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_ends_as_the_agent_says() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let mut ended = async |reason: &str| {
        client
            .run(&script(&[say("So far."), json!({"end": reason})]))
            .await
    };
    assert!(error(&ended("max_tokens").await).contains("max_tokens"));
    assert!(error(&ended("max_turn_requests").await).contains("max_turn_requests"));
    assert!(error(&ended("cancelled").await).contains("cancelled its turn by itself"));
    assert!(error(&ended("other").await).contains("no such answer"));
    let refused = ended("refusal").await;
    assert_eq!(
        content(&refused),
        "So far.\n\n[The agent refuses to go on with this.]"
    );
    let failed = json!({"fail": {"code": -32603, "message": "Internal error", "data": {"details": "no model"}}});
    let frames = client.run(&script(&[failed])).await;
    assert_eq!(
        error(&frames),
        r#"The agent's program reports an error: Internal error ({"details":"no model"})"#
    );
    // And the session goes on.
    assert_eq!(content(&client.run("still there?").await), "still there?");
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_arrives_whole() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let frames = client.run(&script(&[json!({"flood": 20_000})])).await;
    let expected: String = (0..20_000).map(|number| format!("{number} ")).collect();
    assert!(content(&frames) == expected);
    stage.end([client]).await;
}
