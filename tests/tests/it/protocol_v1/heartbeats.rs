//! Heartbeats: on every connection that is otherwise silent, from its own timer.

use std::time::{Duration, Instant};

use roundhouse_tests::script::{delta, hold, repeat};
use roundhouse_tests::{Client, TestHost, script, text_of};
use serde_json::json;

const OFTEN: &str = "heartbeat.interval = \"100ms\"";

async fn beats(client: &mut Client, count: usize) {
    for _ in 0..count {
        let frame = client.next_with_heartbeats().await;
        assert_eq!(*frame.value(), json!({"type": "heartbeat"}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_come_on_idle_connections_and_while_an_agent_is_silent() {
    let host = TestHost::with(OFTEN).await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    let begun = Instant::now();
    beats(&mut client, 3).await;
    assert!(
        begun.elapsed() >= Duration::from_millis(200),
        "{:?}",
        begun.elapsed()
    );

    client.begin(&script(&[delta("quiet now"), hold()])).await;
    client.expect_kind("stream_delta").await;
    beats(&mut client, 3).await;
    let mut attached = host.connect(session).await;
    attached.expect_kind("stream_start").await;
    assert_eq!(text_of(&attached.replay().await), "quiet now");
    beats(&mut attached, 3).await;
    host.stop(session).await;
    attached.until(|frame| frame.kind() == "session_sync").await;
    beats(&mut attached, 2).await;
    client.rest_of_run().await;
    beats(&mut client, 2).await;
    host.shut_down([client, attached]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_keeps_its_thread_busy_cannot_starve_them() {
    let host = TestHost::with(&format!("{OFTEN}\nstop.grace = \"200ms\"")).await;
    let session = host.session_with("puppet").await;
    let strings = roundhouse_tests::Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let file = host.path("enough");
    puppet.begin("block_thread", json!(file)).await;
    beats(&mut client, 4).await;
    std::fs::write(&file, "").unwrap();
    puppet.answer().await.unwrap();
    puppet.finish("").await;
    client.until(|frame| frame.kind() == "stream_end").await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_come_while_a_message_is_being_saved() {
    let host = TestHost::with(OFTEN).await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    // Far shorter than the host waits for its turn to write.
    let other = rusqlite::Connection::open(host.path("data/roundhouse.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    client.message(&script(&[delta("at last"), hold()])).await;
    beats(&mut client, 3).await;
    // One that comes now finds a run that is about to begin.
    let mut late = host.connect(session).await;
    beats(&mut late, 3).await;
    other.execute_batch("ROLLBACK").unwrap();
    for client in [&mut client, &mut late] {
        client.expect_kind("stream_start").await;
    }
    host.stop(session).await;
    client.rest_of_run().await;
    late.until(|frame| frame.kind() == "session_sync").await;
    host.shut_down([client, late]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn none_comes_while_other_frames_do() {
    let host = TestHost::with("heartbeat.interval = \"500ms\"").await;
    let mut client = host.client().await;
    client
        .begin("script:[{\"paced\":[30,0.05,{\"kind\":\"stream_delta\",\"delta\":\"x\"}]}]")
        .await;
    let (mut beats, mut longest, mut last) = (0, Duration::ZERO, Instant::now());
    loop {
        let frame = client.next_with_heartbeats().await;
        longest = longest.max(last.elapsed());
        last = Instant::now();
        beats += usize::from(frame.kind() == "heartbeat");
        if frame.ends_run() {
            break;
        }
    }
    // A machine that stood still for so long proves nothing.
    assert!(
        beats == 0 || longest > Duration::from_millis(250),
        "{beats}, {longest:?}"
    );
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_inside_a_replay() {
    // Every client makes sure of that; here heartbeats are due all the time.
    let host = TestHost::with("heartbeat.interval = \"1ms\"").await;
    let session = host.session().await;
    let mut first = host.idle(session).await;
    first
        .begin(&script(&[
            repeat(400, json!({"type": "own", "n": "{i}"})),
            hold(),
        ]))
        .await;
    first.until(|frame| frame.value()["n"] == "399").await;
    for _ in 0..30 {
        let mut client = host.connect(session).await;
        client.expect_kind("stream_start").await;
        assert_eq!(client.replay().await.len(), 400);
        beats(&mut client, 1).await;
        client.cut();
    }
    host.stop(session).await;
    first.expect_kind("stream_stopped").await;
    host.shut_down([first]).await;
}
