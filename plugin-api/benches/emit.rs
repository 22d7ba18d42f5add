//! What one `emit` of a text delta costs: the author's call, the crossing, and the host's side up to the point
//! where it would do something with the event.
//!
//! `cargo bench -p roundhouse-plugin-api --bench emit`

#![expect(unsafe_code, reason = "the entry function is called as the host does")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use plugin_api::abi::import::*;
use plugin_api::serde_json;
use plugin_api::{
    AgentBackend, CreateError, Event, InstanceContext, NoConfig, Outcome, RunContext, RunError,
    RunRequest, async_trait,
};

const BATCHES: u32 = 500;
const EVENTS: u32 = 10_000;

fn nanoseconds_each(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e9 / f64::from(EVENTS)
}

struct Emitter;

#[async_trait]
impl AgentBackend for Emitter {
    type Config = NoConfig;

    async fn create(_: NoConfig, _: InstanceContext) -> Result<Self, CreateError> {
        Ok(Self)
    }

    async fn run(&self, request: RunRequest, ctx: RunContext) -> Result<Outcome, RunError> {
        // The best of many batches: what else the machine does falls out.
        let (mut made, mut emitted) = (f64::MAX, f64::MAX);
        for _ in 0..BATCHES {
            let start = Instant::now();
            for _ in 0..EVENTS {
                std::hint::black_box(Event::stream_delta(request.content.as_str()));
            }
            made = made.min(nanoseconds_each(start));
            let start = Instant::now();
            for _ in 0..EVENTS {
                ctx.emit(Event::stream_delta(request.content.as_str()))
                    .await?;
            }
            emitted = emitted.min(nanoseconds_each(start));
        }
        Ok(Outcome::finished(format!(
            "{:3} bytes: {made:5.1} ns to make the event and drop it, {:5.1} ns more to emit it",
            request.content.len(),
            emitted - made,
        )))
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

fn main() {
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
    let agent = unsafe { functions.instance(instance) };
    for text in [
        "word ",
        "a longer piece of text, such as models give when they are in a hurry to be done",
    ] {
        agent.run(2, &serde_json::json!({ "content": text }).to_string());
        let Completion::Finished { json, .. } = endings.recv().unwrap() else {
            unreachable!()
        };
        let outcome: plugin_api::wire::OutcomeData = serde_json::from_str(&json).unwrap();
        println!("{}", outcome.content);
    }
}
