//! Version 2 of the wire protocol, sentence by sentence. `tests/README.md` says which test stands for which.

mod catching_up;
mod ends;
mod faults;
mod greeting;
mod ids;
mod in_band;
mod negotiating;
mod queue;
mod resuming;
mod schedules_v2;
mod stored;

use roundhouse_tests::script::{delta, hold};
use roundhouse_tests::{Client, script};
use serde_json::Value;

/// A message that streams this and is held then.
fn held(text: &str) -> String {
    script(&[delta(text), hold()])
}

/// Begins such a run, and waits until its text has come; the run.
async fn begin_held(client: &mut Client, text: &str) -> String {
    let run = client.accepted(&held(text)).await;
    client.expect_kind("stream_start").await;
    client.expect_kind("stream_delta").await;
    run
}

/// Waits for a run's end; its status.
async fn ended(client: &mut Client) -> Value {
    let frames = client.rest_of_run().await;
    frames[frames.len() - 1].value()["status"].clone()
}
