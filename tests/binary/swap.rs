//! Hundreds of swaps of a library under a thousand sessions that stream: no run is lost, doubled or moved to another
//! version in its middle, and what stays in memory is what a generation costs.
//!
//! `SWAP_TEST` sets the size as `SWAPSxSESSIONS`; tests/README.md says which sizes are run when.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use roundhouse_host::session::SessionId;
use roundhouse_tests::{Rest, soon};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::process::Serving;
use crate::signals::exit_code;

/// Swaps and sessions where nobody says otherwise.
const SIZE: (usize, u64) = (200, 1000);

/// Deltas of a run, and the milliseconds between them: a run lasts for many swaps.
const RUN: (u64, u64) = (6, 700);

/// Swaps without load, to see what a generation costs.
const MEASURED: u64 = 20;

/// What may be kept besides the generations, in bytes: allocators do not give everything back.
const SLACK: u64 = 48 * 1024 * 1024;

const CONFIG: &str = r#"
default_agent = "teller"
[storage]
path = "../data"
[server]
drain_spread = "0s"
[limits]
replay_seconds = "0s"
[log]
filter = "error"
[reload]
max_generations = 100000
[plugins.libraries.swap]
file = "../libswap.so"
[agents.teller]
component = "swap/teller"
subagents = ["other"]
[agents.other]
component = "swap/teller"
[tools.which]
component = "swap/which"
[[mappers]]
component = "swap/mark"
"#;

fn size() -> (usize, u64) {
    let Ok(text) = std::env::var("SWAP_TEST") else {
        return SIZE;
    };
    let (swaps, sessions) = text.split_once('x').unwrap();
    (swaps.parse().unwrap(), sessions.parse().unwrap())
}

/// A host, and the library that is swapped in it.
struct Stage {
    folder: tempfile::TempDir,
    serving: Serving,
    rest: Rest,
    /// Counts swaps, and so tells which version is next.
    swaps: AtomicU64,
}

/// What is in force: the newest generation that a reload has answered.
#[derive(Default)]
struct InForce {
    newest: AtomicU64,
    is_over: AtomicBool,
}

impl Stage {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        std::fs::write(folder.path().join("config/roundhouse.toml"), CONFIG).unwrap();
        install(folder.path(), 0);
        let serving = Serving::start(folder.path(), &[]);
        let rest = Rest::of(serving.address.parse().unwrap());
        Self {
            folder,
            serving,
            rest,
            swaps: AtomicU64::new(0),
        }
    }

    fn address(&self) -> SocketAddr {
        self.serving.address.parse().unwrap()
    }

    /// Puts the other version in place, and in force; answers its generation.
    async fn swap(&self) -> u64 {
        let number = self.swaps.fetch_add(1, Ordering::Relaxed) + 1;
        install(self.folder.path(), number);
        let answer = self.rest.post("/admin/reload", &json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let swap = &answer.body["plugins"][0];
        assert_eq!(swap["change"], "replaced", "{}", answer.body);
        assert_eq!(swap["version"], version(number));
        let generation = swap["generation"].as_u64().unwrap();
        assert_eq!(generation, number + 1, "a library was opened for nothing");
        generation
    }

    /// Waits until all generations but the newest have ended.
    async fn retired(&self) -> Vec<Value> {
        soon("the end of all old generations", async {
            loop {
                let plugins = self.rest.get("/plugins").await.body;
                let all = plugins["generations"].as_array().unwrap().clone();
                let (newest, old) = all.split_last().unwrap();
                if newest["state"] == "serving" && old.iter().all(|one| one["state"] == "retired") {
                    return all;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    /// What the host has in memory, in bytes.
    fn resident(&self) -> u64 {
        self.serving.memory("VmRSS") * 1024
    }

    /// How many of these the host has: `task` for threads, `fd` for open files.
    fn count(&self, what: &str) -> usize {
        let folder = format!("/proc/{}/{what}", self.serving.pid());
        std::fs::read_dir(folder).unwrap().count()
    }

    /// Runs that have ended, by status.
    async fn runs(&self) -> HashMap<String, u64> {
        let page = self.rest.text("/metrics").await;
        let runs = page.lines().filter_map(|line| {
            let rest = line.strip_prefix("roundhouse_runs_total{status=\"")?;
            let (status, count) = rest.split_once("\"} ")?;
            Some((status.to_owned(), count.parse().unwrap()))
        });
        runs.collect()
    }
}

/// Even ones are the first version.
fn version(number: u64) -> &'static str {
    if number.is_multiple_of(2) {
        "1.0.0"
    } else {
        "2.0.0"
    }
}

fn install(folder: &Path, number: u64) {
    let name = if version(number) == "1.0.0" {
        "libfixture_swap_one.so"
    } else {
        "libfixture_swap_two.so"
    };
    let test: PathBuf = std::env::current_exe().unwrap();
    let new = folder.join("libswap.so.new");
    std::fs::copy(test.parent().unwrap().join(name), &new).unwrap();
    std::fs::rename(new, folder.join("libswap.so")).unwrap();
}

/// A client that has one run after the other, and checks each.
struct Watcher {
    socket: WebSocketStream<TcpStream>,
}

impl Watcher {
    async fn connect(address: SocketAddr, session: SessionId) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let url = format!("ws://{address}/ws/sessions/{session}");
        let (socket, _) = soon("a connection", client_async(url, stream))
            .await
            .unwrap();
        let mut watcher = Self { socket };
        assert_eq!(watcher.next().await["type"], "session_sync");
        watcher
    }

    async fn next(&mut self) -> Value {
        loop {
            match soon("a frame", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["type"] != "heartbeat" {
                        return frame;
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("the connection was lost: {other:?}"),
            }
        }
    }

    /// One run, checked. It has to be of one generation, and of none older than `least`.
    async fn run(&mut self, (count, pace): (u64, u64), least: u64, began: impl FnOnce()) {
        let content = format!("{count} {pace}");
        let message = json!({"type": "message", "content": content}).to_string();
        self.socket.send(Message::text(message)).await.unwrap();
        assert_eq!(self.next().await["type"], "stream_start");
        let mut began = Some(began);
        let mut text = String::new();
        let mut which = Vec::new();
        loop {
            let frame = self.next().await;
            match frame["type"].as_str().unwrap() {
                "stream_delta" => {
                    text += frame["delta"].as_str().unwrap();
                    if let Some(began) = began.take() {
                        began();
                    }
                }
                "tool_call" => which.push(frame["result"].as_str().unwrap().to_owned()),
                "tool_started" => {}
                "stream_end" => {
                    which.push(frame["content"].as_str().unwrap().to_owned());
                    break;
                }
                _ => panic!("{frame} after {text}"),
            }
        }
        assert_eq!(
            which.len(),
            3,
            "the tool, the subagent's tool and the agent"
        );
        which.dedup();
        assert_eq!(which.len(), 1, "of several generations: {which:?}");
        let (version_told, generation) = which[0].split_once('/').unwrap();
        let generation: u64 = generation.parse().unwrap();
        assert_eq!(version_told, version(generation - 1));
        assert!(generation >= least, "{generation} served after {least}");
        // Everything once, in order, from agent and mapper of one version.
        let mut expected = String::new();
        for number in 0..count {
            let _ = writeln!(expected, "{number} {} {version_told}", which[0]);
        }
        assert_eq!(text, expected);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_swaps_under_many_sessions() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let (swaps, sessions) = size();
    let stage = Stage::start();

    // What a generation costs: a run in each, so that it has done all that it does.
    let session = stage.rest.create_session(&json!({})).await;
    let mut probe = Watcher::connect(stage.address(), session).await;
    let mut before = 0;
    for number in 0..MEASURED * 2 {
        if number == MEASURED {
            stage.retired().await;
            before = stage.resident();
        }
        let generation = stage.swap().await;
        probe.run((4, 0), generation, || {}).await;
    }
    stage.retired().await;
    let cost = stage.resident().saturating_sub(before) / MEASURED;
    let (threads, files) = (stage.count("task"), stage.count("fd"));

    // Under load.
    let in_force = Arc::new(InForce::default());
    let streaming = Arc::new(AtomicU64::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..sessions {
        let session = stage.rest.create_session(&json!({})).await;
        let mut watcher = Watcher::connect(stage.address(), session).await;
        let (in_force, streaming) = (Arc::clone(&in_force), Arc::clone(&streaming));
        clients.spawn(async move {
            let mut runs = 0;
            while runs == 0 || !in_force.is_over.load(Ordering::Acquire) {
                let least = in_force.newest.load(Ordering::Acquire);
                let began = || {
                    if runs == 0 {
                        streaming.fetch_add(1, Ordering::Relaxed);
                    }
                };
                watcher.run(RUN, least, began).await;
                runs += 1;
            }
            runs
        });
    }
    roundhouse_tests::until("every session's stream", || {
        streaming.load(Ordering::Relaxed) == sessions
    })
    .await;
    let resident = stage.resident();
    let begun = Instant::now();
    for _ in 0..swaps {
        let generation = stage.swap().await;
        in_force.newest.store(generation, Ordering::Release);
        // One that has failed ends the test at once.
        if let Some(ended) = clients.try_join_next() {
            panic!("a client ended early: {ended:?}");
        }
    }
    let took = begun.elapsed();
    in_force.is_over.store(true, Ordering::Release);
    let mut runs = MEASURED * 2;
    while let Some(ended) = soon("the last runs", clients.join_next()).await {
        runs += ended.unwrap();
    }

    let all = stage.retired().await;
    assert_eq!(all.len() as u64, MEASURED * 2 + swaps as u64 + 1);
    for generation in &all {
        assert_eq!(
            (&generation["running"], &generation["failures"]),
            (&json!(0), &json!(0)),
            "{generation}"
        );
    }
    // The host counts as many runs as were seen, and nothing but good ones.
    let counted = HashMap::from([("completed".to_owned(), runs)]);
    assert_eq!(stage.runs().await, counted);
    let grown = stage.resident().saturating_sub(resident);
    println!(
        "a generation costs {} KiB; {swaps} swaps in {:.1} s under {sessions} sessions with {runs} runs: {} KiB more, {} KiB a \
         swap; {threads} threads and {files} open files before",
        cost / 1024,
        took.as_secs_f64(),
        grown / 1024,
        grown / 1024 / swaps as u64,
    );
    assert!(
        grown <= cost * swaps as u64 * 5 / 4 + SLACK,
        "{grown} bytes more after {swaps} swaps at {cost} bytes each"
    );
    // A generation that has ended keeps no thread, and of open files the pair of sockets that its tokio has for signals.
    // (Threads of the host's own go after a while.)
    roundhouse_tests::until("the end of threads and files", || {
        stage.count("task") <= threads + 16 && stage.count("fd") <= files + swaps * 2 + 16
    })
    .await;
    stage.serving.signal("TERM");
    assert_eq!(exit_code(stage.serving).await, Some(0));
}
