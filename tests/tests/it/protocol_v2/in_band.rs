//! Stopping a run, over its connection and over HTTP.

use roundhouse_tests::{Answer, Strings, TestHost, soon};
use serde_json::{Value, json};

use super::{begin_held, ended};

const OTHER: &str = "0199c3a2-5b7e-7cc0-8f35-6f1c1d2c9a10";

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_answered() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let mut other = host.v2(session).await;
    let none = json!({"type": "stop_ack", "ok": false, "reason": "no active run"});
    assert_eq!(client.ask(&json!({"type": "stop"})).await, none);
    assert_eq!(
        client.ask(&json!({"type": "stop", "run_id": OTHER})).await,
        none
    );
    let run = begin_held(&mut client, "a").await;
    let ok = json!({"type": "stop_ack", "ok": true, "run_id": run});
    assert_eq!(
        client.ask(&json!({"type": "stop", "run_id": OTHER})).await,
        json!({"type": "stop_ack", "ok": false, "run_id": run, "reason": "other run"})
    );
    // By whoever is connected.
    assert_eq!(other.ask(&json!({"type": "stop", "run_id": run})).await, ok);
    assert_eq!(ended(&mut client).await, "stopped");
    assert_eq!(
        client.ask(&json!({"type": "stop", "run_id": run})).await,
        none
    );
    // A run that is over is not the next one.
    let next = begin_held(&mut client, "b").await;
    assert_eq!(
        client.ask(&json!({"type": "stop", "run_id": run})).await["reason"],
        "other run"
    );
    let ok = json!({"type": "stop_ack", "ok": true, "run_id": next});
    assert_eq!(
        client.ask(&json!({"type": "stop", "run_id": null})).await,
        ok
    );
    assert_eq!(ended(&mut client).await, "stopped");
    client
        .send_text(r#"{"type":"stop","run_id":"nonsense"}"#)
        .await;
    let answer = client.answer().await;
    assert_eq!(
        (&answer["type"], &answer["code"]),
        (&json!("error"), &json!("invalid_message"))
    );
    host.shut_down([client, other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_stop_is_fine() {
    let host = TestHost::with("stop.grace = \"300ms\"").await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.v2(session).await;
    let run = client.accepted(&strings.content()).await;
    let mut puppet = strings.take().await;
    let file = host.path("enough");
    puppet.begin("block", json!(file)).await;
    for _ in 0..3 {
        let ok = json!({"type": "stop_ack", "ok": true, "run_id": run});
        assert_eq!(client.ask(&json!({"type": "stop"})).await, ok);
    }
    // After the grace it is ended for it.
    assert_eq!(ended(&mut client).await, "stopped");
    std::fs::write(file, "").unwrap();
    puppet.gone().await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_it_takes_the_same() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let rest = host.rest();
    let path = format!("/sessions/{session}/stop");
    let stop = async |body: Value| {
        let Answer { status, body } = rest.post(&path, &body).await;
        assert_eq!(status, 200, "{body}");
        body
    };
    let none = json!({"ok": false, "reason": "no active run"});
    assert_eq!(stop(json!({})).await, none);
    assert_eq!(stop(json!({"run_id": OTHER, "wait_ms": 1000})).await, none);
    assert_eq!(host.rest().stop(session).await.body, none);

    let mut client = host.v2(session).await;
    let run = begin_held(&mut client, "a").await;
    assert_eq!(
        stop(json!({"run_id": OTHER})).await,
        json!({"ok": false, "run_id": run, "reason": "other run"})
    );
    assert_eq!(
        stop(json!({"run_id": run, "wait_ms": 60_000})).await,
        json!({"ok": true, "run_id": run, "ended": true})
    );
    // It has ended indeed.
    assert_eq!(stop(json!({})).await, none);
    assert_eq!(ended(&mut client).await, "stopped");
    // Without a body, and with one that asks for nothing new, the answer is what it always was.
    for body in [None, Some(json!({}))] {
        begin_held(&mut client, "b").await;
        let answer = match body {
            None => host.rest().stop(session).await.body,
            Some(body) => stop(body).await,
        };
        assert_eq!(answer, json!({"ok": true}));
        assert_eq!(ended(&mut client).await, "stopped");
    }
    // An unknown session has no run.
    let unknown = format!("/sessions/{OTHER}/stop");
    let answer = rest.post(&unknown, &json!({"wait_ms": 10})).await;
    assert_eq!((answer.status, answer.body), (200, none));
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_is_for_this_run_and_no_longer_than_asked() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.v2(session).await;
    let run = client.accepted(&strings.content()).await;
    let puppet = strings.take().await;
    let rest = host.rest();
    let path = format!("/sessions/{session}/stop");
    let waiting = tokio::spawn({
        let (rest, path) = (rest.clone(), path.clone());
        async move { rest.post(&path, &json!({"wait_ms": 60_000})).await.body }
    });
    soon("the stop", async {
        loop {
            let (other, greeting) = host.join(session).await;
            other.close().await;
            if greeting.hello["run"]["state"] == "stopping" {
                return;
            }
        }
    })
    .await;
    // Another run follows at once, from the queue: that one is not waited for.
    let next = client.queued(&strings.content()).await;
    puppet.finish("").await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer, json!({"ok": true, "run_id": run, "ended": true}));
    let puppet = strings.take().await;
    for wait in [0, 50] {
        let answer = rest.post(&path, &json!({"wait_ms": wait})).await.body;
        assert_eq!(answer, json!({"ok": true, "run_id": next, "ended": false}));
    }
    puppet.finish("").await;
    assert_eq!(ended(&mut client).await, "completed");
    assert_eq!(ended(&mut client).await, "completed");
    host.shut_down([client]).await;
}
