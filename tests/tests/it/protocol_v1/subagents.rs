//! Agents inside an agent's run.

use roundhouse_tests::script::{delta, emit, hold};
use roundhouse_tests::{Frame, Strings, TestHost, fold, script};
use serde_json::{Value, json};

const NESTED: &str = r#"
[agents.scripted]
subagents = ["scripted", "helper"]
[agents.puppet]
subagents = ["scripted", "helper"]
[agents.helper]
component = "scripted/scripted"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn its_tools_plans_and_finished_thinking_reach_the_stream() {
    let host = TestHost::with(NESTED).await;
    let mut client = host.client().await;
    let inner = script(&[
        emit(json!({"type": "thinking_delta", "delta": "thinking aloud"})),
        emit(json!({"type": "thinking_end"})),
        emit(json!({"type": "turn_thinking", "thinking": "thought"})),
        emit(json!({"type": "planning_status", "phase": "p", "label": "l"})),
        delta("its text"),
        emit(json!({"type": "plan_ready", "plan": [1]})),
        emit(json!({"type": "tool_started", "tool": "t", "args": {}})),
        emit(json!({"type": "tool_call", "tool": "t", "args": {}, "result": "r", "success": true})),
        emit(json!({"type": "profile_switched", "profile_id": "p", "profile_name": "P"})),
        emit(
            json!({"type": "context_compressed", "messages_before": 2, "messages_after": 1, "summary": "s"}),
        ),
    ]);
    let steps = [
        delta("before "),
        json!({"subagent": ["helper", inner]}),
        delta("after"),
    ];
    let frames = client.run(&script(&steps)).await;
    let (end, events) = frames.split_last().unwrap();
    assert_eq!(
        fold(&events[1..]),
        [
            json!({"type": "stream_delta", "delta": "before "}),
            json!({"type": "turn_thinking", "thinking": "thought", "is_subagent": true}),
            json!({"type": "planning_status", "phase": "p", "label": "l", "is_subagent": true}),
            json!({"type": "plan_ready", "plan": [1], "is_subagent": true}),
            json!({"type": "tool_started", "tool": "t", "args": {}, "is_subagent": true}),
            json!({"type": "tool_call", "tool": "t", "args": {}, "result": "r", "success": true,
                "is_subagent": true, "metadata": null}),
            json!({"type": "stream_delta", "delta": "after"}),
        ]
    );
    // The answer is the agent's own; the tools are everybody's.
    assert_eq!(end.value()["content"], "before after");
    assert_eq!(end.value()["tool_call_count"], 1);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_that_it_calls_are_shown_as_its_own() {
    let toml = format!(
        "{NESTED}\n[plugins.libraries.toolbox]\nfile = \"roundhouse_toolbox\"\n[tools.toolbox]\ncomponent = \"toolbox/toolbox\"\n"
    );
    let host = TestHost::with(&toml).await;
    let mut client = host.client().await;
    let call = |expression: &str| json!({"tool": ["calculator", {"expression": expression}]});
    let steps = [
        call("1"),
        json!({"subagent": ["helper", script(&[call("2")])]}),
        call("3"),
    ];
    let frames = client.run(&script(&steps)).await;
    let whose: Vec<_> = frames
        .iter()
        .filter(|frame| frame.kind() == "tool_call")
        .map(|frame| {
            (
                frame.value()["result"].as_str().unwrap(),
                frame.value()["is_subagent"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(whose, [("1", false), ("2", true), ("3", false)]);
    assert_eq!(
        frames.last().map(Frame::value).unwrap()["tool_call_count"],
        3
    );
    host.shut_down([client]).await;
}

/// A run of the puppet.
async fn led(toml: &str, order: Value) -> Result<Value, String> {
    let host = TestHost::with(toml).await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let answer = puppet.order("subagent", order).await;
    puppet.finish("").await;
    client.rest_of_run().await;
    host.shut_down([client]).await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn its_text_is_the_callers_answer() {
    let answer = led(NESTED, json!(["helper", "some words"])).await;
    assert_eq!(
        answer,
        Ok(json!({"content": "some words", "stopped": false}))
    );
    let streamed = script(&[delta("in "), delta("pieces")]);
    let answer = led(NESTED, json!(["helper", streamed])).await;
    assert_eq!(
        answer,
        Ok(json!({"content": "in pieces", "stopped": false}))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn its_failure_is_told_to_its_caller_alone() {
    let failing = script(&[json!({"raise": ["agent", "own words"]})]);
    let error = led(NESTED, json!(["helper", failing])).await.unwrap_err();
    assert!(error.contains("own words"), "{error}");
    let failing = script(&[json!({"panic": "out of the blue"})]);
    assert!(led(NESTED, json!(["helper", failing])).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_agents_that_the_configuration_names_may_be_run() {
    let error = led("", json!(["scripted", "x"])).await.unwrap_err();
    assert!(
        error.contains("agent `puppet` may not run agent `scripted`"),
        "{error}"
    );
    let error = led(NESTED, json!(["puppet", "x"])).await.unwrap_err();
    assert!(
        error.contains("agent `puppet` may not run agent `puppet`"),
        "{error}"
    );
    let error = led(NESTED, json!(["nobody", "x"])).await.unwrap_err();
    assert!(error.contains("nobody"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_nested_only_so_deep() {
    let deep = |levels: usize| {
        (0..levels).fold("the end".to_owned(), |content, _| {
            script(&[json!({"subagent": ["scripted", content]})])
        })
    };
    let toml = format!("{NESTED}\n[limits]\nsubagent_depth = 2\n");
    let two = led(&toml, json!(["scripted", deep(1)])).await;
    assert!(two.is_ok(), "{two:?}");
    let three = led(&toml, json!(["scripted", deep(2)])).await.unwrap_err();
    assert!(three.contains("agents may be nested 2 deep"), "{three}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_reaches_it() {
    let host = TestHost::with(NESTED).await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    let inner = script(&[
        emit(json!({"type": "turn_thinking", "thinking": "here"})),
        hold(),
    ]);
    client
        .begin(&script(&[
            json!({"subagent": ["helper", inner]}),
            delta("never"),
        ]))
        .await;
    client.expect_kind("turn_thinking").await;
    host.stop(session).await;
    client.expect(json!({"type": "stream_stopped"})).await;
    host.shut_down([client]).await;
}

/// `told`, which does as it is told, in a library of its own.
const TOLD: &str = r#"
[plugins.libraries.faulty]
file = "fixture_faulty"
[agents.puppet]
subagents = ["told", "helper"]
[agents.told]
component = "faulty/agent"
[agents.helper]
component = "puppet/puppet"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_it_over_the_limit_is_refused() {
    let toml = format!("limits.event_bytes = \"8 KiB\"\n{TOLD}");
    let answer = led(&toml, json!(["told", "big 9000"])).await;
    assert_eq!(
        answer,
        Ok(json!({"content": "Err(TooLarge)", "stopped": false}))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_of_it_that_is_too_large_is_told_to_its_caller() {
    let toml = format!("limits.history_bytes = \"4 KiB\"\n{NESTED}");
    let error = led(&toml, json!(["helper", "x".repeat(5000)])).await;
    let error = error.unwrap_err();
    assert!(
        error
            .contains("the outcome's content has 5000 bytes, and limits.history_bytes allows 4096"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_stop_leaves_its_caller_the_time_to() {
    let host = TestHost::with(&format!("stop.grace = \"6s\"\n{TOLD}")).await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let file = host.path("enough");
    let inner = Strings::new().await;
    puppet
        .begin("subagent", json!(["helper", inner.content()]))
        .await;
    let mut helper = inner.take().await;
    helper.begin("block_thread", json!(file)).await;
    host.stop(session).await;
    assert!(puppet.answer().await.is_err());
    puppet.delta("tidied up").await;
    puppet.begin("stop", json!({})).await;
    let frames = client.rest_of_run().await;
    assert_eq!(
        fold(&frames),
        [
            json!({"type": "stream_delta", "delta": "tidied up"}),
            json!({"type": "stream_stopped"})
        ]
    );
    std::fs::write(file, "").unwrap();
    helper.gone().await;
    host.shut_down([client]).await;
}
