//! Errors, for programs: each code that there is, as an answer and as a run's end.

use std::time::Duration;

use roundhouse_tests::script::hold;
use roundhouse_tests::{Client, Position, Strings, TestHost, script};
use serde_json::{Value, json};

use super::{begin_held, ended};

const ID: &str = "5e2f3a52-0c1b-4b60-9d43-1d7a3e1f7a11";

/// The answer to a frame that is refused with this code.
fn refused(code: &str, retryable: bool, text: &str) -> Value {
    json!({"type": "error", "message": text, "code": code, "retryable": retryable})
}

fn with_id(mut answer: Value) -> Value {
    answer["id"] = ID.into();
    answer
}

async fn answer_to(client: &mut Client, text: &str) -> Value {
    client.send_text(text).await;
    client.answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message() {
    let host = TestHost::start().await;
    let mut client = host.v2(host.session().await).await;
    let json = refused("invalid_json", false, "Invalid JSON");
    for text in ["", "nonsense", "{", "{\"type\":\"message\"}x"] {
        assert_eq!(answer_to(&mut client, text).await, json, "{text}");
    }
    client.send_binary(b"{}").await;
    assert_eq!(client.answer().await, json);
    let message = refused(
        "invalid_message",
        false,
        "Expected {type: 'message', content: '...'}",
    );
    for text in [
        "[]",
        "7",
        "{}",
        r#"{"type":"nonsense"}"#,
        r#"{"type":"message"}"#,
        r#"{"type":"message","content":""}"#,
    ] {
        assert_eq!(answer_to(&mut client, text).await, message, "{text}");
    }
    // With the id of the message, as far as it can be read.
    let text = json!({"type": "message", "id": ID}).to_string();
    assert_eq!(answer_to(&mut client, &text).await, with_id(message));
    client.run_v2("works").await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_and_files_that_are_refused() {
    let host = TestHost::with(
        "limits.images = 2\nlimits.image_bytes = \"1 KiB\"\nlimits.images_total_bytes = \"1 KiB\"",
    )
    .await;
    let mut client = host.v2(host.session().await).await;
    let gif = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
    let large = format!("R0lGODlh{}", "A".repeat(2000));
    let half = format!("R0lGODlh{}", "A".repeat(800));
    for (key, value, code, text) in [
        (
            "images",
            json!([gif, gif, gif]),
            "too_many_images",
            "Too many images (3). Max 2 allowed.",
        ),
        (
            "images",
            json!([large]),
            "image_too_large",
            "Image exceeds 0 MB limit.",
        ),
        (
            "images",
            json!([half, half]),
            "image_too_large",
            "Images exceed 0 MB in total.",
        ),
        (
            "images",
            json!([gif, "?"]),
            "invalid_image",
            "Image 2 is not valid base64.",
        ),
        (
            "images",
            json!(["AAAA"]),
            "invalid_image",
            "Image 1 is not PNG, JPEG, GIF or WebP.",
        ),
        (
            "files",
            json!([{"name": "passwd", "path": "/etc/passwd"}]),
            "invalid_file",
            "File 1 is not an upload of this session.",
        ),
    ] {
        let message = json!({"type": "message", "content": "a", "id": ID, key: value});
        assert_eq!(
            client.ask(&message).await,
            with_id(refused(code, false, text))
        );
    }
    let message = json!({"type": "message", "content": "a", "id": ID, "images": [gif]});
    assert_eq!(client.ask(&message).await["status"], "accepted");
    client.whole_run().await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_over_the_limit() {
    let host = TestHost::with(
        "limits.frame_bytes = \"64 KiB\"\nlimits.image_bytes = \"1 KiB\"\nlimits.images_total_bytes = \"2 KiB\"",
    )
    .await;
    let mut client = host.v2(host.session().await).await;
    let text = json!({"type": "message", "content": "x".repeat(100_000)}).to_string();
    client.send_too_much(&text).await;
    let answer = client.answer().await;
    assert_eq!(
        answer,
        refused("message_too_large", false, "Message exceeds 0.06 MB limit.")
    );
    assert_eq!(client.closed().await.code, 1009);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_run() {
    let host = TestHost::with("limits.run_seconds = 1").await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let raise = |kind: &str| vec![json!({"raise": [kind, "words"]})];
    for (steps, code, retryable, text) in [
        (raise("agent"), "agent", false, "words"),
        (raise("max_iterations"), "max_iterations", false, "words"),
        (
            raise("not_found"),
            "session_not_found",
            false,
            "Session not found",
        ),
        (
            raise("internal"),
            "internal",
            false,
            "Internal error: words",
        ),
        (vec![hold()], "run_timeout", true, "Run exceeded 1 seconds."),
    ] {
        let frames = client.run_v2(&script(&steps)).await;
        let mut expected = refused(code, retryable, text);
        expected["run_id"] = frames[0].value()["run_id"].clone();
        expected["seq"] = frames[0].seq().map(|seq| seq + 1).into();
        assert_eq!(*frames[1].value(), expected);
        assert_eq!(frames.len(), 3);
    }
    let frames = client
        .run_v2(&script(&[json!({"panic": "out of the blue"})]))
        .await;
    assert_eq!(frames[frames.len() - 2].text_at("code"), "internal");
    // An error that ends a run is everybody's, and is replayed; an answer is its sender's.
    let (other, greeting) = host.resume(session, &Position::new("other", 0)).await;
    assert_eq!(greeting.replay, frames);
    host.shut_down([client, other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_to_its_sender_alone() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let mut other = host.v2(session).await;
    begin_held(&mut client, "a").await;
    for text in [
        "nonsense",
        r#"{"type":"stop","run_id":"0199c3a2-5b7e-7cc0-8f35-6f1c1d2c9a10"}"#,
    ] {
        answer_to(&mut client, text).await;
    }
    let message = json!({"type": "message", "content": "b", "id": ID});
    assert_eq!(client.ask(&message).await["code"], "busy");
    host.stop(session).await;
    assert_eq!(ended(&mut client).await, "stopped");
    let kinds: Vec<_> = other
        .whole_run()
        .await
        .iter()
        .map(|frame| frame.kind().to_owned())
        .collect();
    assert_eq!(
        kinds,
        [
            "stream_start",
            "stream_delta",
            "stream_stopped",
            "stream_end"
        ]
    );
    // Nor is it replayed.
    let (third, greeting) = host.resume(session, &Position::new("other", 0)).await;
    assert_eq!(greeting.replay.len(), 4);
    host.shut_down([client, other, third]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_cannot_answer() {
    let with = "[agents.extra]\ncomponent = \"scripted/scripted\"\n";
    let host = TestHost::with(with).await;
    let session = host.session_with("extra").await;
    let folder = host.leave_folder([]).await;
    let host = TestHost::in_folder(folder, "", Duration::ZERO).await;
    let mut client = host.v2(session).await;
    for on_busy in ["reject", "enqueue", "interrupt"] {
        let message = json!({"type": "message", "content": "a", "id": ID, "on_busy": on_busy});
        let text = "Agent `extra` is not configured.";
        assert_eq!(
            client.ask(&message).await,
            with_id(refused("agent_unavailable", true, text))
        );
    }
    // Which left no trace.
    assert!(host.history(session).await.is_empty());
    assert_eq!(client.position().seq, 0);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_shuts_down() {
    let mut host = TestHost::with_drain("", Duration::from_secs(60)).await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.v2(session).await;
    let taken = json!({"type": "message", "content": strings.content(), "id": ID});
    let run = client.ask(&taken).await["run_id"].clone();
    let mut puppet = strings.take().await;
    let mut idle = host.v2(host.session().await).await;
    host.tell_to_end();
    roundhouse_tests::until("the drain", || host.host().registry.is_draining()).await;
    let draining = refused("draining", true, "Server is shutting down.");
    let message = json!({"type": "message", "content": "b"});
    assert_eq!(idle.ask(&message).await, draining);
    for on_busy in ["enqueue", "interrupt"] {
        let message = json!({"type": "message", "content": "b", "on_busy": on_busy});
        let answer = client.ask(&message).await;
        assert_eq!(answer["code"], "draining", "{answer}");
    }
    // What was taken before is known, and the run goes on to its end.
    let again = client.ask(&taken).await;
    assert_eq!(
        (&again["state"], &again["run_id"]),
        (&json!("running"), &run)
    );
    puppet.delta("still here").await;
    puppet.finish("").await;
    assert_eq!(ended(&mut client).await, "completed");
    for client in [&mut client, &mut idle] {
        let close = client.closed().await;
        assert_eq!((close.code, close.reason.as_str()), (1012, "retry_ms=1000"));
    }
    host.shut_down([]).await;
}
