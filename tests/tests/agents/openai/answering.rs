//! Text and reasoning, and what the model is told of a message.

use roundhouse_tests::model::{Answer, KEY, chat};
use roundhouse_tests::{ModelServer, TestHost, text_of};
use serde_json::json;

use super::stage::{all, config, end, kinds, last, stage};

/// One transparent pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const GIF: &str = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";

#[tokio::test(flavor = "multi_thread")]
async fn text_is_streamed_as_it_comes() {
    let (server, host) = stage("system_prompt = \"Be kind.\"\nmax_context_tokens = 1000").await;
    let (answer, gate) = chat::begin().text("Hello ").gate();
    server.answer(answer.text("world").end("stop", 10, 5));
    let mut client = host.client().await;
    client.begin("hi").await;
    let first = client.expect_kind("stream_delta").await;
    assert_eq!(first.delta(), Some("Hello "));
    gate.open();
    let frames = client.rest_of_run().await;
    assert_eq!(text_of(&frames), "world");
    let end_frame = last(&frames);
    assert_eq!(end_frame["content"], "Hello world");
    assert_eq!(end_frame["token_count"], 5);
    assert_eq!(end_frame["context_tokens"], 15);
    assert_eq!(end_frame["max_context_tokens"], 1000);

    let asked = &server.asked()[0];
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(asked.headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(asked.body["model"], "test-model");
    assert_eq!(asked.body["stream_options"], json!({"include_usage": true}));
    assert_eq!(
        asked.body["messages"],
        json!([
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "hi"},
        ])
    );
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_may_be_cut_anywhere() {
    let (server, host) = stage("").await;
    let text = "Grüße, 世界 🚂!";
    let answer = chat::begin()
        .comment("keep-alive")
        .reasoning("hm — 🤔")
        .comment("OPENROUTER PROCESSING")
        .text(text)
        .end("stop", 1, 1);
    server.answer(answer.in_pieces_of(1));
    let mut client = host.client().await;
    let frames = client.run("hi").await;
    assert_eq!(text_of(&frames), text);
    assert_eq!(all(&frames, "turn_thinking")[0]["thinking"], "hm — 🤔");
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_may_end_in_any_way() {
    let (server, host) = stage("").await;
    let delta = |text: &str| chat::chunk(&json!({"content": text}));
    let answer = Answer::stream()
        .bytes(format!("\u{feff}data: {}\r\n\r\n", delta("a")))
        .bytes("retry: 100\nevent: ping\n\n")
        .bytes(format!("id: 7\rdata:{}\r\r", delta("b")))
        .data(&chat::finish("stop"));
    // No usage, no [DONE].
    server.answer(answer);
    let mut client = host.client().await;
    let frames = client.run("hi").await;
    assert_eq!(text_of(&frames), "ab");
    assert_eq!(last(&frames)["token_count"], 0);
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reasoning_is_shown_and_then_told_as_a_whole() {
    let (server, host) = stage("").await;
    for key in ["reasoning_content", "reasoning"] {
        let answer = chat::begin()
            .delta(&json!({key: "Let me "}))
            .delta(&json!({key: "think."}))
            .text("Yes.");
        server.answer(answer.end("stop", 1, 1));
    }
    let mut client = host.client().await;
    for _ in 0..2 {
        let frames = client.run("well?").await;
        let expected = [
            "stream_start",
            "thinking_delta",
            "thinking_end",
            "stream_delta",
            "turn_thinking",
            "stream_end",
        ];
        assert_eq!(kinds(&frames), expected);
        let turn = all(&frames, "turn_thinking")[0];
        assert_eq!(
            (&turn["thinking"], &turn["is_subagent"]),
            (&json!("Let me think."), &json!(false))
        );
        assert_eq!(last(&frames)["content"], "Yes.");
    }
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_parts_of_the_message() {
    // Room for those of one turn.
    let (server, host) = stage("max_history_images = 1").await;
    for answer in ["A pixel.", "The same.", "Another.", "Yes."] {
        server.answer(chat::says(&[answer]));
    }
    let mut client = host.client().await;
    client
        .send(&json!({"type": "message", "content": "What is it?", "images": [PNG]}))
        .await;
    client.whole_run().await;
    let content = server.body(0)["messages"][0]["content"].clone();
    assert_eq!(content[0]["type"], "text");
    let text = content[0]["text"].as_str().unwrap();
    assert!(
        text.starts_with("What is it?\n\n[1 image attached"),
        "{text}"
    );
    assert_eq!(
        content[1],
        json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}})
    );
    // It stays where it was.
    client.run("And now?").await;
    assert_eq!(server.body(1)["messages"][0]["content"], content);
    client
        .send(&json!({"type": "message", "content": "And this?", "images": [GIF]}))
        .await;
    client.whole_run().await;
    // Its place is another's now, and the model is not told that it were there.
    client.run("Is it?").await;
    let messages = server.body(3)["messages"].clone();
    assert_eq!(
        messages[0]["content"],
        "What is it?\n\n[1 image came with this message; not shown again.]"
    );
    assert_eq!(
        messages[4]["content"][1]["image_url"]["url"],
        format!("data:image/gif;base64,{GIF}")
    );
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_was_refused_twice_is_not_sent_again() {
    let (server, host) = stage("max_retries = 0").await;
    let mut client = host.client().await;
    let refused = json!({"error": {"message": "image input is not supported"}});
    for _ in 0..2 {
        server.answer(Answer::json(500, &refused));
    }
    client
        .send(&json!({"type": "message", "content": "What is it?", "images": [PNG]}))
        .await;
    client.whole_run().await;
    client.run("Again, please.").await;
    assert!(server.body(1)["messages"][0]["content"][1].is_object());
    server.answer(chat::says(&["Yes."]));
    client.run("And without?").await;
    assert_eq!(
        server.body(2)["messages"][0]["content"],
        "What is it?\n\n[1 image came with this message; not shown again.]"
    );
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_keys_and_headers_of_the_operators_are_sent() {
    let settings =
        "parameters = { temperature = 0.5, stop = [\"x\"] }\nheaders = { \"X-Title\" = \"mine\" }";
    let (server, host) = stage(settings).await;
    server.answer(chat::says(&["yes"]));
    let mut client = host.client().await;
    client.run("hi").await;
    let asked = &server.asked()[0];
    assert_eq!(asked.body["temperature"], 0.5);
    assert_eq!(asked.body["stop"], json!(["x"]));
    assert_eq!(asked.headers["x-title"], "mine");
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_may_be_in_a_file() {
    let server = ModelServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), format!("{KEY}\n")).unwrap();
    let toml = config(&server, "", "").replacen(&format!("\"{KEY}\""), "{ file = \"key\" }", 1);
    let host = TestHost::in_folder(folder, &toml, std::time::Duration::ZERO).await;
    server.answer(chat::says(&["yes"]));
    let mut client = host.client().await;
    assert_eq!(last(&client.run("hi").await)["content"], "yes");
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_stream_answers_all_the_same() {
    let (server, host) = stage("").await;
    let whole = json!({"object": "chat.completion", "choices": [{
        "index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "At once.", "reasoning_content": "Easy."},
    }], "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}});
    server.answer(Answer::json(200, &whole));
    let mut client = host.client().await;
    let frames = client.run("hi").await;
    assert_eq!(last(&frames)["content"], "At once.");
    assert_eq!(last(&frames)["token_count"], 3);
    assert_eq!(all(&frames, "turn_thinking")[0]["thinking"], "Easy.");
    end(server, host, client).await;
}
