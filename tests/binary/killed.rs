//! Version 2 when the host is killed: clients are told, get what was stored, and go on exactly from there.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use roundhouse_host::session::SessionId;
use roundhouse_tests::client::Connect;
use roundhouse_tests::script::{delta, emit, hold, repeat};
use roundhouse_tests::{Client, Greeting, Position, Rest, events, script, soon, text_of};
use serde_json::{Value, json};

use crate::process::Serving;
use crate::signals::{exit_code, folder, serve};

const ID: &str = "5e2f3a52-0c1b-4b60-9d43-1d7a3e1f7a11";

fn connect(serving: &Serving, session: SessionId) -> Connect {
    Connect::to(serving.address.parse().unwrap(), session)
}

async fn join(serving: &Serving, session: SessionId) -> Client {
    connect(serving, session).v2().greeted().await.0
}

async fn resume(serving: &Serving, session: SessionId, at: &Position) -> (Client, Greeting) {
    connect(serving, session).after(at).greeted().await
}

/// Kills the host and starts another on what it has left.
async fn kill(serving: Serving, folder: &Path) -> (Serving, Rest) {
    serving.signal("KILL");
    assert_eq!(exit_code(serving).await, None);
    serve(folder)
}

/// Waits until so many of the latest run's events are on the disk.
async fn stored(rest: &Rest, session: SessionId, events: u64) {
    soon("the records", async {
        loop {
            let runs = rest.get(&format!("/sessions/{session}/runs")).await.body;
            let run = &runs["runs"][0];
            let seq = |key: &str| run[key].as_u64().unwrap_or_default();
            if seq("last_seq") + 1 >= seq("first_seq") + events {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_and_gets_what_was_stored() {
    let folder = folder();
    let (serving, rest) = serve(folder.path());
    let session = rest.create_session(&json!({})).await;
    let mut client = join(&serving, session).await;
    client.run_v2("before").await;
    let steps = [
        emit(json!({"type": "plan_ready", "plan": ["a"]})),
        delta("half of the "),
        delta("answer"),
        emit(json!({"type": "thinking_end"})),
        hold(),
    ];
    let message = json!({"type": "message", "content": script(&steps), "id": ID});
    let run = client.ask(&message).await["run_id"].clone();
    let mut sent = Vec::new();
    while sent.len() < 5 {
        sent.push(client.next().await);
    }
    stored(&rest, session, 5).await;
    let at = client.position();
    let (serving, rest) = kill(serving, folder.path()).await;

    let (mut client, greeting) = resume(&serving, session, &at).await;
    assert_eq!(greeting.verdict(), ("full", false, Some("epoch_changed")));
    assert_eq!(
        (&greeting.start["complete"], &greeting.hello["run"]),
        (&json!(true), &Value::Null)
    );
    // The run counts from 1 in the new numbering, and ends.
    assert_eq!(greeting.range(), (1, 6));
    let lost = events(&greeting.replay);
    assert_eq!(lost[..lost.len() - 1], events(&sent));
    assert_eq!(lost[0]["run_id"], run);
    let end = &lost[lost.len() - 1];
    assert_eq!(
        (&end["type"], &end["status"]),
        (&json!("stream_end"), &json!("lost"))
    );
    let new = client.position();
    assert_ne!(new.epoch, at.epoch);
    // The message was taken, and it is told what has become of it.
    let again = client.ask(&message).await;
    assert_eq!(
        (&again["status"], &again["state"]),
        (&json!("duplicate"), &json!("lost"))
    );
    let path = format!("/sessions/{session}/messages");
    let history = rest.get(&path).await.body;
    assert_eq!(
        (&history["epoch"], &history["last_seq"]),
        (&json!(new.epoch), &json!(new.seq))
    );
    assert_eq!(history["messages"][3]["content"], "half of the answer");

    // In the new numbering every position is gone on from exactly, inside what was folded as well.
    let frames = greeting.replay;
    client.run_v2("after").await;
    for after in 0..=new.seq {
        let (other, greeting) = resume(&serving, session, &Position::new(&new.epoch, after)).await;
        assert_eq!(greeting.verdict(), ("suffix", true, None));
        // Each event that was sent counts, and the end.
        let had = usize::try_from(after).unwrap();
        let mut whole = events(sent.iter().take(had));
        whole.extend(events(frames.last().filter(|_| after == new.seq)));
        whole.extend(events(&greeting.replay));
        let whole = roundhouse_tests::frame::fold_values(whole);
        assert!(whole.starts_with(&lost), "{after}: {whole:?}");
        assert!(text_of(&greeting.replay).ends_with("after "));
        other.close().await;
    }
    // And again after a clean end.
    let at = client.position();
    serving.signal("TERM");
    client.closed().await;
    assert_eq!(exit_code(serving).await, Some(0));
    let (serving, _) = serve(folder.path());
    let (client, greeting) = resume(&serving, session, &at).await;
    assert_eq!(greeting.verdict(), ("suffix", true, None));
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_run_nothing_is_lost() {
    let folder = folder();
    let (serving, rest) = serve(folder.path());
    let session = rest.create_session(&json!({})).await;
    let fresh = rest.create_session(&json!({})).await;
    let start = join(&serving, fresh).await.position();
    let mut client = join(&serving, session).await;
    let frames = client.run_v2("one two three").await;
    let last = client.position();
    let (serving, _) = kill(serving, folder.path()).await;
    for after in 0..=last.seq {
        let (_, greeting) = resume(&serving, session, &Position::new(&last.epoch, after)).await;
        assert_eq!(greeting.verdict(), ("suffix", true, None));
        let left = usize::try_from(last.seq - after).unwrap();
        assert_eq!(
            events(&greeting.replay),
            events(&frames[frames.len() - left..])
        );
    }
    let (_, greeting) = resume(&serving, fresh, &start).await;
    assert_eq!(greeting.verdict(), ("suffix", true, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_survives_it() {
    let folder = folder();
    let (serving, rest) = serve(folder.path());
    let session = rest.create_session(&json!({})).await;
    let mut client = join(&serving, session).await;
    client.accepted(&script(&[delta("a"), hold()])).await;
    client.until(|frame| frame.delta() == Some("a")).await;
    let queued = json!({"type": "message", "content": "b", "id": ID, "on_busy": "enqueue"});
    let run = client.ask(&queued).await["run_id"].clone();
    client.queued("c").await;
    let (serving, _) = kill(serving, folder.path()).await;
    let mut client = join(&serving, session).await;
    soon("the queue's runs", async {
        loop {
            let answer = client.ask(&queued).await;
            assert_eq!(
                (&answer["status"], &answer["run_id"]),
                (&json!("duplicate"), &run)
            );
            if answer["state"] == "completed" {
                return;
            }
        }
    })
    .await;
    // What was acknowledged comes once, in order.
    let (other, greeting) = resume(
        &serving,
        session,
        &Position::new(&client.position().epoch, 0),
    )
    .await;
    assert_eq!(greeting.verdict(), ("suffix", true, None));
    let mut frames = greeting.replay;
    let mut other = other;
    while frames
        .last()
        .is_none_or(|frame| frame.text_at("content") != "c")
    {
        frames.push(other.next().await);
    }
    assert_eq!(
        text_of(frames.iter().filter(|frame| frame.text_at("delta") != "a")),
        "b c "
    );
}

/// When a host is killed: in the middle of a run after so many of its events, or between two.
#[derive(Clone, Debug)]
enum Kill {
    Within { events: u64, wait_ms: u64 },
    Between { runs: u8 },
}

/// Schedules of kills that are tried, and how many more to find a small one that fails. Each takes seconds.
const SCHEDULES: u32 = 5;
const SHRINKING: u32 = 20;

#[test]
fn whenever_it_dies_a_client_has_everything_or_was_told() {
    let kill_at = prop_oneof![
        3 => (1..400u64, 0..1500u64).prop_map(|(events, wait_ms)| Kill::Within { events, wait_ms }),
        1 => (1..4u8).prop_map(|runs| Kill::Between { runs }),
    ];
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases: SCHEDULES,
        max_shrink_iters: SHRINKING,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&prop::collection::vec(kill_at, 1..5), |kills| {
        runtime.block_on(outlive(kills));
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// A client that never gives up, through a few deaths of its host.
async fn outlive(kills: Vec<Kill>) {
    let folder = folder();
    let (mut serving, rest) = serve(folder.path());
    let session = rest.create_session(&json!({})).await;
    let mut client = join(&serving, session).await;
    let whole: String = (0..600).map(|number| format!("{number} ")).collect();
    let steps = [
        repeat(200, json!({"type": "stream_delta", "delta": "{i} "})),
        repeat(1, json!({"type": "thinking_end"})),
        json!({"paced": [400, 0.002, {"kind": "thinking_delta", "delta": "{i} "}]}),
    ];
    for kill_at in kills {
        let mut seen = Vec::new();
        match kill_at {
            Kill::Between { runs } => {
                for _ in 0..runs {
                    client.run_v2("done").await;
                }
            }
            Kill::Within { events, wait_ms } => {
                client.accepted(&script(&steps)).await;
                while seen.len() < usize::try_from(events).unwrap() {
                    seen.push(client.next().await);
                }
                // Somewhere in its life, not at a state that could be waited for.
                tokio::time::sleep(Duration::from_millis(wait_ms / 4)).await;
            }
        }
        let at = client.position();
        drop(client);
        (serving, _) = kill(serving, folder.path()).await;
        let (again, greeting) = resume(&serving, session, &at).await;
        client = again;
        match greeting.verdict() {
            ("suffix", true, None) => {
                let ends = greeting
                    .replay
                    .iter()
                    .any(|frame| frame.kind() == "stream_end");
                assert!(ends || seen.is_empty(), "{kill_at:?}");
                seen.extend(greeting.replay);
            }
            ("full", false, Some("epoch_changed")) => {
                assert!(!seen.is_empty(), "{kill_at:?}");
                seen = greeting.replay;
                assert_eq!(seen[seen.len() - 1].text_at("status"), "lost");
            }
            other => panic!("{other:?} after {kill_at:?}"),
        }
        // What there is of the run is its beginning, without a gap.
        let deltas: String = seen.iter().filter_map(|frame| frame.delta()).collect();
        let counted: Vec<_> = deltas.split_whitespace().collect();
        let from_start = seen
            .first()
            .is_some_and(|frame| frame.kind() == "stream_start");
        if from_start {
            let streamed = counted
                .iter()
                .take(200)
                .copied()
                .collect::<Vec<_>>()
                .join(" ");
            assert!(whole.starts_with(&streamed), "{streamed}");
        }
        // From here on everything is exact again.
        let position = client.position();
        client.run_v2("on").await;
        let (other, greeting) = resume(&serving, session, &position).await;
        assert_eq!(greeting.verdict(), ("suffix", true, None));
        assert_eq!(text_of(&greeting.replay), "on ");
        drop(other);
    }
}
