//! Toolsets.

use plugin_api::abi::import::{Completion, FailureKind};
use plugin_api::serde_json::{self, json};
use plugin_api::wire::{ToolCallParams, ToolList, ToolOutputData};
use plugin_api::{Event, Part};

use crate::host::{Scope, host, toolset};

async fn list(scope: &mut Scope) -> ToolList {
    match scope.completion().await {
        Completion::Finished { json, value: None } => serde_json::from_str(&json).unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn output(scope: &mut Scope) -> ToolOutputData {
    match scope.completion().await {
        Completion::Finished { json, value: None } => serde_json::from_str(&json).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_tool_is_listed_with_the_schema_of_its_arguments_and_called() {
    let (add, _scope) = toolset("add").await;
    let mut scope = host().scope();
    assert!(add.list(scope.id));
    let tools = list(&mut scope).await.tools;
    assert_eq!(
        (
            tools.len(),
            tools[0].name.as_str(),
            tools[0].description.as_str()
        ),
        (1, "add", "Adds two numbers.")
    );
    assert_eq!(tools[0].input_schema["required"], json!(["a", "b"]));

    let mut scope = host().scope();
    assert!(add.call(scope.id, "add", "{\"a\":1,\"b\":2}", "{}"));
    assert_eq!(output(&mut scope).await, ToolOutputData::text("3"));
    let mut scope = host().scope();
    add.call(scope.id, "add", "{\"a\":1}", "");
    let (kind, text) = scope.failed().await;
    assert_eq!(
        (kind, text.as_str()),
        (FailureKind::Agent, "invalid arguments: missing field `b`")
    );
    let mut scope = host().scope();
    add.call(scope.id, "subtract", "{}", "{}");
    assert_eq!(scope.failed().await.1, "there is no tool `subtract`");
}

#[tokio::test]
async fn a_call_knows_where_it_was_made() {
    let (tools, _scope) = toolset("box").await;
    let mut params = ToolCallParams::default();
    (params.call_id, params.run_id) = ("c".to_owned(), "r".to_owned());
    (params.session_id, params.agent) = ("s".to_owned(), "a".to_owned());
    let mut scope = host().scope();
    tools.call(
        scope.id,
        "echo",
        "[1]",
        &serde_json::to_string(&params).unwrap(),
    );
    let expected = ToolOutputData::text("c r s a").with_part(Part::json(json!([1])));
    assert_eq!(output(&mut scope).await, expected);
}

#[tokio::test]
async fn progress_is_an_event_of_the_call() {
    let (tools, _scope) = toolset("box").await;
    let mut scope = host().scope();
    tools.call(scope.id, "progress", "{}", "{}");
    output(&mut scope).await;
    let Event::Custom(progress) = &scope.events()[0] else {
        panic!()
    };
    assert_eq!(
        (progress.name.as_str(), &progress.fields["message"]),
        ("progress", &json!("half"))
    );
}

#[tokio::test]
async fn a_cancel_is_seen_or_ends_the_call() {
    let (tools, _scope) = toolset("box").await;
    let mut seen = host().scope();
    let mut hanging = host().scope();
    tools.call(seen.id, "wait", "{}", "{}");
    tools.call(hanging.id, "hang", "{}", "{}");
    seen.until_events(|events| events.len() == 1).await;
    hanging.until_events(|events| events.len() == 1).await;
    tools.cancel(seen.id);
    tools.cancel(hanging.id);
    assert_eq!(
        output(&mut seen).await,
        ToolOutputData::failure("cancelled in time")
    );
    assert_eq!(
        hanging.failed().await,
        (FailureKind::Agent, "cancelled".to_owned())
    );
    tools.cancel(seen.id);
}

#[tokio::test]
async fn a_toolset_says_that_its_tools_have_changed() {
    let (tools, mut instance) = toolset("box").await;
    let mut call = host().scope();
    tools.call(call.id, "grow", "{}", "{}");
    // It is the instance's request, not the call's.
    let request = instance.request().await;
    assert_eq!(request.method, "tools/changed");
    request.sink.done(Ok("{}"));
    output(&mut call).await;
    let mut scope = host().scope();
    tools.list(scope.id);
    assert_eq!(list(&mut scope).await.tools.len(), 2);

    // Three are too many for it: a panic while listing fails that alone.
    let mut call = host().scope();
    tools.call(call.id, "grow", "{}", "{}");
    instance.request().await.sink.done(Ok("{}"));
    output(&mut call).await;
    let mut scope = host().scope();
    tools.list(scope.id);
    assert_eq!(
        scope.failed().await,
        (FailureKind::Internal, "too many tools".to_owned())
    );
}

#[tokio::test]
async fn panics_and_garbage_fail_the_call_alone() {
    let (tools, _scope) = toolset("box").await;
    let mut scope = host().scope();
    tools.call(scope.id, "panic", "{}", "{}");
    assert_eq!(
        scope.failed().await,
        (FailureKind::Internal, "in call".to_owned())
    );
    for (args, params, text) in [
        ("{", "{}", "the tool's arguments: "),
        ("{}", "[", "the call's parameters: "),
    ] {
        let mut scope = host().scope();
        tools.call(scope.id, "echo", args, params);
        let (kind, problem) = scope.failed().await;
        assert_eq!(kind, FailureKind::Internal);
        assert!(problem.starts_with(text), "{problem}");
    }
}
