//! Tools, as clients see them: `tool_started` before a call, `tool_call` after it, both from the host.

use roundhouse_tests::script::hold;
use roundhouse_tests::{Frame, Strings, TestHost, script};
use serde_json::{Value, json};

const TOOLBOX: &str = r#"
[plugins.libraries.toolbox]
file = "roundhouse_toolbox"
[tools.toolbox]
component = "toolbox/toolbox"
"#;

const FAULTY: &str = r#"
[plugins.libraries.faulty]
file = "fixture_faulty"
[tools.faulty]
component = "faulty/tools"
timeout = "200ms"
"#;

/// The events of a run that makes these calls, and its last frame.
async fn called(toml: &str, calls: &[Value]) -> (Vec<Value>, Value) {
    let host = TestHost::with(toml).await;
    let mut client = host.client().await;
    let steps: Vec<_> = calls.iter().map(|call| json!({ "tool": call })).collect();
    let frames = client.run(&script(&steps)).await;
    host.shut_down([client]).await;
    let mut messages: Vec<_> = frames.iter().map(Frame::value).cloned().collect();
    let last = messages.pop().unwrap();
    (messages.split_off(1), last)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_shown_when_it_begins_and_when_it_has_ended() {
    let args = json!({"expression": "6*7"});
    let (events, end) = called(TOOLBOX, &[json!(["calculator", args])]).await;
    assert_eq!(
        events[0],
        json!({"type": "tool_started", "tool": "calculator", "args": args, "is_subagent": false})
    );
    let mut call = events[1].clone();
    assert!(call["metadata"].take().is_null() || events[1]["metadata"].is_object());
    assert_eq!(
        call,
        json!({"type": "tool_call", "tool": "calculator", "args": args, "result": "42", "success": true,
            "is_subagent": false, "metadata": null})
    );
    assert_eq!(events.len(), 2);
    assert_eq!(end["tool_call_count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_fail_are_shown_as_well() {
    let calls = [
        json!(["calculator", {"expression": "1/0"}]),
        json!(["calculator", {"nonsense": 1}]),
        json!(["calculator", "no object"]),
        json!(["nobody", {}]),
    ];
    let (events, end) = called(TOOLBOX, &calls).await;
    assert_eq!(events.len(), 8);
    for (pair, call) in events.chunks(2).zip(&calls) {
        assert_eq!(
            (&pair[0]["type"], &pair[1]["type"]),
            (&json!("tool_started"), &json!("tool_call"))
        );
        for event in pair {
            assert_eq!((&event["tool"], &event["args"]), (&call[0], &call[1]));
        }
        assert_eq!(pair[1]["success"], false, "{}", pair[1]);
        assert_ne!(pair[1]["result"], "");
    }
    assert_eq!(end["type"], "stream_end");
    assert_eq!(end["tool_call_count"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_calls_only_what_it_may() {
    let toml = format!("{TOOLBOX}\n[agents.scripted]\ntools = [\"text_*\", \"uuid\"]\n");
    let calls = [
        json!(["text_stats", {"text": "two words"}]),
        json!(["calculator", {"expression": "1"}]),
    ];
    let (events, _) = called(&toml, &calls).await;
    assert_eq!(events[1]["success"], true, "{}", events[1]);
    assert_eq!(events[3]["success"], false, "{}", events[3]);
    let text = events[3]["result"].as_str().unwrap();
    assert!(text.contains("calculator"), "{text}");

    // And it is offered nothing else.
    let host = TestHost::with(&format!(
        "{TOOLBOX}\n[agents.puppet]\ntools = [\"text_*\"]\n"
    ))
    .await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let tools = puppet.order("tools", Value::Null).await.unwrap();
    assert_eq!(tools, json!(["text_stats"]));
    puppet.finish("").await;
    client.rest_of_run().await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_takes_too_long_or_panics_has_failed() {
    let calls = [
        json!(["hang", {}]),
        json!(["panic", {}]),
        json!(["fail", {}]),
        json!(["echo", {"text": "fine"}]),
    ];
    let (events, end) = called(FAULTY, &calls).await;
    let results: Vec<_> = events
        .iter()
        .filter(|event| event["type"] == "tool_call")
        .map(|event| {
            (
                event["success"].as_bool().unwrap(),
                event["result"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(results.len(), 4);
    assert!(
        !results[0].0 && results[0].1.contains("0.2 s"),
        "{results:?}"
    );
    assert!(!results[1].0, "{results:?}");
    assert_eq!(results[2], (false, "Tool `fail` failed: told to fail"));
    assert_eq!(results[3], (true, "fine"));
    assert_eq!(end["type"], "stream_end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_a_call() {
    let toml = FAULTY.replace("200ms", "1h");
    let host = TestHost::with(&toml).await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client
        .begin(&script(&[json!({"tool": ["hang", {}]}), hold()]))
        .await;
    client.expect_kind("tool_started").await;
    host.stop(session).await;
    let rest = client.rest_of_run().await;
    assert_eq!(rest.last().unwrap().kind(), "stream_stopped");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_of_one_toolset_are_told_apart_by_their_prefix() {
    let toml =
        format!("{TOOLBOX}\n[tools.second]\ncomponent = \"toolbox/toolbox\"\nprefix = \"my_\"\n");
    let calls = [
        json!(["uuid", {"version": "v4"}]),
        json!(["my_uuid", {"version": "v4"}]),
    ];
    let (events, _) = called(&toml, &calls).await;
    assert_eq!(events[3]["tool"], "my_uuid");
    assert_eq!(
        (&events[1]["success"], &events[3]["success"]),
        (&json!(true), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_shows_no_more_of_a_call_than_an_event_may_have() {
    let toml = format!("limits.event_bytes = \"4 KiB\"\n{FAULTY}");
    let host = TestHost::with(&toml).await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let text = "x".repeat(3000);
    let output = puppet
        .order("tool", json!(["echo", {"text": text}]))
        .await
        .unwrap();
    assert_eq!(output["text"], text.as_str());
    client.expect_kind("tool_started").await;
    let call = client.expect_kind("tool_call").await;
    let shown = call.value()["result"].as_str().unwrap();
    let begin = shown.strip_suffix(" […]").unwrap();
    assert!(begin.len() > 500 && text.starts_with(begin), "{shown}");
    let refused = puppet
        .order("tool", json!(["echo", {"text": "x".repeat(5000)}]))
        .await
        .unwrap_err();
    assert!(
        refused.contains("the call takes more than 4096 bytes"),
        "{refused}"
    );
    puppet.finish("").await;
    client.expect_kind("stream_end").await;
    host.shut_down([client]).await;
}
