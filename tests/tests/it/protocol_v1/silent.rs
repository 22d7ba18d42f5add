//! Clients of which nothing is heard.

use std::time::{Duration, Instant};

use roundhouse_tests::{TestHost, text_of};

/// A heartbeat shows that time goes by.
const SOON: &str = r#"
[heartbeat]
interval = "100ms"
ping = "100ms"
pong_deadline = "200ms"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_answer_a_ping_is_given_up() {
    let host = TestHost::with(SOON).await;
    let begun = Instant::now();
    // Its library answers when it is read from, which nobody does.
    let client = host.client().await;
    host.deserted().await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    client.cut();
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_library_answers_pings_stays() {
    let host = TestHost::with(SOON).await;
    let mut client = host.client().await;
    for _ in 0..10 {
        let frame = client.next_with_heartbeats().await;
        assert_eq!(frame.kind(), "heartbeat");
    }
    assert_eq!(text_of(&client.run("here").await), "here ");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_pings_silence_does_not_matter() {
    let host = TestHost::with(&SOON.replace("ping = \"100ms\"", "ping = 0")).await;
    let mut client = host.client().await;
    let other = TestHost::with(SOON).await;
    let silent = other.client().await;
    // So long that another would have been given up.
    other.deserted().await;
    assert_eq!(text_of(&client.run("here").await), "here ");
    silent.cut();
    other.shut_down([]).await;
    host.shut_down([client]).await;
}
