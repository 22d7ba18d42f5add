//! Every kind of event that an agent can emit comes out of this agent's own loop.

use std::collections::BTreeSet;

use roundhouse_host::protocol::kinds::EVENT_TYPES;
use roundhouse_tests::model::chat;

use super::stage::{end, stage};

/// Those that come from the host alone.
const THE_HOSTS: [&str; 4] = ["stream_start", "stream_stopped", "stream_end", "error"];

const SETTINGS: &str = r#"
planning = true
max_context_tokens = 200
compress_above = 0.5
compress_keep_turns = 0
profile = "first"

[agents.model.config.profiles.first]
[agents.model.config.profiles.second]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_produced_by_the_loop() {
    let (server, host) = stage(SETTINGS).await;
    let mut client = host.client().await;
    // A first turn that fills the window.
    server.answer(chat::says(&["[\"Answer\"]"]));
    server.answer(chat::begin().text("One.").end("stop", 150, 1));
    client.run("first").await;
    // Its summary, a plan, a tool, another profile, an answer.
    server.answer(chat::says(&["They said first."]));
    server.answer(chat::says(&["[\"Add\", \"Answer\"]"]));
    let call = [
        ("call_a", "calculator", r#"{"expression":"1 + 1"}"#),
        ("call_b", "switch_profile", r#"{"profile":"second"}"#),
    ];
    let thinks = chat::begin().reasoning("A sum.").text("Let me see.");
    server.answer(chat::fragments(thinks, &call).end("tool_calls", 20, 10));
    server.answer(chat::says(&["Two."]));
    let frames = client.run("second").await;

    let shown: BTreeSet<&str> = frames.iter().map(|frame| frame.kind()).collect();
    let wanted = EVENT_TYPES
        .iter()
        .copied()
        .filter(|kind| !THE_HOSTS.contains(kind));
    let missing: Vec<_> = wanted.filter(|kind| !shown.contains(kind)).collect();
    assert_eq!(missing, [""; 0]);
    end(server, host, client).await;
}
