//! Clients that come and go at random moments of a run: each sees what it must, whatever the moment.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use roundhouse_host::session::SessionId;
use roundhouse_tests::{Frame, Strings, TestHost, fold, frame::fold_values};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// The agent emits.
    Emit(Value),
    /// Likewise, this many times without a pause.
    Burst(u16, Value),
    /// A client comes; it leaves after so many frames, or stays to the end.
    Attach(Option<u8>),
    /// Everybody else gets a moment.
    Yield,
}

fn event() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => "\\PC{0,6}".prop_map(|text| json!({"type": "stream_delta", "delta": text})),
        2 => "[a-z ]{0,6}".prop_map(|text| json!({"type": "thinking_delta", "delta": text})),
        1 => Just(json!({"type": "thinking_end"})),
        1 => (0..100u8).prop_map(|n| json!({"type": "own", "n": n})),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => event().prop_map(Step::Emit),
        1 => (1..40u16, event()).prop_map(|(times, event)| Step::Burst(times, event)),
        3 => prop::option::weighted(0.4, 0..20u8).prop_map(Step::Attach),
        1 => Just(Step::Yield),
    ]
}

/// What a client has seen of a run.
struct Seen {
    frames: Vec<Frame>,
    /// Whether it stayed to the end.
    to_the_end: bool,
}

/// A client that comes now, at whatever moment that turns out to be.
fn attach(host: &TestHost, session: SessionId, leaves_after: Option<u8>) -> JoinHandle<Seen> {
    let connect = host.connect_to(session);
    tokio::spawn(async move {
        let mut client = connect.open().await;
        let mut seen = Seen {
            frames: Vec::new(),
            to_the_end: false,
        };
        loop {
            if leaves_after.is_some_and(|frames| seen.frames.len() >= usize::from(frames)) {
                client.cut();
                return seen;
            }
            let frame = client.next().await;
            // One that comes too late for the run is told to load the history.
            if frame.kind() == "session_sync" {
                assert!(seen.frames.is_empty());
                client.close().await;
                return seen;
            }
            let was_last = frame.ends_run();
            seen.frames.push(frame);
            if was_last {
                seen.to_the_end = true;
                client.expect_kind("session_sync").await;
                client.close().await;
                return seen;
            }
        }
    })
}

/// Plays the steps; what the agent emitted, folded, and what everybody saw.
async fn play(host: &TestHost, steps: &[Step]) -> (Vec<Value>, Vec<Frame>, Vec<Seen>) {
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut starter = host.idle(session).await;
    starter.begin(&strings.content()).await;
    let starter = tokio::spawn(async move {
        let frames = starter.rest_of_run().await;
        starter.close().await;
        frames
    });
    let mut puppet = strings.take().await;
    let mut emitted = Vec::new();
    let mut clients = Vec::new();
    for step in steps {
        match step {
            Step::Emit(event) => {
                puppet.emit(event.clone()).await;
                emitted.push(event.clone());
            }
            Step::Burst(times, event) => {
                puppet.order("repeat", json!([times, event])).await.unwrap();
                emitted.extend((0..*times).map(|_| event.clone()));
            }
            Step::Attach(leaves_after) => clients.push(attach(host, session, *leaves_after)),
            Step::Yield => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    puppet.finish("over").await;
    let mut seen = Vec::new();
    for client in clients {
        seen.push(client.await.unwrap());
    }
    (fold_values(emitted), starter.await.unwrap(), seen)
}

/// The events in what a client has seen, without what is around them.
fn events(frames: &[Frame]) -> Vec<Value> {
    let around = ["stream_start", "replay_start", "replay_end"];
    fold(
        frames
            .iter()
            .filter(|frame| !around.contains(&frame.kind()) && !frame.ends_run()),
    )
}

/// The events one character at a time, so that what was cut anywhere can be compared.
fn characters(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .flat_map(|event| match event["delta"].as_str() {
            Some(text) => text
                .chars()
                .map(|letter| format!("{}{letter}", event["type"]))
                .collect(),
            None => vec![event.to_string()],
        })
        .collect()
}

/// Runs `check` over random schedules, on one host with this configuration.
fn with_schedules(toml: &str, cases: u32, check: impl Fn(&[Value], &[Frame], &[Seen])) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let host = runtime.block_on(TestHost::with(toml));
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&vec(step(), 0..40), |steps| {
        let (emitted, starter, seen) = runtime.block_on(play(&host, &steps));
        check(&emitted, &starter, &seen);
        Ok(())
    });
    runtime.block_on(host.shut_down([]));
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

#[test]
fn whoever_comes_and_stays_sees_the_whole_run() {
    with_schedules("", 40, |emitted, starter, seen| {
        // Empty deltas leave no trace in a fold, but may stand alone.
        let whole = characters(emitted);
        assert_eq!(characters(&events(starter)), whole);
        for client in seen {
            let own = characters(&events(&client.frames));
            if client.to_the_end {
                assert_eq!(own, whole);
                assert_eq!(client.frames.last(), starter.last());
            } else {
                assert!(
                    whole.starts_with(&own),
                    "{own:?} is not how {whole:?} begins"
                );
            }
        }
    });
}

#[test]
fn with_little_room_whoever_comes_sees_the_latest_without_a_gap() {
    with_schedules("limits.replay_records = 3", 40, |emitted, starter, seen| {
        let whole = characters(emitted);
        assert_eq!(characters(&events(starter)), whole);
        for client in seen {
            let own = characters(&events(&client.frames));
            if client.to_the_end {
                assert!(whole.ends_with(&own), "{own:?} is not how {whole:?} ends");
            } else {
                let found = own.is_empty() || whole.windows(own.len()).any(|part| part == own);
                assert!(found, "{own:?} is not in {whole:?}");
            }
            let replayed = client
                .frames
                .iter()
                .position(|frame| frame.kind() == "replay_start");
            if let Some(start) = replayed {
                let count = client.frames[start].value()["count"].as_u64();
                assert!(count <= Some(3), "{count:?}");
            }
        }
    });
}
