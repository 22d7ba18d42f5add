//! Tool calls: assembled from fragments, run through the host, their results and failures handed back.

use roundhouse_tests::model::chat;
use serde_json::{Value, json};

use super::stage::{all, end, kinds, last, stage};

/// The messages of a request from this place on.
fn from(body: &Value, index: usize) -> Vec<Value> {
    body["messages"].as_array().unwrap()[index..].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_fragments_is_run_and_its_result_handed_back() {
    let (server, host) = stage("").await;
    let answer = chat::begin().reasoning("A sum.").text("Let me see.");
    let args = r#"{"expression":"6 * 7"}"#;
    let answer = chat::fragments(answer, &[("call_a", "calculator", args)]);
    server.answer(answer.end("tool_calls", 20, 10));
    server.answer(
        chat::begin()
            .reasoning("Fine.")
            .text("It is ")
            .text("42.")
            .end("stop", 40, 4),
    );
    let mut client = host.client().await;
    let frames = client.run("6 times 7?").await;
    let expected = [
        "stream_start",
        "thinking_delta",
        "thinking_end",
        "stream_delta",
        "turn_thinking",
        "tool_started",
        "tool_call",
        "thinking_delta",
        "thinking_end",
        "stream_delta",
        "turn_thinking",
        "stream_end",
    ];
    assert_eq!(kinds(&frames), expected);
    let call = all(&frames, "tool_call")[0];
    assert_eq!(call["tool"], "calculator");
    assert_eq!(call["args"], json!({"expression": "6 * 7"}));
    assert_eq!(
        (&call["result"], &call["success"]),
        (&json!("42"), &json!(true))
    );
    let done = last(&frames);
    assert_eq!(done["content"], "Let me see.\n\nIt is 42.");
    assert_eq!(done["tool_call_count"], 1);
    assert_eq!(
        (&done["token_count"], &done["context_tokens"]),
        (&json!(14), &json!(44))
    );

    let tools = server.body(0)["tools"].clone();
    let names: Vec<_> = tools
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| &tool["function"]["name"])
        .collect();
    assert_eq!(
        names,
        [
            "calculator",
            "date_time",
            "uuid",
            "text_stats",
            "ask_helper",
            "ask_scripted"
        ]
    );
    assert_eq!(
        from(&server.body(1), 1),
        [
            json!({"role": "assistant", "content": "Let me see.", "tool_calls": [{
                "id": "call_a", "type": "function",
                "function": {"name": "calculator", "arguments": args},
            }]}),
            json!({"role": "tool", "tool_call_id": "call_a", "content": "42"}),
        ]
    );
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_calls_run_side_by_side_and_keep_their_order() {
    // The first waits for a stop, so that one after the other would never come to the second.
    let (server, host) = stage("").await;
    let calls = [
        (
            "call_a",
            "ask_scripted",
            r#"{"task":"script:[{\"wait_stop\":600}]"}"#,
        ),
        ("call_b", "calculator", r#"{"expression":"1 + 1"}"#),
    ];
    server.answer(chat::calls(&calls));
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.begin("go").await;
    // The second is done while the first still waits.
    let done = client.until(|frame| frame.kind() == "tool_call").await;
    assert_eq!(done.value()["tool"], "calculator");
    host.stop(session).await;
    client.until(|frame| frame.kind() == "stream_stopped").await;

    let calls = [
        ("call_a", "uuid", r#"{"count":2}"#),
        ("call_b", "calculator", r#"{"expression":"1 + 1"}"#),
        ("call_c", "calculator", r#"{"expression":"2 + 2"}"#),
    ];
    server.answer(chat::calls(&calls));
    server.answer(chat::says(&["done"]));
    client.run("again").await;
    let body = server.body(2);
    let results: Vec<_> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .take(3)
        .map(|message| message["tool_call_id"].as_str().unwrap())
        .collect();
    assert_eq!(results, ["call_c", "call_b", "call_a"]);
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_call_is_for_the_model_to_read() {
    let (server, host) = stage("").await;
    let calls = [
        ("call_a", "calculator", r#"{"expression": "#),
        ("call_b", "calculator", "[1]"),
        ("call_c", "calculator", r#"{"formula":"1"}"#),
        ("call_d", "calculator", r#"{"expression":"one plus"}"#),
        ("call_e", "no_such_tool", "{}"),
        ("call_f", "uuid", ""),
    ];
    server.answer(chat::calls(&calls));
    server.answer(chat::says(&["I see."]));
    let mut client = host.client().await;
    let frames = client.run("go").await;
    assert_eq!(last(&frames)["content"], "I see.");
    let shown: Vec<_> = all(&frames, "tool_call")
        .iter()
        .map(|call| call["success"] == true)
        .collect();
    assert_eq!(
        shown.iter().filter(|success| **success).count(),
        1,
        "{shown:?}"
    );
    assert_eq!(all(&frames, "tool_started").len(), 6);

    let results: Vec<String> = from(&server.body(1), 2)
        .iter()
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        results[0].starts_with("Error: The arguments are not JSON ("),
        "{}",
        results[0]
    );
    assert!(
        results[0].ends_with(r#"They were: {"expression": "#),
        "{}",
        results[0]
    );
    assert_eq!(
        results[1],
        "Error: The arguments must be a JSON object, and were: [1]"
    );
    assert!(
        results[2].starts_with("Error: The arguments of tool `calculator`"),
        "{}",
        results[2]
    );
    assert!(results[3].starts_with("Error: "), "{}", results[3]);
    assert!(
        results[4].starts_with("Error: There is no tool `no_such_tool`."),
        "{}",
        results[4]
    );
    assert_eq!(results[5].len(), 36, "{}", results[5]);
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_may_lack_places_and_ids() {
    let (server, host) = stage("").await;
    // As Ollama and others send them: whole, in one chunk.
    let whole = |expression: &str| {
        json!({"id": "", "function": {
            "name": "calculator", "arguments": {"expression": expression},
        }})
    };
    let answer = chat::begin().delta(&json!({"tool_calls": [whole("1 + 1"), whole("2 + 2")]}));
    server.answer(answer.end("stop", 1, 1));
    server.answer(chat::says(&["2 and 4"]));
    let mut client = host.client().await;
    let frames = client.run("go").await;
    let results: Vec<_> = all(&frames, "tool_call")
        .iter()
        .map(|call| call["result"].clone())
        .collect();
    assert_eq!(results.len(), 2);
    let results: Vec<_> = from(&server.body(1), 2)
        .iter()
        .map(|message| message["content"].clone())
        .collect();
    assert_eq!(results, ["2", "4"]);
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_never_answers_is_asked_only_so_often() {
    let (server, host) = stage("max_iterations = 2").await;
    for _ in 0..2 {
        server.answer(chat::calls(&[("call_a", "uuid", "{}")]));
    }
    let mut client = host.v2(host.session().await).await;
    let frames = client.run_v2("go").await;
    let error = all(&frames, "error")[0];
    assert_eq!(error["code"], "max_iterations");
    assert_eq!(
        error["message"],
        "The model was asked 2 times and has not come to an answer (max_iterations)."
    );
    assert_eq!(all(&frames, "tool_call").len(), 1);
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reasoning_is_sent_back_to_servers_that_want_it() {
    let (server, host) = stage("return_reasoning = true").await;
    let answer = chat::fragments(
        chat::begin().reasoning("A sum."),
        &[("call_a", "uuid", "{}")],
    );
    server.answer(answer.end("tool_calls", 1, 1));
    server.answer(chat::says(&["done"]));
    let mut client = host.client().await;
    client.run("go").await;
    assert_eq!(from(&server.body(1), 1)[0]["reasoning_content"], "A sum.");
    end(server, host, client).await;
}
