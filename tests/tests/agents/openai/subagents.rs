//! Configured agents as tools of the model.

use roundhouse_tests::model::chat;
use serde_json::json;

use super::stage::{all, end, last, stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_subagent_is_a_tool_of_the_model() {
    let (server, host) = stage("").await;
    server.answer(chat::says(&["Hello."]));
    server.answer(chat::calls(&[(
        "call_a",
        "ask_helper",
        r#"{"task":"Add 1 and 1."}"#,
    )]));
    // The helper's own loop.
    let call = [("call_x", "calculator", r#"{"expression":"1 + 1"}"#)];
    let thinks = chat::begin().reasoning("A sum.");
    server.answer(chat::fragments(thinks, &call).end("tool_calls", 1, 1));
    server.answer(chat::says(&["It is 2."]));
    server.answer(chat::says(&["Two, says the helper."]));
    let mut client = host.client().await;
    client.run("hello").await;
    let frames = client.run("one plus one").await;
    assert_eq!(last(&frames)["content"], "Two, says the helper.");
    let calls: Vec<_> = all(&frames, "tool_call")
        .iter()
        .map(|call| {
            (
                call["tool"].clone(),
                call["result"].clone(),
                call["is_subagent"].clone(),
            )
        })
        .collect();
    assert_eq!(
        calls,
        [
            (json!("calculator"), json!("2"), json!(true)),
            (json!("ask_helper"), json!("It is 2."), json!(false)),
        ]
    );
    let thinking = all(&frames, "turn_thinking")[0];
    assert_eq!(
        (&thinking["thinking"], &thinking["is_subagent"]),
        (&json!("A sum."), &json!(true))
    );
    // It knows its task and nothing else, and has the tools of its own configuration.
    let asked = server.body(2);
    assert_eq!(asked["model"], "helper-model");
    assert_eq!(
        asked["messages"],
        json!([{"role": "user", "content": "Add 1 and 1."}])
    );
    assert_eq!(asked["tools"].as_array().unwrap().len(), 1);
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_failure_is_for_the_model_to_read() {
    let (server, host) = stage("").await;
    let failing = json!({"task": r#"script:[{"raise":["agent","own words"]}]"#}).to_string();
    server.answer(chat::calls(&[
        ("call_a", "ask_scripted", &failing),
        ("call_b", "ask_scripted", r#"{"job":"x"}"#),
    ]));
    server.answer(chat::says(&["It failed."]));
    let mut client = host.client().await;
    let frames = client.run("go").await;
    assert_eq!(last(&frames)["content"], "It failed.");
    let messages = server.body(1)["messages"].clone();
    let result = messages[2]["content"].as_str().unwrap();
    assert!(
        result.starts_with("Error: ") && result.contains("own words"),
        "{result}"
    );
    assert_eq!(
        messages[3]["content"],
        "Error: `task` must be a text that is not empty."
    );
    assert!(
        all(&frames, "tool_call")
            .iter()
            .all(|call| call["success"] == false)
    );
    end(server, host, client).await;
}
