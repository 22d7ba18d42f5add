//! What one `emit` of a text delta costs: the author's call, the crossing, and the host's side up to the point
//! where it would do something with the event.
//!
//! `cargo bench -p roundhouse-plugin-api --bench emit`

#![expect(unsafe_code, reason = "the entry function is called as the host does")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use plugin_api::abi::import::*;
use plugin_api::serde_json::{self, json};
use plugin_api::{
    AgentBackend, CreateError, Event, InstanceContext, NoConfig, Outcome, RunContext, RunError,
    RunRequest, async_trait,
};

/// Emits as often as it is asked to, and answers how many nanoseconds that took.
struct Emitter;

#[async_trait]
impl AgentBackend for Emitter {
    type Config = NoConfig;

    async fn create(_: NoConfig, _: InstanceContext) -> Result<Self, CreateError> {
        Ok(Self)
    }

    async fn run(&self, request: RunRequest, ctx: RunContext) -> Result<Outcome, RunError> {
        let events: u64 = request.user_text.parse().map_err(RunError::internal)?;
        let text = request.content.as_str();
        let start = Instant::now();
        for _ in 0..events {
            ctx.emit(Event::stream_delta(text)).await?;
        }
        Ok(Outcome::finished(start.elapsed().as_nanos().to_string()))
    }
}

struct Counter {
    bytes: AtomicU64,
    ended: mpsc::Sender<Completion>,
}

impl HostLibrary for Counter {
    fn emit(&self, _: u64, event: EventRef<'_>) -> Answer {
        // Not what a host does, but more than nothing, and cheap.
        let bytes = self.bytes.load(Ordering::Relaxed);
        self.bytes
            .store(bytes + event.text.len() as u64, Ordering::Relaxed);
        Answer::Ok
    }

    fn complete(&self, _: u64, completion: Completion) -> Answer {
        self.ended.send(completion).unwrap();
        Answer::Ok
    }

    fn request(&self, _: u64, _: u64, _: &str, _: &str, _: Sink) {}

    fn cancel(&self, _: u64, _: u64) -> Answer {
        Answer::Ok
    }

    fn image(&self, _: u64, _: u64) -> Option<Arc<[u8]>> {
        None
    }

    fn log(&self, _: LogLine<'_>) {}
}

/// An instance of the agent, and where its runs end.
fn emitter() -> (AgentInstance, mpsc::Receiver<Completion>) {
    let entry = plugin_api::__descriptor! { agents: { "emitter" => Emitter } };
    // SAFETY: the descriptor that the macro made, in this very program.
    let plugin = unsafe { read_descriptor(entry) }.unwrap();
    let (ended, endings) = mpsc::channel();
    plugin
        .init(Arc::new(Counter {
            bytes: AtomicU64::new(0),
            ended,
        }))
        .unwrap();
    let ComponentKind::Agent(functions) = plugin.components[0].kind else {
        unreachable!()
    };
    functions.create(1, "{}", "{}");
    let Completion::Finished {
        value: Some(instance),
        ..
    } = endings.recv().unwrap()
    else {
        unreachable!()
    };
    // SAFETY: what this very component has completed with, used once.
    (unsafe { functions.instance(instance) }, endings)
}

fn benches(criterion: &mut Criterion) {
    let (agent, endings) = emitter();
    for (name, text) in [
        ("a word", "token "),
        (
            "80 bytes",
            "a longer piece of text, such as models give when they are in a hurry to be done",
        ),
    ] {
        criterion.bench_function(&format!("make an event and drop it, {name}"), |bencher| {
            bencher.iter(|| Event::stream_delta(black_box(text)));
        });
        criterion.bench_function(&format!("make an event and emit it, {name}"), |bencher| {
            bencher.iter_custom(|events| {
                let params = json!({"content": text, "user_text": events.to_string()});
                agent.run(2, &params.to_string());
                let Completion::Finished { json, .. } = endings.recv().unwrap() else {
                    unreachable!()
                };
                let outcome: plugin_api::wire::OutcomeData = serde_json::from_str(&json).unwrap();
                Duration::from_nanos(outcome.content.parse().unwrap())
            });
        });
    }
}

criterion_group!(all, benches);
criterion_main!(all);
