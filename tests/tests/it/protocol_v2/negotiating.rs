//! Which version a connection speaks, and both in one session.

use roundhouse_tests::positions::Asked;
use roundhouse_tests::script::repeat;
use roundhouse_tests::{Client, TestHost, events, fold, script, text_of};
use serde_json::json;

use super::{begin_held, ended, held};

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_gets_what_it_asks_for() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut clients = Vec::new();
    // A version that the host does not know means the newest.
    for query in ["v=2", "v=3", "v=99", "v=", "v=two", "x=1&v=2"] {
        let connect = host.connect_to(session).query(query, Asked::Nothing);
        let (client, greeting) = connect.greeted().await;
        assert_eq!(greeting.hello["protocol"], 2, "{query}");
        clients.push(client);
    }
    for path in [
        "",
        "?v=1",
        "?x=2",
        "?epoch=e&after=1",
        "?v=1&epoch=e&after=1",
    ] {
        let path = format!("/ws/sessions/{session}{path}");
        let connect = roundhouse_tests::client::Connect::to_path(host.address(), &path);
        let mut client = connect.open().await;
        client.expect(json!({"type": "session_sync"})).await;
        clients.push(client);
    }
    host.shut_down(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_is_unknown_to_version_1() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.send_text(r#"{"type":"stop"}"#).await;
    let expected = "Expected {type: 'message', content: '...'}";
    client.expect_error(expected).await;
    // Unknown fields, whatever is in them.
    let message = json!({"type": "message", "content": "a", "id": 7, "on_busy": ["x"]});
    client.send_text(&message.to_string()).await;
    client.expect(json!({"type": "stream_start"})).await;
    client.rest_of_run().await;
    let message = json!({"type": "message", "content": held("b"), "on_busy": "enqueue"});
    client.send(&message).await;
    client.expect_kind("stream_start").await;
    let mut idle = host.v2(session).await;
    let mut other = host.connect(session).await;
    other.expect_kind("stream_start").await;
    host.stop(session).await;
    client.rest_of_run().await;
    ended(&mut idle).await;
    other.rest_of_run().await;
    host.shut_down([client, other, idle]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_see_the_same_run() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut old = host.idle(session).await;
    let mut new = host.v2(session).await;
    // A run of version 1 is seen by version 2.
    let frames = old.run("one two").await;
    let seen = new.whole_run().await;
    assert_eq!(text_of(&frames), text_of(&seen));
    assert_eq!(frames.len(), seen.len());
    for (old, new) in frames.iter().zip(&seen) {
        let old = old.value().as_object().unwrap();
        assert!(old.iter().all(|(key, value)| new.value()[key] == *value));
        assert!(
            ["seq", "run_id", "ts", "status"]
                .iter()
                .all(|key| !old.contains_key(*key))
        );
    }
    // One of version 2 is not by a version 1 connection that neither began nor found it.
    new.run_v2("three").await;
    begin_held(&mut new, "four").await;
    let mut found = host.connect(session).await;
    found.expect_kind("stream_start").await;
    let replay = found.replay().await;
    assert_eq!(text_of(&replay), "four");
    host.stop(session).await;
    // Nothing but `stream_stopped` ends it there.
    assert_eq!(found.rest_of_run().await.len(), 1);
    found.expect(json!({"type": "session_sync"})).await;
    assert_eq!(ended(&mut new).await, "stopped");
    assert_eq!(old.run("five").await.len(), 3);
    assert_eq!(text_of(&new.whole_run().await), "five ");
    host.shut_down([old, new, found]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_of_version_2_sees_every_run() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut clients = [
        host.v2(session).await,
        host.v2(session).await,
        host.v2(session).await,
    ];
    for round in 0..6 {
        let content = script(&[
            repeat(20, json!({"type": "stream_delta", "delta": "{i} "})),
            json!({"raise": ["agent", "on purpose"]}),
        ]);
        clients[round % 3].accepted(&content).await;
        let mut all = Vec::new();
        for client in &mut clients {
            all.push(events(&client.whole_run().await));
        }
        assert_eq!(all[0], all[1]);
        assert_eq!(all[0], all[2]);
    }
    assert!(
        clients
            .iter()
            .all(|client| client.position() == clients[0].position())
    );
    host.shut_down(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_2_connection_is_answered_at_once() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client: Client = host.v2(session).await;
    let run = begin_held(&mut client, "a").await;
    let answer = client
        .ask(&json!({"type": "message", "content": "b"}))
        .await;
    assert_eq!(
        answer,
        json!({
            "type": "error", "message": "Agent is already running for this session.",
            "code": "busy", "retryable": true, "run_id": run
        })
    );
    let other = fold(&host.join(session).await.1.replay);
    assert_eq!(other.len(), 2);
    client.send_text("nonsense").await;
    assert_eq!(client.answer().await["code"], "invalid_json");
    host.stop(session).await;
    assert_eq!(ended(&mut client).await, "stopped");
    host.shut_down([client]).await;
}
