//! Version 2's promise over real sockets: whenever connections are cut and resumed, however slowly some read, whoever
//! stops the runs, a client's events add up to those of one that was never cut; or it was told to reload.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use roundhouse_host::session::SessionId;
use roundhouse_tests::client::Connect;
use roundhouse_tests::{Client, Frame, Greeting, Puppet, Strings, TestHost, events, until};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// The agent emits, so many times without a pause.
    Emit(u16, Value),
    /// The run ends, so, and the next one begins.
    Next(End),
    /// A client comes. It is cut after each of so many frames and resumes; after the last cut it stays.
    Attach { cuts: Vec<u8>, slow: bool },
    /// Everybody else gets a moment.
    Yield,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Finish,
    Stop,
    Fail,
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
    let end = prop_oneof![Just(End::Finish), Just(End::Stop), Just(End::Fail)];
    let times = prop_oneof![3 => Just(1), 1 => 1..60u16];
    prop_oneof![
        8 => (times, event()).prop_map(|(times, event)| Step::Emit(times, event)),
        2 => end.prop_map(Step::Next),
        4 => (vec(0..12u8, 0..5), prop::bool::weighted(0.2))
            .prop_map(|(cuts, slow)| Step::Attach { cuts, slow }),
        1 => Just(Step::Yield),
    ]
}

/// What a client has since it last had to load the history.
struct Seen {
    frames: Vec<Frame>,
    /// How often it was told that what it had missed is gone.
    told: usize,
    /// How often it got what it had missed.
    recovered: usize,
}

impl Seen {
    fn greeted(&mut self, greeting: Greeting) {
        if greeting.start["recovered"] == true {
            self.recovered += 1;
        } else {
            self.told += usize::from(greeting.start.get("reason").is_some());
            self.frames.clear();
        }
        if greeting.start["complete"] == false {
            self.frames.extend(greeting.replay.into_iter().skip(1));
        } else {
            self.frames.extend(greeting.replay);
        }
    }

    /// Whether it has the end of the last run of all.
    fn is_over(&self) -> bool {
        self.frames
            .last()
            .is_some_and(|frame| frame.text_at("content") == "the end")
    }
}

/// A client that comes now, at whatever moment that turns out to be.
fn attach(
    connect: Connect,
    joined: Arc<AtomicUsize>,
    cuts: Vec<u8>,
    slow: bool,
) -> JoinHandle<Seen> {
    let connect = if slow {
        connect.receive_buffer(4096)
    } else {
        connect
    };
    tokio::spawn(async move {
        let greeted = connect.clone().v2().greeted().await;
        joined.fetch_add(1, Ordering::Relaxed);
        follow(connect, greeted, cuts, slow).await
    })
}

async fn follow(
    connect: Connect,
    (mut client, greeting): (Client, Greeting),
    cuts: Vec<u8>,
    slow: bool,
) -> Seen {
    let mut seen = Seen {
        frames: Vec::new(),
        told: 0,
        recovered: 0,
    };
    seen.greeted(greeting);
    for cut in cuts {
        for _ in 0..cut {
            if !seen.is_over() {
                seen.frames.push(client.next().await);
            }
        }
        let position = client.position();
        client.cut();
        if slow {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let (again, greeting) = connect.clone().after(&position).greeted().await;
        seen.greeted(greeting);
        client = again;
    }
    while !seen.is_over() {
        if slow {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        match client.next_or_close().await {
            Ok(frame) => seen.frames.push(frame),
            Err(close) => {
                // Too slow: it comes back, and is told if that was too slow for the log as well.
                assert_eq!(close.code, 4008);
                let position = client.position();
                let (again, greeting) = connect.clone().after(&position).greeted().await;
                seen.greeted(greeting);
                client = again;
            }
        }
    }
    client.close().await;
    seen
}

async fn end(host: &TestHost, session: SessionId, mut puppet: Puppet, end: End) {
    match end {
        End::Finish => puppet.finish("over").await,
        End::Stop => {
            host.stop(session).await;
            puppet.begin("stop", json!({})).await;
            puppet.gone().await;
        }
        // Its strings are cut.
        End::Fail => drop(puppet),
    }
}

/// Plays the steps; what one saw who was there all the time, and everybody else.
async fn play(host: &TestHost, steps: &[Step]) -> (Vec<Frame>, Vec<Seen>) {
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut sender = host.v2(session).await;
    // There before the first event.
    let greeted = host.join(session).await;
    let witness = tokio::spawn(follow(host.connect_to(session), greeted, Vec::new(), false));
    let mut clients = Vec::new();
    let joined = Arc::new(AtomicUsize::new(0));
    let content = json!({"type": "message", "content": strings.content(), "on_busy": "enqueue"});
    sender.ask(&content).await;
    let mut puppet = strings.take().await;
    for step in steps {
        match step {
            Step::Emit(1, event) => puppet.emit(event.clone()).await,
            Step::Emit(times, event) => {
                puppet.order("repeat", json!([times, event])).await.unwrap();
            }
            Step::Next(how) => {
                sender.ask(&content).await;
                end(host, session, puppet, *how).await;
                puppet = strings.take().await;
            }
            Step::Attach { cuts, slow } => {
                clients.push(attach(
                    host.connect_to(session),
                    Arc::clone(&joined),
                    cuts.clone(),
                    *slow,
                ));
            }
            Step::Yield => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    // One that comes later would wait for a run that never begins.
    let all = clients.len();
    until("all who come", || {
        joined.load(Ordering::Relaxed) == all || clients.iter().any(JoinHandle::is_finished)
    })
    .await;
    puppet.finish("the end").await;
    let mut seen = Vec::new();
    for client in clients {
        seen.push(client.await.unwrap());
    }
    sender
        .until(|frame| frame.text_at("content") == "the end")
        .await;
    sender.close().await;
    let witness = witness.await.unwrap();
    assert_eq!((witness.told, witness.recovered), (0, 0));
    (witness.frames, seen)
}

/// The events one character at a time, so that what was cut anywhere can be compared.
fn characters(frames: &[Frame]) -> Vec<String> {
    let events = events(frames).into_iter();
    let parts = events.flat_map(|event| match event["delta"].as_str() {
        Some(text) => text
            .chars()
            .map(|letter| format!("{}{letter}", event["type"]))
            .collect(),
        None => vec![event.to_string()],
    });
    parts.collect()
}

/// Runs `check` over random schedules, on one host with this configuration.
fn with_schedules(toml: &str, cases: u32, check: impl Fn(&Seen)) {
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
        let (whole, seen) = runtime.block_on(play(&host, &steps));
        let whole = characters(&whole);
        for client in seen {
            let own = characters(&client.frames);
            assert!(!own.is_empty());
            assert!(whole.ends_with(&own), "{own:?} is not how {whole:?} ends");
            check(&client);
        }
        Ok(())
    });
    runtime.block_on(host.shut_down([]));
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

#[test]
fn with_room_for_everything_whoever_is_cut_gets_all_that_it_missed() {
    let recovered = AtomicUsize::new(0);
    with_schedules("", 40, |client| {
        assert_eq!(client.told, 0);
        recovered.fetch_add(client.recovered, Ordering::Relaxed);
    });
    let recovered = recovered.into_inner();
    assert!(recovered > 50, "{recovered}");
}

#[test]
fn with_little_room_it_does_or_is_told() {
    let toml = "limits.replay_records = 4\nlimits.replay_seconds = 0\nlimits.slow_wait = 0";
    let told = AtomicUsize::new(0);
    with_schedules(toml, 40, |client| {
        told.fetch_add(client.told, Ordering::Relaxed);
    });
    let told = told.into_inner();
    assert!(told > 0, "{told}");
}
