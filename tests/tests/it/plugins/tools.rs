//! Calling tools: what a model can do wrong, and what tools can.

use plugin_api::ToolOutput;
use roundhouse_host::plugin::{Catalog, ToolRequest};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::stage::{FAULTY, Stage, soon, toml_path, until};

const MAIN: &str = "[agents.main]\ncomponent = \"faulty/agent\"\n";
const TOOLS: &str = "[tools.t]\ncomponent = \"faulty/tools\"\n";

struct Called {
    output: ToolOutput,
    progress: Vec<Value>,
}

async fn call(catalog: &Catalog, tool: &str, args: Value) -> Called {
    let request = ToolRequest {
        tool,
        args: &args,
        call_id: "call",
        run_id: "run",
        session_id: "session",
    };
    let mut progress = Vec::new();
    let agent = catalog.agent("main").unwrap();
    let collect = |item: &str| progress.push(serde_json::from_str(item).unwrap());
    let output = soon(
        "a call",
        catalog.call_tool(agent, request, collect, &CancellationToken::new()),
    )
    .await;
    Called { output, progress }
}

async fn text(catalog: &Catalog, tool: &str, args: Value) -> String {
    let output = call(catalog, tool, args).await.output;
    assert!(output.success, "{output:?}");
    output.text
}

async fn failure(catalog: &Catalog, tool: &str, args: Value) -> String {
    let output = call(catalog, tool, args).await.output;
    assert!(!output.success, "{output:?}");
    output.text
}

#[tokio::test]
async fn tools_are_listed_with_prefix_and_called_without() {
    let stage = Stage::new();
    let catalog = stage
        .load(&format!(
            "{FAULTY}{MAIN}{TOOLS}prefix = \"my_\"\n[tools.add]\ncomponent = \"faulty/single\"\n"
        ))
        .await;
    let tools = catalog.tools();
    let names: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(
        names[..2],
        ["add", "my_echo"],
        "by toolset, each in its own order"
    );
    assert_eq!(
        (tools[1].toolset.as_str(), tools[1].plugin.as_str()),
        ("t", "faulty")
    );
    assert_eq!(
        text(&catalog, "my_echo", json!({"text": "hello"})).await,
        "hello"
    );
    assert_eq!(text(&catalog, "add", json!({"a": 2, "b": 3})).await, "5");
    assert_eq!(
        text(&catalog, "my_ids", json!({})).await,
        "call run session"
    );
}

#[tokio::test]
async fn an_agent_has_the_tools_that_its_patterns_allow() {
    let stage = Stage::new();
    let catalog = stage
        .load(&format!(
            "{FAULTY}{MAIN}tools = [\"e*o\", \"ids\"]\n{TOOLS}"
        ))
        .await;
    let names: Vec<_> = catalog
        .agent("main")
        .unwrap()
        .tools()
        .into_iter()
        .map(|tool| tool.name)
        .collect();
    assert_eq!(names, ["echo", "ids"]);
    assert!(text(&catalog, "echo", json!({"text": "x"})).await == "x");
    // One that is not allowed is none, to the model.
    assert_eq!(
        failure(&catalog, "fail", json!({})).await,
        "There is no tool `fail`. Available: echo, ids."
    );
    assert_eq!(
        failure(&catalog, "nothing", json!({})).await,
        "There is no tool `nothing`. Available: echo, ids."
    );
}

#[tokio::test]
async fn arguments_are_checked_before_the_tool_sees_them() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}{TOOLS}")).await;
    let told = failure(&catalog, "echo", json!({"text": 3, "more": 1})).await;
    assert!(
        told.contains("/text: is a number; expected a text"),
        "{told}"
    );
    assert!(told.contains("/more: unknown key"), "{told}");
    let told = failure(&catalog, "echo", json!("text")).await;
    assert!(
        told.contains("the arguments: is a text; expected a table"),
        "{told}"
    );
}

#[tokio::test]
async fn a_tool_that_fails_or_panics_is_a_result() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}{TOOLS}")).await;
    assert_eq!(
        failure(&catalog, "fail", json!({})).await,
        "Tool `fail` failed: told to fail"
    );
    let told = failure(&catalog, "panic", json!({})).await;
    assert!(
        told.starts_with("Tool `panic` failed: ") && told.contains("told to panic"),
        "{told}"
    );
    assert_eq!(
        text(&catalog, "echo", json!({"text": "still here"})).await,
        "still here"
    );
}

#[tokio::test]
async fn progress_comes_before_the_result() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}{TOOLS}")).await;
    let called = call(&catalog, "progress", json!({})).await;
    assert_eq!(called.output.text, "done");
    let messages: Vec<_> = called
        .progress
        .iter()
        .map(|item| item["message"].as_str().unwrap())
        .collect();
    assert_eq!(messages, ["step 0", "step 1", "step 2"]);
    assert_eq!(called.progress[0]["type"], "progress");
}

#[tokio::test]
async fn a_tool_that_takes_too_long_is_cancelled() {
    let stage = Stage::new();
    let report = toml_path(&stage.path("report"));
    let catalog = stage
        .load(&format!(
            "{FAULTY}{MAIN}{TOOLS}timeout = \"100ms\"\nconfig.report = {report}\n"
        ))
        .await;
    assert_eq!(
        failure(&catalog, "hang", json!({})).await,
        "Tool `hang` did not answer within 0.1 seconds."
    );
    until("the cancel in the library", || {
        stage.report("report") == ["cancelled"]
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_progress_does_not_hide_the_time() {
    let stage = Stage::new();
    let catalog = stage
        .load(&format!("{FAULTY}{MAIN}{TOOLS}timeout = \"100ms\"\n"))
        .await;
    let called = call(&catalog, "flood", json!({})).await;
    assert_eq!(
        called.output.text,
        "Tool `flood` did not answer within 0.1 seconds."
    );
    assert!(!called.progress.is_empty());
}

#[tokio::test]
async fn a_call_is_cancelled_when_its_caller_says_so_or_goes_away() {
    let stage = Stage::new();
    let report = toml_path(&stage.path("report"));
    let catalog = stage
        .load(&format!("{FAULTY}{MAIN}{TOOLS}config.report = {report}\n"))
        .await;
    let agent = catalog.agent("main").unwrap();
    let args = json!({});
    let request = ToolRequest {
        tool: "hang",
        args: &args,
        call_id: "call",
        run_id: "run",
        session_id: "session",
    };
    // The tool reports progress as soon as it has begun.
    let cancel = CancellationToken::new();
    let calling = catalog.call_tool(agent, request, |_| cancel.cancel(), &cancel);
    let output = soon("the cancelled call", calling).await;
    assert_eq!(output.text, "Tool `hang` was cancelled.");
    assert!(!output.success);
    until("the cancel in the library", || {
        stage.report("report") == ["cancelled"]
    })
    .await;

    let token = CancellationToken::new();
    let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let calling = catalog.call_tool(
        agent,
        request,
        |_| {
            let _ = begun.send(());
        },
        &token,
    );
    tokio::select! {
        output = calling => panic!("{output:?}"),
        _ = has_begun.recv() => {}
    }
    until("the second cancel in the library", || {
        stage.report("report").len() == 2
    })
    .await;
}

#[tokio::test]
async fn changed_tools_are_listed_again() {
    let stage = Stage::new();
    let catalog = stage
        .load(&format!(
            "{FAULTY}{MAIN}{TOOLS}prefix = \"p_\"\n[tools.add]\ncomponent = \"faulty/single\"\n"
        ))
        .await;
    let has = |name: &str| catalog.tools().iter().any(|tool| tool.name == name);
    assert!(!has("p_new"));
    text(&catalog, "p_grow", json!({"name": "new"})).await;
    until("the new tool", || has("p_new")).await;
    assert_eq!(text(&catalog, "p_new", json!({})).await, "called new");
    // Many changes come to few listings, and the last one counts.
    for n in 0..20 {
        text(&catalog, "p_grow", json!({"name": format!("n{n}")})).await;
    }
    until("the last tool", || has("p_n19")).await;
    // What cannot be offered changes nothing.
    text(&catalog, "p_grow", json!({"name": "n19"})).await;
    assert_eq!(text(&catalog, "p_new", json!({})).await, "called new");
}
