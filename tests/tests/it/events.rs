//! A session's events over HTTP, as Server-Sent Events.

use std::time::Duration;

use roundhouse_host::server::Patience;
use roundhouse_host::session::SessionId;
use roundhouse_tests::frame::fold_values;
use roundhouse_tests::script::{delta, emit, hold, repeat};
use roundhouse_tests::sse::{EventSource, SentEvent};
use roundhouse_tests::{Strings, TestHost, script, until};
use serde_json::{Value, json};

async fn watch(host: &TestHost, session: SessionId) -> EventSource {
    EventSource::open(host.address(), session, "", &[])
        .await
        .unwrap()
}

/// Comes back with this as the last event's id.
async fn again(host: &TestHost, session: SessionId, id: &str) -> EventSource {
    EventSource::open(host.address(), session, "", &[("last-event-id", id)])
        .await
        .unwrap()
}

fn names(events: &[SentEvent]) -> Vec<&str> {
    events.iter().map(|event| event.event.as_str()).collect()
}

/// Those that have a position.
fn placed(events: Vec<SentEvent>) -> Vec<SentEvent> {
    let placed = events.into_iter().filter(|event| !event.id.is_empty());
    placed.collect()
}

/// Checks that events follow one another from `next` on; the position after them.
fn follow(events: &[SentEvent], mut next: u64) -> u64 {
    for event in events {
        let (from, to) = event.positions().unwrap();
        assert_eq!(from, next, "{event:?}");
        next = to + 1;
    }
    next
}

/// What events come to, however they were folded.
fn folded(events: &[SentEvent]) -> Vec<Value> {
    let frames = events.iter().map(|event| {
        let mut frame = event.frame.clone();
        let object = frame.as_object_mut().unwrap();
        object.remove("seq");
        object.remove("seq_from");
        frame
    });
    fold_values(frames)
}

/// A run with a bit of everything.
fn steps() -> Vec<Value> {
    vec![
        emit(json!({"type": "thinking_delta", "delta": "Hm, \n"})),
        emit(json!({"type": "thinking_end"})),
        delta("one "),
        delta("two "),
        delta("three "),
        emit(json!({"type": "weather", "degrees": 21})),
        delta("four"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_watched_from_its_beginning() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut events = watch(&host, session).await;
    let greeting = events.until("replay_end").await;
    assert_eq!(
        names(&greeting),
        ["session_sync", "replay_start", "replay_end"]
    );
    assert!(greeting.iter().all(|event| event.id.is_empty()));
    let epoch = greeting[0].frame["epoch"].as_str().unwrap();

    let mut client = host.idle(session).await;
    client.run(&script(&steps())).await;
    let run = events.until("stream_end").await;
    assert_eq!(run[0].event, "stream_start");
    assert_eq!(run.last().unwrap().frame["status"], "completed");
    assert!(names(&run).contains(&"weather"));
    let last = follow(&run, 1) - 1;
    assert_eq!(run.last().unwrap().id, format!("{epoch}:{last}"));
    drop(events);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_comes_back_gets_exactly_what_came_after_its_last_event() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    let mut steps = steps();
    steps.push(hold());
    client.begin(&script(&steps)).await;
    let mut first = watch(&host, session).await;
    let mut seen = Vec::new();
    while seen
        .last()
        .is_none_or(|event: &SentEvent| event.frame["delta"] != "four")
    {
        seen.extend(placed(vec![first.next().await.unwrap()]));
    }
    let epoch = seen[0].id.split(':').next().unwrap().to_owned();
    let whole = folded(&seen);
    let text = |events: &[SentEvent]| -> String {
        let deltas = events.iter().filter(|event| event.event == "stream_delta");
        deltas
            .filter_map(|event| event.frame["delta"].as_str())
            .collect()
    };
    let last = seen.last().unwrap().positions().unwrap().1;

    for after in 1..=last {
        let mut second = again(&host, session, &format!("{epoch}:{after}")).await;
        let greeting = second.until("replay_end").await;
        assert_eq!(greeting[1].frame["recovered"], true, "{greeting:?}");
        assert_eq!(greeting[1].frame["mode"], "suffix");
        let rest = placed(greeting);
        assert_eq!(follow(&rest, after + 1), last + 1);
        assert!(text(&seen).ends_with(&text(&rest)), "after {after}");
        let (had, _): (Vec<_>, Vec<_>) = seen
            .iter()
            .cloned()
            .partition(|event| event.positions().unwrap().1 <= after);
        // A client cannot be inside of what it got folded.
        if follow(&had, 1) == after + 1 {
            let both: Vec<_> = had.into_iter().chain(rest).collect();
            assert_eq!(folded(&both), whole, "after {after}");
        }
    }

    // The same in the query; of both, the header counts.
    let query = format!("?epoch={epoch}&after={last}");
    let mut queried = EventSource::open(host.address(), session, &query, &[])
        .await
        .unwrap();
    assert_eq!(queried.until("replay_end").await.len(), 3);
    let header = format!("{epoch}:{}", last - 1);
    let mut both = EventSource::open(
        host.address(),
        session,
        &query,
        &[("last-event-id", &header)],
    )
    .await
    .unwrap();
    assert_eq!(both.until("replay_end").await.len(), 4);

    // They go on live to the same end.
    host.stop(session).await;
    let end = queried.until("stream_end").await;
    assert_eq!(names(&end), ["stream_stopped", "stream_end"]);
    assert_eq!(follow(&end, last + 1), last + 3);
    assert_eq!(both.until("stream_end").await, end);
    client.rest_of_run().await;

    // After the run as well.
    let mut late = again(&host, session, &format!("{epoch}:{last}")).await;
    assert_eq!(placed(late.until("replay_end").await), end);
    drop((first, queried, both, late));
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_there_is_not_is_told() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.run("a").await;
    let sync = watch(&host, session).await.next().await.unwrap();
    let epoch = sync.frame["epoch"].as_str().unwrap().to_owned();
    for (id, reason) in [
        (format!("{epoch}:99"), "cursor_ahead"),
        ("other:1".to_owned(), "epoch_changed"),
        (epoch.clone(), "epoch_changed"),
        (":".to_owned(), "epoch_changed"),
    ] {
        let mut events = again(&host, session, &id).await;
        let greeting = events.until("replay_end").await;
        assert_eq!(greeting[1].frame["recovered"], false, "{id}");
        assert_eq!(greeting[1].frame["reason"], reason, "{id}");
        assert_eq!(greeting[1].frame["mode"], "full", "{id}");
        assert_eq!(greeting.last().unwrap().event, "replay_end");
        follow(&placed(greeting), 1);
    }
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_may_not_get_no_stream() {
    // The tokens are "one" and "two".
    let host = TestHost::with(
        r#"
        [[auth.tokens]]
        owner = "ada"
        sha256 = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
        [[auth.tokens]]
        owner = "bob"
        sha256 = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
        "#,
    )
    .await;
    let rest = host.rest().header("authorization", "Bearer one");
    let session = rest.create_session(&json!({})).await;
    let status = async |session, query: &str, headers: &[(&str, &str)]| {
        EventSource::open(host.address(), session, query, headers)
            .await
            .err()
    };
    let (ada, bob) = (
        ("authorization", "Bearer one"),
        ("authorization", "Bearer two"),
    );
    assert_eq!(status(session, "", &[ada]).await, None);
    assert_eq!(status(session, "", &[]).await, Some(401));
    assert_eq!(status(session, "", &[bob]).await, Some(404));
    assert_eq!(status(SessionId::new(), "", &[ada]).await, Some(404));
    assert_eq!(status(session, "?from=1", &[ada]).await, Some(400));
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_count_as_connections() {
    let host = TestHost::with("server.max_connections = 2").await;
    let session = host.session().await;
    let client = host.idle(session).await;
    let events = watch(&host, session).await;
    let refused = EventSource::open(host.address(), session, "", &[]).await;
    assert_eq!(refused.err(), Some(503));
    // The place of one that has left is free.
    drop(events);
    until("a free place", || host.host().connections.len() == 1).await;
    watch(&host, session).await.until("replay_end").await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_beats_and_says_where_the_session_is() {
    let host = TestHost::with("heartbeat.interval = \"50ms\"").await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.run("a").await;
    let mut events = watch(&host, session).await;
    events.until("replay_end").await;
    for _ in 0..3 {
        let beat = events.next().await.unwrap();
        assert_eq!(beat.frame, json!({"type": "heartbeat", "last_seq": 3}));
        assert_eq!(beat.id, "");
    }
    drop(events);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_ends_its_streams() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    let mut events = watch(&host, session).await;
    client.begin(&script(&[delta("a"), hold()])).await;
    events.until("stream_delta").await;
    assert_eq!(
        host.rest()
            .delete(&format!("/sessions/{session}"))
            .await
            .status,
        204
    );
    let rest = events.rest().await;
    let last = rest.last().unwrap();
    assert_eq!(
        last.frame,
        json!({"type": "error", "message": "Session not found", "code": "session_not_found", "retryable": false})
    );
    follow(&placed(rest), 3);
    let gone = EventSource::open(host.address(), session, "", &[]).await;
    assert_eq!(gone.err(), Some(404));
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_ends_lets_the_run_end_first() {
    let host = TestHost::with_drain("", Duration::from_secs(30)).await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    puppet.delta("a").await;
    let mut events = watch(&host, session).await;
    events.until("replay_end").await;
    let reading = tokio::spawn(async move { events.rest().await });
    let registry = std::sync::Arc::clone(host.host());
    let ending = tokio::spawn(host.shut_down([]));
    until("the drain", || registry.registry.is_draining()).await;
    puppet.delta("b").await;
    puppet.finish("ab").await;
    let rest = reading.await.unwrap();
    assert_eq!(names(&rest), ["stream_delta", "stream_end", "error"]);
    assert_eq!(rest[2].frame["code"], "draining");
    assert_eq!(rest[2].frame["retryable"], true);
    client.rest_of_run().await;
    client.closed().await;
    ending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_nothing_is_let_go_of() {
    let patience = Patience {
        head: Duration::from_secs(30),
        stall: Duration::from_secs(1),
    };
    let host = TestHost::with_patience("limits.replay_bytes = \"64 MiB\"", patience).await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    let events = watch(&host, session).await;
    until("both", || host.host().connections.len() == 2).await;
    // More than the system takes for a client that does not read.
    let piece = "x".repeat(500_000);
    client
        .run(&script(&[repeat(40, json!({"type": "own", "x": piece}))]))
        .await;
    until("the stream's end", || host.host().connections.len() == 1).await;
    drop(events);
    host.shut_down([client]).await;
}
