//! A stop.

use roundhouse_host::session::TurnBody;
use serde_json::json;

use super::stage::{Stage, all, content, gone, is_there, last, pid, say, script, update};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_told_to_stop_does_and_goes_on_with_the_next_turn() {
    let stage = Stage::start().await;
    let session = stage.host.session().await;
    let mut client = stage.host.idle(session).await;
    let process = pid(&mut client).await;
    let call = update("tool_call", json!({"toolCallId": "c1", "title": "t"}));
    let steps = [
        say("So far"),
        call,
        json!({"wait_cancel": ", and not further"}),
    ];
    client.begin(&script(&steps)).await;
    client.until(|frame| frame.kind() == "tool_started").await;
    stage.host.stop(session).await;
    let frames = client.rest_of_run().await;
    assert_eq!(last(&frames)["type"], "stream_stopped");
    // What it says on its way to the end is shown.
    assert!(all(&frames, "stream_delta").iter().any(|frame| {
        frame["delta"]
            .as_str()
            .unwrap()
            .contains(", and not further")
    }));
    assert_eq!(all(&frames, "tool_call")[0]["result"], "Stopped.");
    let history = stage.host.history(session).await;
    let TurnBody::Assistant(turn) = &history.last().unwrap().body else {
        panic!("{history:?}");
    };
    assert_eq!(turn.content, "So far\n\n, and not further");
    assert_eq!(pid(&mut client).await, process);
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_stop_is_ended() {
    let stage = Stage::with(&[], "cancel_timeout_ms = 50").await;
    let session = stage.host.session().await;
    let mut client = stage.host.idle(session).await;
    let process = pid(&mut client).await;
    client
        .begin(&script(&[say("So far"), json!({"hang": true})]))
        .await;
    client.until(|frame| frame.kind() == "stream_delta").await;
    stage.host.stop(session).await;
    let frames = client.rest_of_run().await;
    assert_eq!(last(&frames)["type"], "stream_stopped");
    gone(process).await;
    let frames = client.run("and now?").await;
    assert!(content(&frames).ends_with("and now?"));
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_leave_meanwhile_is_told_so() {
    let stage = Stage::with(&[], "permissions = \"allow\"").await;
    let session = stage.host.session().await;
    let mut client = stage.host.idle(session).await;
    // The fixture asks when it has been told to stop.
    let asks = json!({"ask": {"method": "session/request_permission", "params": {"toolCall": {"toolCallId": "c1"},
        "options": [{"optionId": "ao", "name": "Once", "kind": "allow_once"}]}}});
    let steps = [say("So far"), json!({"until_cancel": true}), asks];
    client.begin(&script(&steps)).await;
    client.until(|frame| frame.kind() == "stream_delta").await;
    stage.host.stop(session).await;
    let frames = client.rest_of_run().await;
    // It ended as if nothing was, so the run has finished.
    assert!(content(&frames).ends_with(r#"{"outcome":{"outcome":"cancelled"}}"#));
    assert!(all(&frames, "permission").is_empty());
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_the_agent_is_being_started_ends_it() {
    let stage = Stage::with(&["silent"], "").await;
    let session = stage.host.session().await;
    let mut client = stage.host.idle(session).await;
    client.begin("hello").await;
    stage.host.stop(session).await;
    let frames = client.rest_of_run().await;
    assert_eq!(last(&frames)["type"], "stream_stopped");
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_deleted_takes_its_process_along() {
    let stage = Stage::start().await;
    let (first, second) = (stage.host.session().await, stage.host.session().await);
    let mut client = stage.host.idle(first).await;
    let mut other = stage.host.idle(second).await;
    let (process, others) = (pid(&mut client).await, pid(&mut other).await);
    assert_ne!(process, others);
    stage.host.delete(first).await;
    gone(process).await;
    assert!(is_there(others));
    client.closed().await;
    stage.end([other]).await;
    gone(others).await;
}
