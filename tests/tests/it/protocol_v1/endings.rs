//! The last frame of a run: which one, with what in it, and that nothing follows.

use roundhouse_tests::script::{delta, emit, hold, repeat};
use roundhouse_tests::{Frame, Strings, TestHost, script, text_of};
use serde_json::{Value, json};

/// The last frame of a run of these steps.
async fn last_frame(steps: &[Value]) -> Value {
    let host = TestHost::start().await;
    let mut client = host.client().await;
    let frames = client.run(&script(steps)).await;
    // The run is over, the connection is not.
    assert_eq!(text_of(&client.run("next").await), "next ");
    host.shut_down([client]).await;
    frames.last().map(Frame::value).cloned().unwrap()
}

fn error(message: &str) -> Value {
    json!({"type": "error", "message": message})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_finished_ends_with_its_outcome_and_the_hosts_numbers() {
    let mut end = last_frame(&[
        delta("streamed"),
        emit(json!({"type": "tool_call", "tool": "a"})),
        emit(json!({"type": "tool_call", "tool": "b", "is_subagent": true})),
        emit(json!({"type": "tool_started", "tool": "c"})),
        emit(json!({
            "type": "stream_end", "content": "said", "context_tokens": 11, "max_context_tokens": 4096,
            "token_count": 7, "elapsed_seconds": 1e9, "tool_call_count": 1_000_000
        })),
        delta("never"),
    ])
    .await;
    let elapsed = end["elapsed_seconds"].take().as_f64().unwrap();
    assert!((0.0..60.0).contains(&elapsed), "{elapsed}");
    assert_eq!(
        end,
        json!({
            "type": "stream_end", "content": "said", "context_tokens": 11, "max_context_tokens": 4096,
            "elapsed_seconds": null, "tool_call_count": 2, "token_count": 7
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn elapsed_seconds_are_those_of_the_run() {
    let end = last_frame(&[json!({"sleep": 0.3})]).await;
    let elapsed = end["elapsed_seconds"].as_f64().unwrap();
    assert!((0.3..30.0).contains(&elapsed), "{elapsed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_was_stopped_ends_with_stream_stopped() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client
        .begin(&script(&[delta("a"), hold(), delta("never")]))
        .await;
    client.expect_kind("stream_delta").await;
    host.stop(session).await;
    client.expect(json!({"type": "stream_stopped"})).await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_ends_with_its_error() {
    let raise = |kind: &str| json!({"raise": [kind, "the agent's own words"]});
    for (steps, text) in [
        (vec![raise("agent")], "the agent's own words"),
        (vec![raise("max_iterations")], "the agent's own words"),
        (vec![raise("not_found")], "Session not found"),
        (
            vec![raise("internal")],
            "Internal error: the agent's own words",
        ),
        (
            vec![delta("streamed"), raise("agent")],
            "the agent's own words",
        ),
    ] {
        assert_eq!(last_frame(&steps).await, error(text), "{steps:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_an_internal_error_and_the_next_run_works() {
    let host = TestHost::start().await;
    let mut client = host.client().await;
    for _ in 0..3 {
        let frames = client
            .run(&script(&[delta("a"), json!({"panic": "out of the blue"})]))
            .await;
        let last = frames.last().unwrap().value();
        let text = last["message"].as_str().unwrap();
        assert!(text.starts_with("Internal error: "), "{last}");
        assert_eq!(text_of(&client.run("goes on").await), "goes on ");
    }
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_finish_although_it_was_stopped() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    host.stop(session).await;
    puppet.order("wait_stop", Value::Null).await.unwrap();
    puppet.finish("finished anyway").await;
    let end = client.expect_kind("stream_end").await;
    assert_eq!(end.value()["content"], "finished anyway");

    // And it may say that it was stopped without having been.
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    puppet.begin("stop", json!({"content": "of its own"})).await;
    client.expect(json!({"type": "stream_stopped"})).await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_run_follows_its_last_frame() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    // Each client watches the order of its frames itself; here many runs give them the occasion.
    for round in 0..20 {
        let frames = client
            .run(&script(&[repeat(
                50,
                json!({"type": "stream_delta", "delta": "{i} "}),
            )]))
            .await;
        let counted: String = (0..50).map(|number| format!("{number} ")).collect();
        assert_eq!(text_of(&frames), counted, "round {round}");
        let ends = frames.iter().filter(|frame| frame.ends_run()).count();
        assert_eq!(ends, 1);
    }
    client.taken().await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_sent_on_seeing_the_last_frame_is_accepted() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut clients = [host.idle(session).await, host.idle(session).await];
    let ways = [
        "a b c".to_owned(),
        script(&[]),
        script(&[json!({"raise": ["agent", "x"]})]),
        script(&[json!({"raise": ["not_found", "x"]})]),
    ];
    for round in 0..100 {
        // By whoever saw it, or by somebody else who was told.
        let client = &mut clients[round % 2];
        client.run(&ways[round % ways.len()]).await;
    }
    // After a stop as well.
    for _ in 0..20 {
        clients[0].begin(&script(&[hold()])).await;
        host.stop(session).await;
        clients[0].expect_kind("stream_stopped").await;
    }
    host.shut_down(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_too_long_is_stopped_and_told_so() {
    let host = TestHost::with("limits.run_seconds = 1").await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    let frames = client.run(&script(&[delta("a"), hold()])).await;
    assert_eq!(
        *frames.last().unwrap().value(),
        error("Run exceeded 1 seconds.")
    );
    assert_eq!(text_of(&frames), "a");
    let runs = host.runs(session).await;
    let failure = runs[0].failure.as_ref().unwrap();
    assert_eq!(
        (failure.code.as_str(), failure.text.as_str()),
        ("run_timeout", "Run exceeded 1 seconds.")
    );
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_too_long_ends_although_its_agent_does_not_listen() {
    let host = TestHost::with("limits.run_seconds = 1\nstop.grace = \"200ms\"").await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let file = host.path("enough");
    puppet.begin("block", json!(file)).await;
    client.expect(error("Run exceeded 1 seconds.")).await;
    std::fs::write(file, "").unwrap();
    puppet.gone().await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_script_fails_before_it_does_anything() {
    let host = TestHost::start().await;
    let mut client = host.client().await;
    let frames = client
        .run("script:[{\"emit\":{\"kind\":\"thinking_end\"}},{\"nonsense\":1}]")
        .await;
    assert_eq!(frames.len(), 2);
    let text = frames[1].value()["message"].as_str().unwrap();
    assert!(
        text.starts_with("script, step 2: there is no step `nonsense`"),
        "{text}"
    );
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_is_too_large_fails_the_run() {
    let host = TestHost::with("limits.history_bytes = \"4 KiB\"").await;
    let session = host.session_with("puppet").await;
    let mut client = host.idle(session).await;
    for (outcome, what) in [
        (json!({"content": "x".repeat(4097)}), "content has 4097"),
        (json!({"data": "x".repeat(4095)}), "data has 4097"),
    ] {
        let strings = Strings::new().await;
        client.begin(&strings.content()).await;
        let mut puppet = strings.take().await;
        puppet.begin("finish", outcome).await;
        let text = format!(
            "Internal error: the outcome's {what} bytes, and limits.history_bytes allows 4096"
        );
        client.expect(error(&text)).await;
    }
    let strings = Strings::new().await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let fits = json!({"content": "x".repeat(4096), "data": "x".repeat(4094)});
    puppet.begin("finish", fits).await;
    client.expect_kind("stream_end").await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_an_agent_cannot_start_is_for_the_operator_to_know() {
    let host = TestHost::with("stop.grace = \"100ms\"").await;
    let session = host.session_with("puppet").await;
    let mut client = host.idle(session).await;
    let strings = Strings::new().await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let file = host.path("enough");
    puppet.begin("block_thread", json!(file)).await;
    host.stop(session).await;
    client.expect_kind("stream_stopped").await;
    // The next run needs a fresh copy of the library, and there is nothing that one could be made of.
    let staged = host.path("data/plugins");
    for folder in std::fs::read_dir(staged).unwrap().flatten() {
        for staged in std::fs::read_dir(folder.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            std::fs::remove_file(staged.path()).unwrap();
        }
    }
    let frames = client.run("hello").await;
    assert_eq!(frames.len(), 2, "{frames:?}");
    assert_eq!(
        frames[1].value(),
        &error("Internal error: the agent puppet is not available")
    );
    std::fs::write(file, "").unwrap();
    puppet.gone().await;
    host.shut_down([client]).await;
}
