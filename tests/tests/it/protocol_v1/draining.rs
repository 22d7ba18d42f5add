//! What clients see when the host ends.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use roundhouse_tests::script::{delta, hold};
use roundhouse_tests::{Close, Strings, TestHost, script, until};
use serde_json::json;

fn draining() -> Close {
    Close {
        code: 1012,
        reason: "retry_ms=1000".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_in_progress_get_time_and_new_messages_an_answer() {
    let mut host = TestHost::with_drain("", Duration::from_secs(60)).await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut watching = host.idle(session).await;
    watching.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let mut idle = host.idle(host.session().await).await;

    host.tell_to_end();
    until("the drain", || host.host().registry.is_draining()).await;
    for _ in 0..2 {
        idle.message("too late").await;
        idle.expect_error("Server is shutting down.").await;
    }
    // Faults of the message itself come first, as ever.
    idle.send_text("nonsense").await;
    idle.expect_error("Invalid JSON").await;
    watching.message("too late as well").await;
    watching.taken().await;
    puppet.delta("still running").await;
    watching
        .expect(json!({"type": "stream_delta", "delta": "still running"}))
        .await;
    // Whoever was cut off may come back for the rest.
    let mut back = host.connect(session).await;
    back.expect_kind("stream_start").await;
    back.replay().await;
    puppet.finish("done in time").await;

    let end = watching.expect_kind("stream_end").await;
    assert_eq!(end.value()["content"], "done in time");
    watching.expect_error("Server is shutting down.").await;
    assert_eq!(watching.closed().await, draining());
    assert_eq!(idle.closed().await, draining());
    back.expect_kind("stream_end").await;
    back.expect_kind("session_sync").await;
    assert_eq!(back.closed().await, draining());
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_longer_is_stopped_and_saved() {
    let mut host = TestHost::with_drain("", Duration::from_millis(100)).await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.begin(&script(&[delta("half"), hold()])).await;
    client.expect_kind("stream_delta").await;
    host.tell_to_end();
    client.expect_kind("stream_stopped").await;
    assert_eq!(client.closed().await, draining());
    let folder = host.leave_folder([]).await;

    let host = TestHost::in_folder(folder, "", Duration::ZERO).await;
    let runs = host.runs(session).await;
    assert_eq!(runs[0].status.as_str(), "stopped");
    let client = host.idle(session).await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_are_not_sent_away_to_come_back_at_the_same_moment() {
    let mut host = TestHost::with("server.drain_spread = \"300ms\"").await;
    let session = host.session().await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        clients.push(host.idle(session).await);
    }
    host.tell_to_end();
    // 200 clients: a fifth of a second.
    let closed = clients.iter_mut().map(async |client| {
        let close = client.closed().await;
        (close, Instant::now())
    });
    let closed = join_all(closed).await;
    let mut retries = BTreeSet::new();
    for (close, _) in &closed {
        assert_eq!(close.code, 1012);
        let retry = close.reason.strip_prefix("retry_ms=");
        let retry: u64 = retry.and_then(|ms| ms.parse().ok()).unwrap();
        assert!((1000..=1200).contains(&retry), "{retry}");
        retries.insert(retry);
    }
    assert!(retries.len() > 20, "{retries:?}");
    let moments = closed.iter().map(|(_, at)| *at);
    let (first, last) = (moments.clone().min().unwrap(), moments.max().unwrap());
    assert!(
        last - first > Duration::from_millis(50),
        "{:?}",
        last - first
    );
    host.shut_down([]).await;
}
