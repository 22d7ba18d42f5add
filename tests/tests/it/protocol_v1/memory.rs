//! What a run keeps in memory, however much it emits.

use std::time::Duration;

use roundhouse_host::session::TurnBody;
use roundhouse_tests::{Strings, TestHost};
use serde_json::json;

const LIMITS: &str = "limits = { slow_wait = 0, replay_seconds = 0, replay_bytes = \"1 MiB\", history_bytes = \"1 MiB\" }";

/// Bytes of a log at most: its records, its window of frames, and what its count may lag.
const BOUND: usize = (1 + 1) * 1024 * 1024 + 256 * 1024;

/// A run that emits many events of 2,000 bytes; the most that the logs had kept at any time.
async fn flood(
    host: &TestHost,
    puppet: &mut roundhouse_tests::Puppet,
    message: serde_json::Value,
) -> usize {
    const COUNT: u64 = 25_000;
    puppet.begin("repeat", json!([COUNT, message])).await;
    let watch = async {
        let mut most = 0;
        loop {
            most = most.max(host.host().registry.log_budget().used());
            tokio::select! {
                taken = puppet.answer() => {
                    assert_eq!(taken, Ok(json!(COUNT)));
                    return most;
                }
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
        }
    };
    watch.await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_bounded_with_nobody_watching() {
    let host = TestHost::with(LIMITS).await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    client.cut();
    host.deserted().await;
    for message in [
        json!({"type": "stream_delta", "delta": "x".repeat(2000)}),
        json!({"type": "own", "data": "x".repeat(2000)}),
    ] {
        let most = flood(&host, &mut puppet, message).await;
        assert!((256 * 1024..BOUND).contains(&most), "{most}");
    }
    puppet.finish("").await;
    host.quiet().await;
    // And given back; what was saved is bounded as well, and says so.
    roundhouse_tests::until("the log's end", || {
        host.host().registry.log_budget().used() == 0
    })
    .await;
    let history = host.history(session).await;
    let TurnBody::Assistant(turn) = &history[1].body else {
        panic!("{history:?}");
    };
    assert!(turn.truncated);
    let saved: usize = turn.records.iter().map(|record| record.json.len()).sum();
    assert!(saved <= 1024 * 1024, "{saved}");
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_bounded_with_a_client_that_has_stopped_reading() {
    let host = TestHost::with(LIMITS).await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host
        .connect_to(session)
        .receive_buffer(16 * 1024)
        .open()
        .await;
    client.expect_kind("session_sync").await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let message = json!({"type": "stream_delta", "delta": "x".repeat(2000)});
    let most = flood(&host, &mut puppet, message).await;
    assert!((1024 * 1024..BOUND).contains(&most), "{most}");
    puppet.finish("").await;
    host.quiet().await;
    client.cut();
    host.deserted().await;
    roundhouse_tests::until("the log's end", || {
        host.host().registry.log_budget().used() == 0
    })
    .await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_logs_together_are_bounded() {
    let toml = "limits = { slow_wait = 0, replay_seconds = 0, log_bytes = \"4 MiB\", replay_bytes = \"3 MiB\", history_bytes = \"1 MiB\" }";
    let host = TestHost::with(toml).await;
    let strings = Strings::new().await;
    let mut puppets = Vec::new();
    for _ in 0..4 {
        let session = host.session_with("puppet").await;
        let mut client = host.idle(session).await;
        client.begin(&strings.content()).await;
        client.close().await;
        puppets.push(strings.take().await);
    }
    let message = json!({"type": "stream_delta", "delta": "x".repeat(1000)});
    let mut most = 0;
    for _ in 0..40 {
        for puppet in &mut puppets {
            let taken = puppet.order("repeat", json!([200, message])).await;
            assert_eq!(taken, Ok(json!(200)));
            most = most.max(host.host().registry.log_budget().used());
        }
    }
    let limit = 4 * 1024 * 1024;
    assert!(most > limit / 2, "{most}");
    assert!(most <= limit + 4 * 256 * 1024, "{most}");
    for puppet in puppets {
        puppet.finish("").await;
    }
    host.quiet().await;
    host.shut_down([]).await;
}
