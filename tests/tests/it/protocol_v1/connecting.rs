//! What comes first on a connection.

use roundhouse_host::session::SessionId;
use roundhouse_tests::client::Connect;
use roundhouse_tests::script::{delta, emit, hold};
use roundhouse_tests::{Close, Strings, TestHost, fold, script, text_of};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

fn not_found() -> Close {
    Close {
        code: 4004,
        reason: "Session not found".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_session_is_closed_after_the_upgrade() {
    let host = TestHost::start().await;
    let mut client = host.connect(SessionId::new()).await;
    assert_eq!(client.closed().await, not_found());
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_none_is_an_unknown_session() {
    let host = TestHost::start().await;
    for id in [
        "nonsense",
        "0",
        "..",
        "%00",
        "%F0%9F%9A%82",
        "%FF",
        "a%2Fb",
        &"9".repeat(5000),
    ] {
        let path = format!("/ws/sessions/{id}");
        let mut client = Connect::to_path(host.address(), &path).open().await;
        assert_eq!(client.closed().await, not_found(), "{id}");
    }
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_run_the_client_is_told_to_load_the_history() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.connect(session).await;
    client.expect(json!({"type": "session_sync"})).await;
    // And then the host waits for messages, now as after a run.
    let frames = client.run("one two").await;
    assert_eq!(text_of(&frames), "one two ");
    let mut second = host.connect(session).await;
    second.expect(json!({"type": "session_sync"})).await;
    host.shut_down([client, second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_gets_its_close_answered() {
    let host = TestHost::start().await;
    let mut client = host.idle(host.session().await).await;
    let close = CloseFrame {
        code: CloseCode::Normal,
        reason: "bye".into(),
    };
    client.send_raw(Message::Close(Some(close))).await;
    // A browser reports 1006, a connection that broke off, when nothing comes back.
    assert_eq!(client.closed().await.code, 1000);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_events_is_attached_to_without_a_replay() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut first = host.idle(session).await;
    first.begin(&strings.content()).await;
    let mut puppet = strings.take().await;

    let mut second = host.connect(session).await;
    second.expect(json!({"type": "stream_start"})).await;
    puppet.delta("live").await;
    second
        .expect(json!({"type": "stream_delta", "delta": "live"}))
        .await;
    puppet.finish("live").await;
    second.expect_kind("stream_end").await;
    second.expect(json!({"type": "session_sync"})).await;
    // Now it waits for messages like any other.
    second.begin(&strings.content()).await;
    strings.take().await.finish("again").await;
    second.expect_kind("stream_end").await;
    // Who began the run is not told to load the history: it has seen everything.
    first.rest_of_run().await;
    first.begin(&strings.content()).await;
    strings.take().await.finish("a third time").await;
    first.expect_kind("stream_end").await;
    host.shut_down([first, second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_events_is_replayed_and_then_goes_on_live() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut first = host.idle(session).await;
    first.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    puppet
        .emit(json!({"type": "thinking_delta", "delta": "let me "}))
        .await;
    puppet
        .emit(json!({"type": "thinking_delta", "delta": "see"}))
        .await;
    puppet.emit(json!({"type": "thinking_end"})).await;
    puppet.delta("a").await;
    puppet.delta("b").await;

    let mut second = host.connect(session).await;
    second.expect(json!({"type": "stream_start"})).await;
    second
        .expect(json!({"type": "replay_start", "count": 3}))
        .await;
    second
        .expect(json!({"type": "thinking_delta", "delta": "let me see"}))
        .await;
    second.expect(json!({"type": "thinking_end"})).await;
    second
        .expect(json!({"type": "stream_delta", "delta": "ab"}))
        .await;
    second.expect(json!({"type": "replay_end"})).await;
    puppet.delta("c").await;
    second
        .expect(json!({"type": "stream_delta", "delta": "c"}))
        .await;
    puppet.finish("abc").await;
    let end = second.expect_kind("stream_end").await;
    second.expect(json!({"type": "session_sync"})).await;

    let live = first.rest_of_run().await;
    assert_eq!(live.last(), Some(&end));
    assert_eq!(live.len(), 7, "live deltas are not folded: {live:?}");
    host.shut_down([first, second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_see_the_same_run() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut clients = vec![host.idle(session).await];
    clients[0].begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    for round in 0..12 {
        puppet.delta(&format!("{round} ")).await;
        if round % 3 == 0 {
            puppet.emit(json!({"type": "thinking_end"})).await;
        }
        let mut client = host.connect(session).await;
        client.expect_kind("stream_start").await;
        clients.push(client);
    }
    puppet.finish("counted").await;
    let mut seen = Vec::new();
    for client in &mut clients {
        let mut frames = client.rest_of_run().await;
        frames.retain(|frame| !frame.kind().starts_with("replay_"));
        seen.push(fold(&frames));
    }
    for other in &seen[1..] {
        assert_eq!(*other, seen[0]);
    }
    host.shut_down(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_when_every_client_is_gone() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut first = host.idle(session).await;
    first.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    puppet.delta("seen ").await;
    first
        .expect(json!({"type": "stream_delta", "delta": "seen "}))
        .await;
    first.cut();
    host.deserted().await;
    puppet.delta("not seen ").await;

    let mut back = host.connect(session).await;
    back.expect_kind("stream_start").await;
    assert_eq!(text_of(&back.replay().await), "seen not seen ");
    puppet.delta("seen again").await;
    back.expect(json!({"type": "stream_delta", "delta": "seen again"}))
        .await;
    back.close().await;
    host.deserted().await;
    puppet.finish("seen not seen seen again").await;
    host.quiet().await;

    let mut late = host.connect(session).await;
    late.expect(json!({"type": "session_sync"})).await;
    let history = host.history(session).await;
    assert_eq!(history.len(), 2);
    host.shut_down([late]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_sees_the_runs_that_it_started_or_found_and_no_others() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut idle = host.idle(session).await;
    let mut active = host.idle(session).await;
    active.run("somebody else's").await;
    active.begin(&script(&[delta("still"), hold()])).await;
    active.expect_kind("stream_delta").await;

    // The idle one saw nothing of either; it is answered at once, and sees its own run.
    idle.message("hello").await;
    idle.expect_error("Agent is already running for this session.")
        .await;
    host.stop(session).await;
    active.rest_of_run().await;
    let own = idle.run(&script(&[emit(json!({"type": "mine"}))])).await;
    assert_eq!(own[1].kind(), "mine");
    // And the active one, idle now, sees nothing of that.
    let own = active.run("mine again").await;
    assert_eq!(text_of(&own), "mine again ");
    host.shut_down([idle, active]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_apart() {
    let host = TestHost::start().await;
    let (one, two) = (host.session().await, host.session().await);
    let mut in_one = host.idle(one).await;
    let mut in_two = host.idle(two).await;
    in_one.begin(&script(&[delta("one"), hold()])).await;
    let frames = in_two.run("two").await;
    assert_eq!(text_of(&frames), "two ");
    let none = host.rest().stop(two).await;
    assert_eq!(none.body, json!({"ok": false, "reason": "no active run"}));
    host.stop(one).await;
    assert_eq!(text_of(&in_one.rest_of_run().await), "one");
    host.shut_down([in_one, in_two]).await;
}
