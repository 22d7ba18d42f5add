//! Every input that the fuzzer has found worth keeping goes through its target again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

/// Feeds a target with its corpus.
fn each(target: &str, feed: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut fed = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        let input = std::fs::read(&file).unwrap();
        if let Err(panic) = std::panic::catch_unwind(|| feed(&input)) {
            eprintln!("{}", file.display());
            std::panic::resume_unwind(panic);
        }
        fed += 1;
    }
    assert!(fed >= 20, "{} has {fed} files", folder.display());
}

#[test]
fn client_frames() {
    each("client_frame", roundhouse_fuzzing::client_frame);
}

#[test]
fn the_boundary() {
    each("boundary", roundhouse_fuzzing::boundary);
}

#[test]
fn worker_frames() {
    each("worker_frames", roundhouse_fuzzing::worker_frames);
}

/// Without the fuzzer's memory of what it has seen, but with any bytes.
#[test]
fn anything_at_all() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        let mut input = Vec::new();
        for _ in 0..(state >> 32) % 64 {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            input.push(state.to_le_bytes()[3]);
        }
        state = state.wrapping_add(0x1234_5677);
        roundhouse_fuzzing::client_frame(&input);
        roundhouse_fuzzing::boundary(&input);
        roundhouse_fuzzing::worker_frames(&input);
    }
}
