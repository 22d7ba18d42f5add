//! What it costs to encode an event as a frame.
//!
//! `cargo bench -p roundhouse-host --bench encoder`

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use roundhouse_host::protocol::{Json, Position, RunEvent, ToolCall, Version};

fn benches(criterion: &mut Criterion) {
    let delta = |text: &str| RunEvent::StreamDelta {
        delta: text.to_owned(),
    };
    let call = RunEvent::ToolCall(ToolCall {
        call_id: "call-1".to_owned(),
        agent: None,
        tool: "calculator".to_owned(),
        args: Json::parse(r#"{"expression":"6 * 7"}"#, 8).unwrap(),
        result: "42".to_owned(),
        success: true,
        is_subagent: false,
        metadata: None,
    });
    for (name, event) in [
        ("a delta of a word", delta("token ")),
        ("a delta of 1 KiB", delta(&"a line of prose ".repeat(64))),
        (
            "a delta of 1 KiB, escapes",
            delta(&"fn main() {\n\t\"\"".repeat(64)),
        ),
        ("a tool call", call),
    ] {
        for (version, wire) in [("version 1", Version::V1), ("version 2", Version::V2)] {
            let mut out = Vec::new();
            criterion.bench_function(&format!("{name}, {version}"), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    black_box(&event).encode(wire, Position::of(123_456), &mut out);
                    out.len()
                });
            });
        }
    }
}

criterion_group!(all, benches);
criterion_main!(all);
