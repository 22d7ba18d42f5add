//! What a connection begins with.

use roundhouse_tests::{Strings, TestHost, text_of};
use serde_json::{Value, json};

use super::{begin_held, ended};

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_where_the_session_stands_and_the_limits() {
    let host = TestHost::with(
        "limits.images = 3\nlimits.image_bytes = \"1 MiB\"\nlimits.images_total_bytes = \"2 MiB\"\n\
         limits.frame_bytes = \"8 MiB\"\nlimits.queue = 5\nheartbeat.interval = \"7s\"",
    )
    .await;
    let session = host.session().await;
    let (mut client, greeting) = host.join(session).await;
    let epoch = greeting.hello["epoch"].as_str().unwrap().to_owned();
    assert!(epoch.len() >= 16, "{epoch}");
    let mut hello = json!({
        "type": "session_sync", "epoch": epoch, "first_seq": 1, "last_seq": 0, "run": null, "protocol": 2,
        "limits": {
            "frame_bytes": 8 << 20, "images": 3, "image_bytes": 1 << 20, "images_total_bytes": 2 << 20,
            "queue": 5, "heartbeat_ms": 7000
        }
    });
    assert_eq!(greeting.hello, hello);
    let start = |last: u64| {
        json!({
            "type": "replay_start", "count": 0, "mode": "none", "recovered": false,
            "from_seq": last + 1, "to_seq": last
        })
    };
    assert_eq!(greeting.start, start(0));

    // After a run: its four events are kept.
    client.run_v2("one two").await;
    let (second, greeting) = host.join(session).await;
    hello["last_seq"] = 4.into();
    assert_eq!(greeting.hello, hello);
    assert_eq!(greeting.start, start(4));
    // Each session has a numbering of its own.
    let (third, other) = host.join(host.session().await).await;
    assert_ne!(other.hello["epoch"], hello["epoch"]);
    host.shut_down([client, second, third]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_position_a_client_gets_the_run_in_progress() {
    let host = TestHost::with("stop.grace = \"30s\"").await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut first = host.v2(session).await;
    first.accepted(&strings.content()).await;
    strings.take().await.finish("before").await;
    first.whole_run().await;
    let run = first.accepted(&strings.content()).await;
    let mut puppet = strings.take().await;
    puppet.delta("a").await;
    puppet.delta("b").await;
    let (mut second, greeting) = host.join(session).await;
    assert_eq!(
        greeting.hello["run"],
        json!({"run_id": run, "state": "running"})
    );
    assert_eq!(greeting.verdict(), ("full", false, None));
    assert_eq!(greeting.start["complete"], true);
    assert_eq!(greeting.range(), (3, 5));
    assert_eq!(greeting.replay.len(), 2);
    let start = &greeting.replay[0];
    assert_eq!(
        (start.kind(), start.text_at("run_id")),
        ("stream_start", run.as_str())
    );
    assert_eq!(
        *greeting.replay[1].value(),
        json!({"type": "stream_delta", "delta": "ab", "seq_from": 4, "seq": 5})
    );
    // And what comes after it.
    host.stop(session).await;
    let (third, greeting) = host.join(session).await;
    assert_eq!(
        greeting.hello["run"],
        json!({"run_id": run, "state": "stopping"})
    );
    puppet.order("wait_stop", Value::Null).await.unwrap();
    puppet.finish("c").await;
    assert_eq!(ended(&mut second).await, "completed");
    // Nobody is told to load the history again: that comes first or never.
    assert_eq!(first.whole_run().await.len(), 4);
    second.taken().await;
    host.shut_down([first, second, third]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_its_middle_says_so() {
    let host = TestHost::with("limits.replay_records = 3").await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut first = host.v2(session).await;
    first.accepted(&strings.content()).await;
    let mut puppet = strings.take().await;
    for n in 0..10 {
        puppet.emit(json!({"type": "own", "n": n})).await;
    }
    let (second, greeting) = host.join(session).await;
    assert_eq!(greeting.verdict(), ("full", false, None));
    assert_eq!(greeting.start["complete"], false);
    assert_eq!(
        (&greeting.hello["first_seq"], &greeting.hello["last_seq"]),
        (&json!(9), &json!(11))
    );
    let seqs: Vec<_> = greeting
        .replay
        .iter()
        .map(|frame| frame.seq().unwrap())
        .collect();
    assert_eq!(seqs, [1, 9, 10, 11]);
    puppet.finish("").await;
    first.whole_run().await;
    host.shut_down([first, second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_which_only_its_beginning_is_left_says_so() {
    // All logs together may keep so little that one large event is given up at once.
    let host =
        TestHost::with("limits.log_bytes = \"1 MiB\"\nlimits.event_bytes = \"900 KiB\"").await;
    let mut others = Vec::new();
    let strings = Strings::new().await;
    for _ in 0..3 {
        let session = host.session_with("puppet").await;
        let mut client = host.v2(session).await;
        client.accepted(&strings.content()).await;
        let mut puppet = strings.take().await;
        let large = "x".repeat(800 * 1024);
        puppet.emit(json!({"type": "own", "data": large})).await;
        puppet.emit(json!({"type": "thinking_end"})).await;
        puppet.delta("a").await;
        // Whatever is left: the client's own watch sees that what it is told fits what it gets.
        let (other, greeting) = host.join(session).await;
        assert_eq!(greeting.verdict().0, "full");
        let kept = greeting.replay.iter().any(|frame| frame.kind() == "own");
        assert_eq!(greeting.start["complete"], kept);
        others.push((client, other, puppet));
    }
    let mut clients = Vec::new();
    for (mut client, mut other, puppet) in others {
        puppet.finish("").await;
        assert_eq!(text_of(&client.whole_run().await), "a");
        ended(&mut other).await;
        clients.extend([client, other]);
    }
    host.shut_down(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_session_is_closed_as_in_version_1() {
    let host = TestHost::start().await;
    let unknown = roundhouse_host::session::SessionId::new();
    let mut client = host.connect_to(unknown).v2().open().await;
    let close = client.closed().await;
    assert_eq!(
        (close.code, close.reason.as_str()),
        (4004, "Session not found")
    );
    // Deleting a session tells its run's end, and then the same.
    let session = host.session().await;
    let mut client = host.v2(session).await;
    begin_held(&mut client, "a").await;
    host.delete(session).await;
    let error = client.expect_kind("error").await;
    assert_eq!(error.text_at("code"), "session_not_found");
    assert_eq!(ended(&mut client).await, "error");
    assert_eq!(client.closed().await.code, 4004);
    host.shut_down([]).await;
}
