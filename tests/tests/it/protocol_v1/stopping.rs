//! Stopping a run, and what becomes of an agent that does not listen.

use std::time::{Duration, Instant};

use roundhouse_host::session::{RunStatus, SessionId, TurnBody};
use roundhouse_tests::script::{delta, hold};
use roundhouse_tests::{Answer, Client, Puppet, Strings, TestHost, script, text_of, until};
use serde_json::{Value, json};

fn ok() -> Answer {
    Answer {
        status: 200,
        body: json!({"ok": true}),
    }
}

fn no_run() -> Answer {
    Answer {
        status: 200,
        body: json!({"ok": false, "reason": "no active run"}),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_says_whether_there_is_a_run() {
    let host = TestHost::start().await;
    let rest = host.rest();
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    assert_eq!(rest.stop(session).await, no_run());
    assert_eq!(rest.stop(SessionId::new()).await, no_run());
    assert_eq!(rest.stop("nonsense").await, no_run());

    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    for _ in 0..3 {
        assert_eq!(rest.stop(session).await, ok());
    }
    puppet.order("wait_stop", Value::Null).await.unwrap();
    // Asked to stop and still there: a run is registered.
    assert_eq!(rest.stop(session).await, ok());
    puppet.begin("stop", json!({})).await;
    client.expect(json!({"type": "stream_stopped"})).await;
    assert_eq!(rest.stop(session).await, no_run());
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_sees_it_and_goes_on_until_it_returns() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    assert_eq!(
        puppet.order("is_stopped", Value::Null).await,
        Ok(json!(false))
    );
    puppet.begin("wait_stop", Value::Null).await;
    host.stop(session).await;
    puppet.answer().await.unwrap();
    assert_eq!(
        puppet.order("is_stopped", Value::Null).await,
        Ok(json!(true))
    );
    puppet.delta("tidying up").await;
    puppet.begin("stop", json!({"content": "tidied up"})).await;
    let rest = client.rest_of_run().await;
    assert_eq!(text_of(&rest), "tidying up");
    assert_eq!(rest[1].kind(), "stream_stopped");
    host.shut_down([client]).await;
}

/// A run whose agent does not listen to a stop; `file` would end what it does.
async fn deaf(host: &TestHost, client: &mut Client, order: &str) -> (Puppet, std::path::PathBuf) {
    let strings = Strings::new().await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    puppet.delta("before").await;
    let file = host.path("enough");
    puppet
        .order(
            "later",
            json!({
                "file": file,
                "event": {"type": "stream_delta", "delta": "too late"},
                "report": host.path("report"),
            }),
        )
        .await
        .unwrap();
    puppet.begin(order, json!(file)).await;
    client
        .expect(json!({"type": "stream_delta", "delta": "before"}))
        .await;
    (puppet, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_stop_is_abandoned_after_the_grace() {
    let host = TestHost::with("stop.grace = \"300ms\"").await;
    let session = host.session_with("puppet").await;
    let mut client = host.idle(session).await;
    // One that never looks, and one that holds a thread of its library for ever.
    for (round, order) in ["block", "block_thread"].into_iter().enumerate() {
        let (puppet, file) = deaf(&host, &mut client, order).await;
        let begun = Instant::now();
        host.stop(session).await;
        client.expect(json!({"type": "stream_stopped"})).await;
        assert!(begun.elapsed() >= Duration::from_millis(300));

        // What was streamed is saved.
        let runs = host.runs(session).await;
        assert_eq!(runs[0].status, RunStatus::Stopped);
        let history = host.history(session).await;
        let TurnBody::Assistant(turn) = &history.last().unwrap().body else {
            panic!("{history:?}");
        };
        assert_eq!(turn.content, "before");

        // The next run works, while the old agent still holds on.
        let strings = Strings::new().await;
        client.begin(&strings.content()).await;
        let mut next = strings.take().await;
        next.delta("the next one").await;
        client
            .expect(json!({"type": "stream_delta", "delta": "the next one"}))
            .await;
        // And what the old one emits now is dropped.
        std::fs::write(&file, "").unwrap();
        let report = host.path("report");
        until("the late event", || report.exists()).await;
        assert_eq!(std::fs::read_to_string(&report).unwrap(), "the run is over");
        next.finish("").await;
        client.expect_kind("stream_end").await;
        puppet.gone().await;
        std::fs::remove_file(file).unwrap();
        std::fs::remove_file(report).unwrap();
        assert_eq!(host.history(session).await.len(), 4 * (round + 1));
    }
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sessions_of_a_stuck_agent_go_on() {
    let host = TestHost::with("stop.grace = \"200ms\"").await;
    let stuck = host.session_with("puppet").await;
    let other = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut bystander = host.idle(other).await;
    bystander.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let mut client = host.idle(stuck).await;
    let (gone, file) = deaf(&host, &mut client, "block").await;
    host.stop(stuck).await;
    client.expect_kind("stream_stopped").await;
    // In the library copy that is given up, and still this run's own.
    puppet.delta("not concerned").await;
    bystander
        .expect(json!({"type": "stream_delta", "delta": "not concerned"}))
        .await;
    puppet.finish("").await;
    bystander.expect_kind("stream_end").await;
    std::fs::write(file, "").unwrap();
    gone.gone().await;
    host.shut_down([client, bystander]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_can_ignore_a_stop_and_finish() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    let steps = [
        delta("a"),
        json!({"ignore_stop": 0.3}),
        json!({"emit": {"kind": "stream_end", "content": "finished all the same"}}),
    ];
    client.begin(&script(&steps)).await;
    client.expect_kind("stream_delta").await;
    host.stop(session).await;
    let end = client.expect_kind("stream_end").await;
    assert_eq!(end.value()["content"], "finished all the same");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_who_watches_sees_the_stop() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut clients = vec![host.idle(session).await];
    clients[0].begin(&script(&[delta("a"), hold()])).await;
    clients[0].expect_kind("stream_delta").await;
    for _ in 0..3 {
        let mut client = host.connect(session).await;
        client.expect_kind("stream_start").await;
        client.replay().await;
        clients.push(client);
    }
    host.stop(session).await;
    for client in &mut clients {
        client.expect(json!({"type": "stream_stopped"})).await;
    }
    host.shut_down(clients).await;
}
