//! Older turns are summarised before the model's window is full.

use roundhouse_tests::model::{Answer, chat};
use serde_json::{Value, json};

use super::stage::{all, end, kinds, last, stage};

/// Compresses above 100 tokens, and keeps the latest question and answer.
const SETTINGS: &str = "max_context_tokens = 200\ncompress_above = 0.5\ncompress_keep_turns = 2\nsystem_prompt = \"Be kind.\"";

/// An answer that fills the window to this.
fn fills(text: &str, tokens: u64) -> Answer {
    chat::begin().text(text).end("stop", tokens - 1, 1)
}

fn messages(body: &Value) -> Vec<(String, String)> {
    let text = |message: &Value, key: &str| message[key].as_str().unwrap_or_default().to_owned();
    let messages = body["messages"].as_array().unwrap();
    messages
        .iter()
        .map(|message| (text(message, "role"), text(message, "content")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_in_a_turn_that_failed_counts() {
    let (server, host) = stage(SETTINGS).await;
    let mut client = host.client().await;
    server.answer(fills("One.", 50));
    client.run("first").await;
    server.answer(Answer::json(400, &json!({"error": {"message": "no"}})));
    let long = "much ".repeat(100);
    assert_eq!(last(&client.run(&long).await)["type"], "error");
    server.answer(chat::begin().text("Much was said.").end("stop", 30, 10));
    server.answer(fills("Three.", 60));
    let frames = client.run("third").await;
    assert_eq!(all(&frames, "context_compressed").len(), 1);
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_takes_their_place_and_stays() {
    let (server, host) = stage(SETTINGS).await;
    let mut client = host.client().await;
    server.answer(fills("One.", 50));
    server.answer(fills("Two.", 120));
    client.run("first").await;
    let frames = client.run("second").await;
    assert_eq!(last(&frames)["context_tokens"], 120);
    assert_eq!(last(&frames)["max_context_tokens"], 200);

    // Now it is over 100.
    server.answer(
        chat::begin()
            .text("The user said first.")
            .end("stop", 30, 10),
    );
    server.answer(fills("Three.", 60));
    let frames = client.run("third").await;
    assert_eq!(
        kinds(&frames),
        [
            "stream_start",
            "context_compressed",
            "stream_delta",
            "stream_end"
        ]
    );
    assert_eq!(
        all(&frames, "context_compressed")[0],
        &json!({
            "type": "context_compressed", "messages_before": 5, "messages_after": 4,
            "summary": "The user said first.",
        })
    );
    assert_eq!(last(&frames)["token_count"], 11);
    // What the summary is made of.
    let asked = server.body(2);
    assert_eq!(asked["tools"], Value::Null);
    assert_eq!(messages(&asked)[1].1, "User: first\n\nAssistant: One.\n\n");
    // What the model goes on with.
    let told = messages(&server.body(3));
    assert_eq!(
        told[0].1,
        "Be kind.\n\n# Summary of the conversation before the messages below\n\nThe user said first."
    );
    let rest: Vec<_> = told[1..].iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(rest, ["second", "Two.", "third"]);

    // The next run starts from it, and what is summarised next is added to it.
    server.answer(fills("Four.", 150));
    client.run("fourth").await;
    let told = messages(&server.body(4));
    assert!(told[0].1.ends_with("The user said first."), "{}", told[0].1);
    assert_eq!(told.len(), 6);
    server.answer(chat::says(&["First, second, third."]));
    server.answer(fills("Five.", 60));
    let frames = client.run("fifth").await;
    let compressed = all(&frames, "context_compressed")[0];
    assert_eq!(compressed["messages_before"], 8);
    assert_eq!(compressed["messages_after"], 4);
    let made_of = &messages(&server.body(5))[1].1;
    assert!(
        made_of.starts_with(
            "# Summary so far\n\nThe user said first.\n\n# What followed\n\nUser: second"
        ),
        "{made_of}"
    );
    let told = messages(&server.body(6));
    assert_eq!(told[1].1, "fourth");
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_happens_in_the_middle_of_a_run_as_well() {
    let (server, host) = stage(SETTINGS).await;
    let mut client = host.client().await;
    server.answer(fills("One.", 50));
    client.run("first").await;
    let call = [("call_a", "calculator", r#"{"expression":"1 + 1"}"#)];
    server.answer(chat::fragments(chat::begin(), &call).end("tool_calls", 120, 10));
    server.answer(chat::says(&["They said first."]));
    server.answer(fills("Two.", 60));
    let frames = client.run("second").await;
    assert_eq!(
        kinds(&frames),
        [
            "stream_start",
            "tool_started",
            "tool_call",
            "context_compressed",
            "stream_delta",
            "stream_end"
        ]
    );
    let told = messages(&server.body(3));
    let roles: Vec<_> = told.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool"]);
    end(server, host, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_summary_the_run_goes_on() {
    let (server, host) = stage(SETTINGS).await;
    let mut client = host.client().await;
    server.answer(fills("One.", 120));
    client.run("first").await;
    server.answer(Answer::json(400, &json!({"error": "no"})));
    server.answer(fills("Two.", 130));
    let frames = client.run("second").await;
    assert_eq!(
        kinds(&frames),
        ["stream_start", "stream_delta", "stream_end"]
    );
    assert_eq!(messages(&server.body(2)).len(), 4);
    end(server, host, client).await;
}
