//! The session's history as messages.

use roundhouse_tests::model::chat;
use serde_json::json;

use super::stage::{end, stage};

#[tokio::test(flavor = "multi_thread")]
async fn earlier_turns_are_messages_with_their_tool_calls() {
    let (server, host) = stage("").await;
    let answer = chat::begin().text("Let me see.");
    let calls = [
        ("call_a", "calculator", r#"{"expression":"6 * 7"}"#),
        ("call_b", "calculator", r#"{"expression":"one plus"}"#),
    ];
    server.answer(chat::fragments(answer, &calls).end("tool_calls", 1, 1));
    server.answer(chat::says(&["42."]));
    server.answer(chat::says(&["You asked for 42."]));
    let mut client = host.client().await;
    client.run("6 times 7?").await;
    client.run("What was it?").await;
    let messages = server.body(2)["messages"].as_array().unwrap().clone();
    let roles: Vec<_> = messages
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect();
    assert_eq!(
        roles,
        ["user", "assistant", "tool", "tool", "assistant", "user"]
    );
    assert_eq!(messages[1]["content"], "Let me see.");
    let mut results: Vec<_> = messages[2..4]
        .iter()
        .map(|message| message["content"].clone())
        .collect();
    results.sort_by_key(|result| result.to_string());
    assert_eq!(results[0], "42");
    assert_eq!(messages[4], json!({"role": "assistant", "content": "42."}));
    assert_eq!(messages[5]["content"], "What was it?");
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_turns_are_sent() {
    let (server, host) = stage("max_history_turns = 2").await;
    let mut client = host.client().await;
    for turn in ["one", "two", "three"] {
        server.answer(chat::says(&[turn]));
        client.run(turn).await;
    }
    assert_eq!(
        server.body(2)["messages"],
        json!([
            {"role": "user", "content": "two"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "three"},
        ])
    );
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_turns_are_read_page_by_page() {
    let (server, host) = stage("").await;
    let mut client = host.client().await;
    for turn in 0..28 {
        let text = format!("turn {turn}");
        server.answer(chat::says(&[&text]));
        client.run(&text).await;
    }
    let messages = server.body(27)["messages"].as_array().unwrap().clone();
    let contents: Vec<_> = messages
        .iter()
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect();
    let expected: Vec<_> = (0..27)
        .flat_map(|turn| vec![format!("turn {turn}"); 2])
        .chain(["turn 27".to_owned()])
        .collect();
    assert_eq!(contents, expected);
    end(server, host, client).await;
}
