//! Frames that come while a run is being watched.

use roundhouse_tests::script::{delta, hold};
use roundhouse_tests::{Strings, TestHost, script, text_of};
use serde_json::json;

const BUSY: &str = "Agent is already running for this session.";

#[tokio::test(flavor = "multi_thread")]
async fn they_are_handled_in_order_after_the_run() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.begin(&script(&[hold()])).await;
    client.message("first").await;
    client.send_text("nonsense").await;
    client.send_text("{}").await;
    client.send_binary(b"binary").await;
    client.message("second").await;
    client
        .send(&json!({"type": "message", "content": "x", "images": ["%"]}))
        .await;
    client.message("third").await;
    client.taken().await;
    host.stop(session).await;
    client.expect(json!({"type": "stream_stopped"})).await;

    assert_eq!(text_of(&client.whole_run().await), "first ");
    client.expect_error("Invalid JSON").await;
    client
        .expect_error("Expected {type: 'message', content: '...'}")
        .await;
    client.expect_error("Invalid JSON").await;
    assert_eq!(text_of(&client.whole_run().await), "second ");
    client.expect_error("Image 1 is not valid base64.").await;
    assert_eq!(text_of(&client.whole_run().await), "third ");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_wait_and_the_next_is_told_at_once() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.begin(&script(&[hold()])).await;
    for number in 1..=16 {
        client.message(&format!("number {number}")).await;
    }
    client.message("one too many").await;
    client.expect_error(BUSY).await;
    // Whatever it is: it is not looked at.
    client.send_text("nonsense").await;
    client.expect_error(BUSY).await;
    client.send_binary(b"binary").await;
    client.expect_error(BUSY).await;
    host.stop(session).await;
    client.expect_kind("stream_stopped").await;
    for number in 1..=16 {
        let frames = client.whole_run().await;
        assert_eq!(text_of(&frames), format!("number {number} "));
    }
    // Room again.
    client.run("and on").await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_frame_makes_room_when_its_run_begins() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.begin(&script(&[hold()])).await;
    let again = script(&[delta("again"), hold()]);
    for _ in 0..16 {
        client.message(&again).await;
    }
    client.message("too many").await;
    client.expect_error(BUSY).await;
    host.stop(session).await;
    client.expect_kind("stream_stopped").await;
    client.expect_kind("stream_start").await;
    client.expect_kind("stream_delta").await;
    client.message("the last").await;
    client.message("too many").await;
    client.expect_error(BUSY).await;
    for _ in 0..15 {
        host.stop(session).await;
        client.expect_kind("stream_stopped").await;
        client.expect_kind("stream_start").await;
        client.expect_kind("stream_delta").await;
    }
    host.stop(session).await;
    client.expect_kind("stream_stopped").await;
    assert_eq!(text_of(&client.whole_run().await), "the last ");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_wait_on_an_attached_connection_too() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut first = host.idle(session).await;
    first.begin(&strings.content()).await;
    let puppet = strings.take().await;
    let mut second = host.connect(session).await;
    second.expect_kind("stream_start").await;
    second.message(&strings.content()).await;
    second.taken().await;
    puppet.finish("over").await;
    second.expect_kind("stream_end").await;
    second.expect(json!({"type": "session_sync"})).await;
    second.expect_kind("stream_start").await;
    strings.take().await.finish("next").await;
    let end = second.expect_kind("stream_end").await;
    assert_eq!(end.value()["content"], "next");
    host.shut_down([first, second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_dropped_with_their_connection() {
    let host = TestHost::start().await;
    let session = host.session().await;
    for how in ["close", "cut"] {
        let mut client = host.idle(session).await;
        client.begin(&script(&[delta(how), hold()])).await;
        client.message("waits in vain").await;
        client.taken().await;
        if how == "close" {
            client.close().await;
        } else {
            client.cut();
        }
        host.deserted().await;
        host.stop(session).await;
        host.quiet().await;
    }
    // Two runs, each of a user's turn and an answer.
    assert_eq!(host.history(session).await.len(), 4);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_that_wait_for_the_same_run_both_get_their_turn_or_an_answer() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut first = host.idle(session).await;
    first.begin(&script(&[hold()])).await;
    let mut second = host.connect(session).await;
    second.expect_kind("stream_start").await;
    first.message("of the first").await;
    second.message("of the second").await;
    first.taken().await;
    second.taken().await;
    host.stop(session).await;
    first.expect_kind("stream_stopped").await;
    second.expect_kind("stream_stopped").await;
    second.expect_kind("session_sync").await;
    // Whoever comes second finds the session busy, or free again.
    for (client, text) in [
        (&mut first, "of the first "),
        (&mut second, "of the second "),
    ] {
        let answer = client.next().await;
        if answer.kind() == "error" {
            assert_eq!(answer.value()["message"], BUSY);
        } else {
            assert_eq!(answer.kind(), "stream_start");
            assert_eq!(text_of(&client.rest_of_run().await), text);
        }
    }
    host.shut_down([first, second]).await;
}
