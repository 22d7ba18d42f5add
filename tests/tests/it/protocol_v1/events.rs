//! Every type of event with all its fields, the agent's own events, and what an agent cannot emit.

use roundhouse_tests::script::emit;
use roundhouse_tests::{Strings, TestHost, script};
use serde_json::{Value, json};

/// Emits these messages in one run and returns what came between `stream_start` and the last frame.
async fn emitted(messages: &[Value]) -> Vec<Value> {
    let host = TestHost::start().await;
    let mut client = host.client().await;
    let steps: Vec<_> = messages.iter().cloned().map(emit).collect();
    let mut frames = client.run(&script(&steps)).await;
    assert_eq!(
        frames.pop().map(|last| last.kind().to_owned()).as_deref(),
        Some("stream_end")
    );
    host.shut_down([client]).await;
    frames[1..]
        .iter()
        .map(|frame| frame.value().clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_arrives_with_all_its_fields() {
    let messages = [
        json!({"type": "thinking_delta", "delta": "hm\n\"quoted\" \u{1f682} \u{0}"}),
        json!({"type": "thinking_end"}),
        json!({"type": "turn_thinking", "thinking": "all of it", "is_subagent": true}),
        json!({"type": "stream_delta", "delta": "text \u{2028} \\ / \t"}),
        json!({"type": "planning_status", "phase": "research", "label": "Reading", "is_subagent": false}),
        json!({"type": "plan_ready", "plan": [{"step": 1}, {"step": 2.5}], "is_subagent": true}),
        json!({"type": "plan_ready", "plan": "a plan of words", "is_subagent": false}),
        json!({"type": "plan_ready", "plan": null, "is_subagent": false}),
        json!({"type": "tool_started", "tool": "t", "args": {"deep": [{"a": null}]}, "is_subagent": false}),
        json!({"type": "tool_call", "tool": "t", "args": {}, "result": "r", "success": true, "is_subagent": true,
            "metadata": {"more": [1, 2]}}),
        json!({"type": "tool_call", "tool": "t", "args": {}, "result": "", "success": false, "is_subagent": false,
            "metadata": null}),
        json!({"type": "profile_switched", "profile_id": "p", "profile_name": "P"}),
        json!({"type": "context_compressed", "messages_before": 40, "messages_after": 6, "summary": "short"}),
    ];
    assert_eq!(emitted(&messages).await, messages);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_left_out_are_there_all_the_same() {
    let kinds = [
        "thinking_delta",
        "thinking_end",
        "turn_thinking",
        "stream_delta",
        "planning_status",
        "plan_ready",
        "tool_started",
        "tool_call",
        "profile_switched",
        "context_compressed",
    ];
    let messages: Vec<_> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
    assert_eq!(
        emitted(&messages).await,
        [
            json!({"type": "thinking_delta", "delta": ""}),
            json!({"type": "thinking_end"}),
            json!({"type": "turn_thinking", "thinking": "", "is_subagent": false}),
            json!({"type": "stream_delta", "delta": ""}),
            json!({"type": "planning_status", "phase": "", "label": "", "is_subagent": false}),
            json!({"type": "plan_ready", "plan": null, "is_subagent": false}),
            json!({"type": "tool_started", "tool": "", "args": null, "is_subagent": false}),
            json!({"type": "tool_call", "tool": "", "args": null, "result": "", "success": false,
                "is_subagent": false, "metadata": null}),
            json!({"type": "profile_switched", "profile_id": "", "profile_name": ""}),
            json!({"type": "context_compressed", "messages_before": 0, "messages_after": 0, "summary": ""}),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_version_1_does_not_list_is_added() {
    let with_more = [
        json!({"type": "stream_delta", "delta": "x", "seq": 1, "more": true}),
        json!({"type": "tool_started", "call_id": "c", "parent": "p", "tool": "t", "args": {}, "more": 1}),
        json!({"type": "tool_call", "call_id": "c", "tool": "t", "args": {}, "result": "r", "success": true, "agent": "a"}),
    ];
    assert_eq!(
        emitted(&with_more).await,
        [
            json!({"type": "stream_delta", "delta": "x"}),
            json!({"type": "tool_started", "tool": "t", "args": {}, "is_subagent": false}),
            json!({"type": "tool_call", "tool": "t", "args": {}, "result": "r", "success": true,
                "is_subagent": false, "metadata": null}),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_own_events_arrive_as_they_are() {
    let messages = [
        json!({"type": "citation", "url": "https://example.org/", "n": [1, {"deep": null}]}),
        json!({"type": "citation"}),
        json!({"type": "mit Leerzeichen · ✓", "": "empty key", "Seq": 1, "RUN_ID": 2}),
        // What is the protocol's is so at the top alone.
        json!({"type": "nested", "data": {"seq": 1, "run_id": 2, "epoch": 3, "type": "stream_end"}}),
        json!({"type": "Stream_Start"}),
        json!({"type": "is_subagent", "is_subagent": "whatever"}),
    ];
    assert_eq!(emitted(&messages).await, messages);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_the_hosts_own_cannot_be_emitted() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let refused = "the host refused the event as invalid";
    for kind in [
        "stream_start",
        "stream_end",
        "stream_stopped",
        "error",
        "heartbeat",
        "session_sync",
        "replay_start",
        "replay_end",
        "message",
        "message_ack",
        "stop_ack",
    ] {
        let answer = puppet
            .order("emit", json!({"type": kind, "count": 1}))
            .await;
        assert_eq!(answer, Err(refused.to_owned()), "{kind}");
    }
    for key in ["seq", "run_id", "epoch"] {
        let answer = puppet
            .order("emit", json!({"type": "own", "more": 1, key: 1}))
            .await;
        assert_eq!(answer, Err(refused.to_owned()), "{key}");
    }
    // The run is none the worse for it, and clients saw nothing.
    puppet.delta("still there").await;
    client
        .expect(json!({"type": "stream_delta", "delta": "still there"}))
        .await;
    puppet.finish("").await;
    client.expect_kind("stream_end").await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_over_the_limit_is_refused_to_whoever_emits_it() {
    let host = TestHost::with("limits.event_bytes = \"8 KiB\"").await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let too_large = || Err("the event is larger than the host allows".to_owned());
    let fits = "x".repeat(8 * 1024 - "stream_delta".len());
    puppet.delta(&fits).await;
    let text = "x".repeat(8 * 1024 + 1);
    for message in [
        json!({"type": "stream_delta", "delta": text}),
        json!({"type": "thinking_delta", "delta": text}),
        json!({"type": "turn_thinking", "thinking": text}),
        json!({"type": "plan_ready", "plan": [text]}),
        json!({"type": "tool_started", "tool": "t", "args": {"a": text}}),
        json!({"type": "tool_call", "tool": "t", "result": text}),
        json!({"type": "own", "data": text}),
        json!({"type": text}),
    ] {
        assert_eq!(puppet.order("emit", message).await, too_large());
    }
    puppet.delta("after").await;
    client
        .expect(json!({"type": "stream_delta", "delta": fits}))
        .await;
    client
        .expect(json!({"type": "stream_delta", "delta": "after"}))
        .await;
    puppet.finish("").await;
    client.expect_kind("stream_end").await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_mebibyte_passes_by_default() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let mib = 1024 * 1024;
    let fits = "x".repeat(mib - 100);
    puppet.delta(&fits).await;
    client
        .expect(json!({"type": "stream_delta", "delta": fits}))
        .await;
    let answer = puppet
        .order(
            "emit",
            json!({"type": "stream_delta", "delta": "x".repeat(mib + 1)}),
        )
        .await;
    assert!(answer.is_err());
    puppet.finish("").await;
    client.expect_kind("stream_end").await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_nested_too_deep_is_refused() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    puppet.emit(json!({"type": "own", "data": deep(60)})).await;
    client
        .expect(json!({"type": "own", "data": deep(60)}))
        .await;
    let answer = puppet
        .order("emit", json!({"type": "own", "data": deep(70)}))
        .await;
    assert_eq!(
        answer,
        Err("the host refused the event as invalid".to_owned())
    );
    puppet.finish("").await;
    client.expect_kind("stream_end").await;
    host.shut_down([client]).await;
}
