//! Deleting a session under its clients.

use std::time::{Duration, Instant};

use roundhouse_host::session::Owner;
use roundhouse_tests::{Close, Strings, TestHost, script, script::hold};
use serde_json::{Value, json};

fn not_found() -> Close {
    Close {
        code: 4004,
        reason: "Session not found".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_progress_is_stopped_and_everybody_told() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut idle = host.idle(session).await;
    let mut first = host.idle(session).await;
    first.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    puppet.delta("a").await;
    let mut second = host.connect(session).await;
    second.expect_kind("stream_start").await;
    second.replay().await;
    first.expect_kind("stream_delta").await;
    // It would begin a run as soon as this one is over.
    first.message(&strings.content()).await;
    first.taken().await;

    puppet.begin("wait_stop", Value::Null).await;
    let delete = {
        let rest = host.rest();
        tokio::spawn(async move { rest.delete(&format!("/sessions/{session}")).await })
    };
    // The agent is asked to stop like any other.
    puppet.answer().await.unwrap();
    puppet.begin("finish", json!({"content": "in vain"})).await;
    let answer = delete.await.unwrap();
    assert_eq!(answer.status, 204);

    first.expect_error("Session not found").await;
    // The answer to what waited.
    first.expect_error("Session not found").await;
    assert_eq!(first.closed().await, not_found());
    assert!(
        !strings.are_pulled().await,
        "a run began in a session that is being deleted"
    );
    second.expect_error("Session not found").await;
    let (rest, close) = second.rest().await;
    assert!(
        rest.iter().all(|frame| frame.kind() == "session_sync"),
        "{rest:?}"
    );
    assert_eq!(close, not_found());
    assert_eq!(idle.closed().await, not_found());

    // It is gone with everything in it.
    let store = &host.host().store;
    assert!(store.get(&Owner::local(), session).await.is_err());
    assert_eq!(
        host.rest()
            .get(&format!("/sessions/{session}/messages"))
            .await
            .status,
        404
    );
    assert_eq!(host.connect(session).await.closed().await, not_found());
    let none = host.rest().stop(session).await;
    assert_eq!(none.body, json!({"ok": false, "reason": "no active run"}));
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_stop_is_waited_for_no_longer_than_the_grace() {
    let host = TestHost::with("stop.grace = \"300ms\"").await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let file = host.path("enough");
    puppet.begin("block", json!(file)).await;
    let begun = Instant::now();
    host.delete(session).await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    client.expect_error("Session not found").await;
    assert_eq!(client.closed().await, not_found());
    std::fs::write(file, "").unwrap();
    puppet.gone().await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_deletions_in_the_middle_of_everything() {
    let host = TestHost::start().await;
    for round in 0..20 {
        let session = host.session().await;
        let mut client = host.idle(session).await;
        let steps = match round % 4 {
            0 => script(&[hold()]),
            1 => "ends by itself".to_owned(),
            2 => script(&[json!({"paced": [100, 0.001, {"kind": "stream_delta", "delta": "x"}]})]),
            _ => script(&[json!({"raise": ["agent", "own words"]})]),
        };
        client.message(&steps).await;
        if round % 3 == 0 {
            client.expect_kind("stream_start").await;
        }
        host.delete(session).await;
        // Whatever it had seen by then: the order is watched over, and this is the end.
        let (_, close) = client.rest().await;
        assert_eq!(close, not_found());
    }
    assert_eq!(
        host.rest().get("/sessions").await.body["sessions"],
        json!([])
    );
    host.shut_down([]).await;
}
