//! The reference client, through a network that breaks.

use std::time::Duration;

use roundhouse_host::client::{
    Ack, Backoff, Ended, Event, Fault, Item, Message, Options, Session, StopAck,
};
use roundhouse_host::session::SessionId;
use roundhouse_tests::script::{delta, hold};
use roundhouse_tests::{Proxy, Strings, TestHost, script, soon};
use serde_json::json;

/// Pauses that a test has the time for.
const SOON: Backoff = Backoff {
    first: Duration::from_millis(2),
    most: Duration::from_millis(50),
};

fn options(url: &str, session: SessionId) -> Options {
    Options::new(url, &session.to_string())
        .unwrap()
        .backoff(SOON)
}

async fn next(session: &mut Session) -> Item {
    soon("the client", session.next()).await.unwrap()
}

/// Reads on to the run's end: the events, and everything else.
async fn to_the_end(session: &mut Session) -> (Vec<Event>, Vec<Item>) {
    let (mut events, mut others) = (Vec::new(), Vec::new());
    loop {
        match next(session).await {
            Item::Event(event) => {
                events.push(event);
                if events
                    .last()
                    .is_some_and(|last| last.kind() == "stream_end")
                {
                    return (events, others);
                }
            }
            other => others.push(other),
        }
    }
}

fn text(events: &[Event]) -> String {
    let deltas = events.iter().filter(|event| event.kind() == "stream_delta");
    deltas.filter_map(|event| event.text("delta")).collect()
}

/// Checks that events follow one another from `next` on.
fn follow(events: &[Event], mut next: u64) {
    for event in events {
        assert_eq!(event.seq_from, next, "{event:?}");
        next = event.seq + 1;
    }
}

fn acks(items: &[Item]) -> Vec<&Ack> {
    let acks = items.iter().filter_map(|item| match item {
        Item::Ack(ack) => Some(ack),
        _ => None,
    });
    acks.collect()
}

async fn count_of_runs(host: &TestHost, session: SessionId) -> usize {
    let runs = host.rest().get(&format!("/sessions/{session}/runs")).await;
    runs.body["runs"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_cut_nothing_is_lost_or_doubled() {
    const COUNT: usize = 3000;
    let toml = "limits = { slow_wait = 0, replay_records = 100000, replay_bytes = \"64 MiB\" }";
    let host = TestHost::with(toml).await;
    let id = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let proxy = Proxy::to(host.address()).await;
    let mut session = Session::new(options(&proxy.url(), id));
    session.send(Message::new(strings.content())).unwrap();
    assert!(matches!(next(&mut session).await, Item::Reload(_)));

    let running = tokio::spawn(async move {
        let mut puppet = strings.take().await;
        let taken = puppet
            .order(
                "count",
                json!([0, COUNT, {"type": "stream_delta", "delta": "{i} "}]),
            )
            .await;
        assert_eq!(taken, Ok(json!(COUNT)));
        puppet.finish("").await;
    });
    let (mut events, mut cuts) = (Vec::new(), 0);
    // In the middle of frames, of greetings, at once.
    for bytes in [0, 7, 300, 1000, 1, 5_000, 20_000, 60_000, 450, 100_000] {
        proxy.cut_after(bytes);
        loop {
            match next(&mut session).await {
                Item::Event(event) => events.push(event),
                Item::Disconnected { fault, .. } => {
                    assert!(
                        matches!(fault, Fault::Broken(_) | Fault::Upgrade(_)),
                        "{fault}"
                    );
                    cuts += 1;
                    break;
                }
                Item::Recovered(_) | Item::Ack(_) => {}
                other => panic!("{other:?}"),
            }
            if events
                .last()
                .is_some_and(|last| last.kind() == "stream_end")
            {
                break;
            }
        }
    }
    assert!(cuts >= 8, "{cuts}");
    proxy.cut_after(i64::MAX);
    if events.last().is_none_or(|last| last.kind() != "stream_end") {
        let (rest, others) = to_the_end(&mut session).await;
        events.extend(rest);
        assert!(
            !others.iter().any(|item| matches!(item, Item::Reload(_))),
            "{others:?}"
        );
    }
    running.await.unwrap();
    follow(&events, 1);
    let expected: String = (0..COUNT)
        .map(|number| format!("{number:0>200} "))
        .collect();
    assert!(
        text(&events) == expected,
        "{} characters",
        text(&events).len()
    );
    assert_eq!(count_of_runs(&host, id).await, 1);
    session.close().await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_answer_was_lost_is_sent_again_and_taken_once() {
    let host = TestHost::start().await;
    let id = host.session().await;
    let proxy = Proxy::to(host.address()).await;
    let mut session = Session::new(options(&proxy.url(), id));
    assert!(matches!(next(&mut session).await, Item::Reload(_)));
    // It arrives, and nothing comes back.
    proxy.cut_after(20);
    let message = session.send(Message::new("hello")).unwrap();
    let (mut events, mut others) = to_the_end(&mut session).await;
    while acks(&others).is_empty() {
        others.push(next(&mut session).await);
    }
    assert_eq!(text(&events), "hello ");
    follow(&events, 1);
    let ack = acks(&others)[0].clone();
    assert_eq!(ack.id, Some(message.to_string()));
    assert_eq!(ack.status, "duplicate");
    assert!(
        others.iter().any(|item| matches!(item, Item::Recovered(_))),
        "{others:?}"
    );

    // Sent while nobody is there.
    proxy.refuse(true);
    proxy.cut();
    // Not before the connection is gone, or it might still arrive.
    let gone = next(&mut session).await;
    assert!(matches!(gone, Item::Disconnected { .. }), "{gone:?}");
    session.send(Message::new("again")).unwrap();
    for _ in 0..2 {
        assert!(matches!(
            next(&mut session).await,
            Item::Disconnected { .. }
        ));
    }
    proxy.refuse(false);
    let first = events.last().unwrap().seq + 1;
    (events, others) = to_the_end(&mut session).await;
    assert_eq!(text(&events), "again ");
    follow(&events, first);
    assert_eq!(acks(&others)[0].status, "accepted");
    assert_eq!(count_of_runs(&host, id).await, 2);
    session.close().await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_nothing_comes_is_given_up() {
    let host = TestHost::with("heartbeat.interval = \"300ms\"").await;
    let id = host.session().await;
    let proxy = Proxy::to(host.address()).await;
    let mut session = Session::new(options(&proxy.url(), id));
    assert!(matches!(next(&mut session).await, Item::Reload(_)));
    proxy.freeze(true);
    match next(&mut session).await {
        Item::Disconnected {
            fault: Fault::Silent(time),
            ..
        } => {
            assert_eq!(time, Duration::from_secs(2));
        }
        other => panic!("{other:?}"),
    }
    proxy.cut();
    proxy.freeze(false);
    loop {
        match next(&mut session).await {
            Item::Recovered(_) => break,
            Item::Disconnected { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    session.close().await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_stopped_through_a_cut() {
    let host = TestHost::start().await;
    let id = host.session().await;
    let proxy = Proxy::to(host.address()).await;
    let mut session = Session::new(options(&proxy.url(), id));
    session
        .send(Message::new(script(&[delta("a"), hold()])))
        .unwrap();
    let run = loop {
        if let Item::Event(event) = next(&mut session).await
            && event.kind() == "stream_delta"
        {
            break session.run().unwrap().to_owned();
        }
    };
    proxy.cut();
    session.stop(None).unwrap();
    let (events, mut others) = to_the_end(&mut session).await;
    assert_eq!(events.last().unwrap().text("status"), Some("stopped"));
    let is_ack = |item: &Item| matches!(item, Item::StopAck(StopAck { ok: true, run_id, .. }) if *run_id == Some(run.clone()));
    while !others.iter().any(is_ack) {
        others.push(next(&mut session).await);
    }
    assert_eq!(session.run(), None);
    session.close().await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_resumed_is_said() {
    let host = TestHost::start().await;
    let id = host.session().await;
    let url = format!("http://{}", host.address());
    let mut first = Session::new(options(&url, id));
    first.send(Message::new("hello")).unwrap();
    to_the_end(&mut first).await;
    let (epoch, last) = first.position().unwrap();
    for (epoch, after, reason) in [
        ("other", 1, Some("epoch_changed")),
        (epoch, last + 1, Some("cursor_ahead")),
        (epoch, 1, None),
    ] {
        let mut session = Session::new(options(&url, id).resume(epoch, after));
        let item = next(&mut session).await;
        let from = match (item, reason) {
            (Item::Reload(greeting), Some(_)) => {
                assert_eq!(greeting.reason.as_deref(), reason);
                greeting.from_seq
            }
            (Item::Recovered(greeting), None) => greeting.from_seq,
            other => panic!("{other:?}"),
        };
        let (events, _) = to_the_end(&mut session).await;
        follow(&events, from);
        assert_eq!(text(&events), "hello ");
        session.close().await;
    }
    first.close().await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_there_is_nothing_to_hope_for() {
    // The token is "one".
    let host = TestHost::with(
        r#"
        [[auth.tokens]]
        owner = "ada"
        sha256 = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
        "#,
    )
    .await;
    let rest = host.rest().header("authorization", "Bearer one");
    let id = rest.create_session(&json!({})).await;
    let url = format!("http://{}", host.address());
    let end = async |options: Options| {
        let mut session = Session::new(options);
        let ended = loop {
            match soon("the end", session.next()).await {
                Ok(Item::Disconnected { .. }) => {}
                Ok(other) => panic!("{other:?}"),
                Err(ended) => break ended,
            }
        };
        assert_eq!(session.next().await, Err(ended.clone()), "it stays so");
        ended
    };
    assert_eq!(end(options(&url, id)).await, Ended::NotAuthenticated);
    let nobody = options(&url, SessionId::new()).token("one").unwrap();
    assert_eq!(end(nobody).await, Ended::SessionNotFound);
    // A port at which nobody listens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let nowhere = options(&nowhere, id).give_up_after(Duration::from_millis(50));
    match end(nowhere).await {
        Ended::Unreachable {
            last: Fault::Connect(_),
            ..
        } => {}
        other => panic!("{other}"),
    }

    // Deleted while it watches.
    let mut session = Session::new(options(&url, id).token("one").unwrap());
    assert!(matches!(next(&mut session).await, Item::Reload(_)));
    assert_eq!(rest.delete(&format!("/sessions/{id}")).await.status, 204);
    assert_eq!(
        soon("the end", session.next()).await,
        Err(Ended::SessionNotFound)
    );
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_ends_says_when_to_come_back() {
    let host = TestHost::start().await;
    let id = host.session().await;
    let mut session = Session::new(options(&format!("http://{}", host.address()), id));
    assert!(matches!(next(&mut session).await, Item::Reload(_)));
    let ending = tokio::spawn(host.shut_down([]));
    match next(&mut session).await {
        Item::Disconnected {
            fault: Fault::Closed { code: 1012, reason },
            pause,
        } => {
            let said = reason.strip_prefix("retry_ms=").unwrap().parse().unwrap();
            assert_eq!(pause, Duration::from_millis(said));
        }
        other => panic!("{other:?}"),
    }
    drop(session);
    ending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_is_refused_and_the_others_are_sent() {
    let limits = "limits = { frame_bytes = 4000, image_bytes = 100, images_total_bytes = 100 }";
    let host = TestHost::with(limits).await;
    let id = host.session().await;
    let mut session = Session::new(options(&format!("http://{}", host.address()), id));
    let large = session.send(Message::new("x".repeat(5000))).unwrap();
    session.send(Message::new("small")).unwrap();
    let (events, others) = to_the_end(&mut session).await;
    assert_eq!(text(&events), "small ");
    let refused = others.iter().find_map(|item| match item {
        Item::Refused(refused) => Some(refused.clone()),
        _ => None,
    });
    let refused = refused.unwrap();
    assert_eq!(
        (refused.id, refused.code.as_str()),
        (Some(large.to_string()), "message_too_large")
    );
    session.close().await;
    host.shut_down([]).await;
}
