//! The same loop over the Responses API.

use roundhouse_tests::model::Answer;
use roundhouse_tests::model::responses::Response;
use roundhouse_tests::text_of;
use serde_json::{Value, json};

use super::stage::{all, end, kinds, last, stage};

const SETTINGS: &str = "api = \"responses\"\nsystem_prompt = \"Be kind.\"";

fn says(text: &str) -> Answer {
    Response::new().text(&[text]).end(10, 5)
}

#[tokio::test(flavor = "multi_thread")]
async fn reasoning_calls_and_text_make_a_run() {
    let (server, host) = stage(SETTINGS).await;
    let args = r#"{"expression":"6 * 7"}"#;
    let first = Response::new()
        .reasoning(&[["A ", "sum."], ["Two ", "factors."]], Some("opaque"))
        .text(&["Let me ", "see."])
        .call("call_a", "calculator", args)
        .call("call_b", "calculator", r#"{"expression":"1 + 1"}"#)
        .end(20, 10);
    server.answer(first.in_pieces_of(7));
    server.answer(
        Response::new()
            .text(&["42 – ", "done 🚂"])
            .end(40, 4)
            .in_pieces_of(1),
    );
    let mut client = host.client().await;
    let frames = client.run("6 times 7?").await;
    let kinds = kinds(&frames);
    assert_eq!(
        kinds[..5],
        [
            "stream_start",
            "thinking_delta",
            "thinking_end",
            "stream_delta",
            "turn_thinking"
        ]
    );
    assert_eq!(
        all(&frames, "turn_thinking")[0]["thinking"],
        "A sum.\n\nTwo factors."
    );
    assert_eq!(all(&frames, "tool_call").len(), 2);
    let done = last(&frames);
    assert_eq!(done["content"], "Let me see.\n\n42 – done 🚂");
    assert_eq!(
        (&done["token_count"], &done["context_tokens"]),
        (&json!(14), &json!(44))
    );

    let asked = server.asked();
    assert_eq!(asked[0].path, "/v1/responses");
    assert_eq!(asked[0].body["instructions"], "Be kind.");
    assert_eq!(asked[0].body["store"], false);
    assert_eq!(
        asked[0].body["input"],
        json!([{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "6 times 7?"}]}])
    );
    let input = asked[1].body["input"].as_array().unwrap();
    let kinds: Vec<_> = input
        .iter()
        .map(|item| item["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "message",
            "reasoning",
            "message",
            "function_call",
            "function_call",
            "function_call_output",
            "function_call_output"
        ]
    );
    assert_eq!(input[1]["encrypted_content"], "opaque");
    assert_eq!(input[3]["arguments"], args);
    assert_eq!(
        input[5],
        json!({"type": "function_call_output", "call_id": "call_a", "output": "42"})
    );
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told_as_with_the_other_api() {
    let (server, host) = stage(SETTINGS).await;
    let failed = json!({"type": "response.failed", "response": {
        "status": "failed", "error": {"code": "invalid_prompt", "message": "Not this"},
    }});
    let incomplete = |reason: &str| {
        json!({"type": "response.incomplete", "response": {
            "status": "incomplete", "incomplete_details": {"reason": reason}, "output": [],
        }})
    };
    let so_far = || Response::new().text(&["So far"]);
    server.answer(so_far().event(failed).so_far());
    server.answer(
        so_far()
            .event(json!({"type": "error", "code": "oops", "message": "Worse"}))
            .so_far(),
    );
    server.answer(so_far().event(incomplete("content_filter")).so_far());
    server.answer(so_far().so_far());
    let mut client = host.client().await;
    for expected in [
        "The model's server reported an error: Not this",
        "The model's server reported an error: Worse",
        "The model's answer was withheld (content_filter).",
        "The model's answer ended before it was complete.",
    ] {
        let frames = client.run("hi").await;
        assert_eq!(text_of(&frames), "So far");
        assert_eq!(last(&frames)["message"], expected);
    }
    // An answer that was cut is an answer.
    server.answer(so_far().event(incomplete("max_output_tokens")).so_far());
    assert_eq!(last(&client.run("hi").await)["content"], "So far");
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_before_any_answer_is_repeated() {
    let (server, host) = stage(SETTINGS).await;
    server.answer(Answer::json(500, &json!({"error": {"message": "Oh no"}})));
    let failed = json!({"type": "response.failed", "response": {
        "error": {"code": "server_error", "message": "Oh no"},
    }});
    server.answer(Response::new().event(failed).so_far());
    server.answer(says("yes"));
    let mut client = host.client().await;
    assert_eq!(last(&client.run("hi").await)["content"], "yes");
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_one_piece_is_one() {
    let (server, host) = stage(SETTINGS).await;
    let whole = |output: Value| {
        let usage = json!({"input_tokens": 2, "output_tokens": 3, "total_tokens": 5});
        Answer::json(
            200,
            &json!({"object": "response", "status": "completed", "output": output, "usage": usage}),
        )
    };
    server.answer(whole(json!([
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Easy."}]},
        {"type": "function_call", "id": "fc_1", "call_id": "call_a", "name": "uuid", "arguments": "{}"},
    ])));
    let text = json!([{"type": "output_text", "text": "At once.", "annotations": []}]);
    server.answer(whole(
        json!([{"type": "message", "role": "assistant", "content": text}]),
    ));
    let mut client = host.client().await;
    let frames = client.run("hi").await;
    assert_eq!(last(&frames)["content"], "At once.");
    assert_eq!(last(&frames)["token_count"], 6);
    assert_eq!(all(&frames, "tool_call").len(), 1);
    assert_eq!(all(&frames, "turn_thinking")[0]["thinking"], "Easy.");
    // Reasoning that the server cannot read again is not sent back.
    let input = server.body(1)["input"].clone();
    assert!(
        input
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["type"] != "reasoning")
    );
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_there_as_well() {
    let (server, host) = stage(SETTINGS).await;
    server.answer(Response::new().call("call_a", "uuid", "{}").end(1, 1));
    server.answer(says("A name."));
    server.answer(says("Again."));
    let mut client = host.client().await;
    client.run("a name").await;
    client.run("another").await;
    let input = server.body(2)["input"].clone();
    let kinds: Vec<_> = input
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "message",
            "function_call",
            "function_call_output",
            "message",
            "message"
        ]
    );
    assert_eq!(
        input[3]["content"],
        json!([{"type": "output_text", "text": "A name."}])
    );
    end(server, host, client).await;
}
