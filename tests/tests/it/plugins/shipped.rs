//! The shipped plugins, as the shipped configuration sets them up.

use std::sync::Arc;

use plugin_api::Event;
use plugin_api::wire::{FileInfo, ImageInfo, RunParams};
use roundhouse_host::config::Config;
use roundhouse_host::plugin::{
    Catalog, FailureKind, Mapped, PluginState, RunEnd, RunHost, ToolRequest, load,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::stage::{EVENT_BYTES, Recorder, Stage, mapper_params, params, soon};

const SHIPPED: &str = include_str!("../../../../config/roundhouse.toml");

/// Loads the shipped configuration with more at its end; what it has beside it is beside this test.
async fn shipped(stage: &Stage, more: &str) -> Arc<Catalog> {
    let config = Config::from_toml(&format!("{SHIPPED}\n{more}"), stage.path("config"))
        .unwrap_or_else(|faults| panic!("{faults}"));
    load(&config)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

fn says(text: &str) -> RunParams {
    let mut params = params(text);
    params.user_text = text.to_owned();
    params
}

async fn run(catalog: &Catalog, agent: &str, params: &RunParams, host: &Arc<Recorder>) -> RunEnd {
    let agent = catalog.agent(agent).unwrap();
    let mut handle = agent
        .start(params, Arc::clone(host) as Arc<dyn RunHost>)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    soon("a run", handle.finished()).await
}

#[tokio::test]
async fn all_of_them_load() {
    let stage = Stage::new();
    let catalog = shipped(&stage, "").await;
    for plugin in catalog.plugins() {
        assert!(
            matches!(plugin.state, PluginState::Loaded { .. }),
            "{plugin:?}"
        );
    }
    assert_eq!(catalog.default_agent(), "echo");
    let agents: Vec<_> = catalog.agents().map(|agent| agent.name()).collect();
    assert_eq!(agents, ["echo", "scripted"]);
    let tools: Vec<_> = catalog.tools().into_iter().map(|tool| tool.name).collect();
    assert_eq!(tools, ["calculator", "date_time", "uuid", "text_stats"]);
}

#[tokio::test]
async fn echo_streams_the_clients_own_text() {
    let stage = Stage::new();
    let catalog = shipped(&stage, "").await;
    let host = Recorder::new();
    let mut params = says("hello  big\nworld");
    params.content.push_str("\n\n[a note of the host's]");
    let RunEnd::Finished(outcome) = run(&catalog, "echo", &params, &host).await else {
        panic!("it did not finish");
    };
    assert_eq!(host.deltas(), ["hello ", "big ", "world "]);
    assert_eq!(outcome.content, "hello  big\nworld");
    assert_eq!(outcome.token_count, 3);
}

#[tokio::test]
async fn scripted_echoes_what_is_no_script() {
    let stage = Stage::new();
    let catalog = shipped(&stage, "").await;
    let host = Recorder::new();
    let params = says("not a script: [1]");
    let RunEnd::Finished(outcome) = run(&catalog, "scripted", &params, &host).await else {
        panic!("it did not finish");
    };
    assert_eq!(host.deltas(), ["not ", "a ", "script: ", "[1] "]);
    assert_eq!(
        (outcome.content.as_str(), outcome.token_count),
        ("not a script: [1]", 4)
    );
}

#[tokio::test]
async fn scripted_tells_what_it_received() {
    let stage = Stage::new();
    let catalog = shipped(&stage, "").await;
    let script = says(r#"script:[{"echo":"images"},{"echo":"files"},{"echo":"user"}]"#);
    let host = Recorder::new();
    run(&catalog, "scripted", &script, &host).await;
    assert_eq!(host.deltas(), ["null", "[]", script.content.as_str()]);

    let mut params = script;
    params.content.push_str("\n\n[notes]");
    let mut image = ImageInfo::default();
    image.bytes = 3;
    let mut file = FileInfo::default();
    (file.name, file.path) = ("a.txt".to_owned(), "/up/a.txt".to_owned());
    (params.images, params.files) = (vec![image], vec![file]);
    let host = Recorder::with_images(vec![Arc::from(b"\x00\x01\xff".as_slice())]);
    run(&catalog, "scripted", &params, &host).await;
    assert_eq!(
        host.deltas(),
        [
            r#"["AAH/"]"#,
            r#"[{"name":"a.txt","path":"/up/a.txt"}]"#,
            params.content.as_str()
        ]
    );
}

#[tokio::test]
async fn scripted_fails_as_it_is_told() {
    let stage = Stage::new();
    let catalog = shipped(&stage, "").await;
    for (script, failure, says_what) in [
        (
            r#"[{"raise":["not_found",""]}]"#,
            FailureKind::SessionNotFound,
            "Session not found",
        ),
        (
            r#"[{"raise":["max_iterations","5 is all"]}]"#,
            FailureKind::MaxIterations,
            "5 is all",
        ),
        (r#"[{"raise":["agent","no"]}]"#, FailureKind::Agent, "no"),
        (
            r#"[{"raise":["internal","why"]}]"#,
            FailureKind::Internal,
            "why",
        ),
        (r#"[{"panic":"aaah"}]"#, FailureKind::Internal, "aaah"),
        (
            "[{}]",
            FailureKind::Agent,
            "script, step 1: must have exactly one key",
        ),
    ] {
        let params = says(&format!("script:{script}"));
        let RunEnd::Failed { kind, text } =
            run(&catalog, "scripted", &params, &Recorder::new()).await
        else {
            panic!("{script} did not fail");
        };
        assert_eq!(kind, failure, "{script}");
        assert!(text.contains(says_what), "{script}: {text}");
    }
}

#[tokio::test]
async fn scripted_stops_in_the_middle_of_a_repetition() {
    let stage = Stage::new();
    let catalog = shipped(&stage, "").await;
    let host = Recorder::new();
    let params = says(r#"script:[{"repeat":[1000000000000,{"kind":"thinking_end"}]}]"#);
    let agent = catalog.agent("scripted").unwrap();
    let mut handle = agent
        .start(&params, Arc::clone(&host) as Arc<dyn RunHost>)
        .await
        .unwrap();
    handle.stop();
    let end = soon("the end after a stop", handle.finished()).await;
    assert!(matches!(end, RunEnd::Stopped(_)), "{end:?}");
}

#[tokio::test]
async fn the_tools_of_the_toolbox_answer() {
    let stage = Stage::new();
    let catalog = shipped(&stage, "").await;
    let call = async |tool: &str, args: Value| {
        let request = ToolRequest {
            tool,
            args: &args,
            call_id: "call",
            run_id: "run",
            session_id: "session",
        };
        let agent = catalog.agent("echo").unwrap();
        let never = CancellationToken::new();
        let calling = catalog.call_tool(agent, request, |_| {}, &never);
        let output = soon("a call", calling).await;
        (output.success, output.text)
    };
    let (success, text) = call("calculator", json!({"expression": "6 * 7"})).await;
    assert_eq!((success, text.as_str()), (true, "42"));
    let (success, text) = call("calculator", json!({"expression": "d6"})).await;
    assert!(!success && text.contains("dice"), "{text}");
    let convert = json!({"operation": "convert", "time": "2026-07-01T00:00Z", "to": "Asia/Tokyo"});
    let (success, text) = call("date_time", convert).await;
    assert!(
        success && text.contains("2026-07-01T09:00:00+09:00[Asia/Tokyo]"),
        "{text}"
    );
    let (success, text) = call("uuid", json!({"version": "v7", "count": 3})).await;
    assert!(success && text.lines().count() == 3, "{text}");
    let (success, text) = call("text_stats", json!({"text": "a b"})).await;
    assert!(success && text.contains("words: 2"), "{text}");
    // What the schemas exclude does not reach the tools.
    for (tool, args) in [
        ("uuid", json!({"count": 101})),
        ("calculator", json!({})),
        ("text_stats", json!({"text": "a", "lang": "en"})),
        ("date_time", json!({"operation": "guess"})),
    ] {
        assert!(!call(tool, args).await.0, "{tool}");
    }
}

#[tokio::test]
async fn redact_masks_what_tools_show() {
    let stage = Stage::new();
    let mapper =
        "[[mappers]]\ncomponent = \"redact/redact\"\nconfig = { patterns = [\"sk-\\\\d+\"] }\n";
    let catalog = shipped(&stage, mapper).await;
    let agent = catalog.agent("echo").unwrap();
    let mut chain = agent.open_mappers(&mapper_params()).await.unwrap();
    let mut map = |event: Event| {
        let mut out = Vec::new();
        let mapped = event.with_parts(|parts| {
            chain.map(parts, EVENT_BYTES, &mut |event| {
                out.push(Event::from_parts(event).unwrap())
            })
        });
        (mapped.unwrap(), out)
    };
    let (mapped, events) = map(Event::tool_started("1", "t", json!({"key": "sk-1"})));
    assert!(matches!(mapped, Mapped::Replaced(1)), "{mapped:?}");
    assert_eq!(
        events,
        [Event::tool_started("1", "t", json!({"key": "[redacted]"}))]
    );
    let (mapped, _) = map(Event::stream_delta("sk-1"));
    assert!(matches!(mapped, Mapped::Passed), "{mapped:?}");
}
