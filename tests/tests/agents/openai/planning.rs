//! A plan first, and then the work.

use roundhouse_tests::model::chat;
use serde_json::json;

use super::stage::{all, end, kinds, last, stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_made_shown_and_carried_out() {
    let (server, host) = stage("planning = true\nsystem_prompt = \"Be kind.\"").await;
    let plan = chat::begin()
        .reasoning("Two steps.")
        .text("[\"Add\", ")
        .text("\"Tell\"]");
    server.answer(plan.end("stop", 10, 5));
    server.answer(chat::calls(&[(
        "call_a",
        "calculator",
        r#"{"expression":"1 + 1"}"#,
    )]));
    server.answer(chat::says(&["Two."]));
    let mut client = host.client().await;
    let frames = client.run("one plus one").await;
    let expected = [
        "stream_start",
        "planning_status",
        "thinking_delta",
        "thinking_end",
        "turn_thinking",
        "plan_ready",
        "planning_status",
        "tool_started",
        "tool_call",
        "stream_delta",
        "stream_end",
    ];
    assert_eq!(kinds(&frames), expected);
    let phases: Vec<_> = all(&frames, "planning_status")
        .iter()
        .map(|status| status["phase"].clone())
        .collect();
    assert_eq!(phases, ["planning", "executing"]);
    assert_eq!(
        all(&frames, "plan_ready")[0]["plan"],
        json!([{"step": 1, "title": "Add"}, {"step": 2, "title": "Tell"}])
    );
    assert_eq!(last(&frames)["content"], "Two.");
    assert_eq!(last(&frames)["token_count"], 15);

    // The plan is made without tools, and the tools are named.
    let asked = server.body(0);
    assert_eq!(asked["tools"], json!(null));
    let system = asked["messages"][0]["content"].as_str().unwrap();
    assert!(
        system.starts_with("Be kind.\n\n# Now: plan only"),
        "{system}"
    );
    assert!(system.contains("\n- calculator: "), "{system}");
    // It is carried out with both.
    let asked = server.body(1);
    assert_eq!(asked["tools"].as_array().unwrap().len(), 6);
    let system = asked["messages"][0]["content"].as_str().unwrap();
    assert!(system.ends_with("\n\n1. Add\n2. Tell"), "{system}");
    end(server, host, client).await;
}
