//! What the host exports, as a collector gets it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use roundhouse_tests::client::Connect;
use roundhouse_tests::script::delta;
use roundhouse_tests::{Rest, script};
use serde_json::json;

use crate::process::Serving;

fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Any::StringValue(text) => Some(text.clone()),
        Any::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_and_tools_are_exported_as_spans() {
    let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let kept = Arc::clone(&spans);
    let collect = post(async move |body: Bytes| {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        let scopes = request
            .resource_spans
            .into_iter()
            .flat_map(|all| all.scope_spans);
        kept.lock()
            .unwrap()
            .extend(scopes.flat_map(|all| all.spans));
    });
    let collector = Router::new().route("/v1/traces", collect);
    let collecting = tokio::spawn(async move { axum::serve(listener, collector).await });

    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("config")).unwrap();
    let config = format!(
        r#"
[storage]
path = "../data"
[server]
drain_spread = "0s"
[telemetry]
otlp_endpoint = "{endpoint}"
[plugins.libraries]
scripted = {{ file = "roundhouse_scripted" }}
toolbox = {{ file = "roundhouse_toolbox" }}
[agents.scripted]
component = "scripted/scripted"
[tools.toolbox]
component = "toolbox/toolbox"
"#
    );
    std::fs::write(folder.path().join("config/roundhouse.toml"), config).unwrap();
    let mut serving = Serving::start(folder.path(), &[]);
    let address = serving.address.parse().unwrap();
    let session = Rest::of(address).create_session(&json!({})).await;
    let mut client = Connect::to(address, session).open().await;
    client.expect_kind("session_sync").await;
    let steps = [
        delta("a"),
        json!({"tool": ["calculator", {"expression": "1+1"}]}),
    ];
    client.begin(&script(&steps)).await;
    client.until(|frame| frame.ends_run()).await;
    serving.signal("TERM");
    let ended = tokio::task::spawn_blocking(move || serving.ended().code());
    client.closed().await;
    assert_eq!(ended.await.unwrap(), Some(0));

    // All of it had arrived before the process ended.
    let spans = spans.lock().unwrap().clone();
    let named = |name: &str| spans.iter().find(|span| span.name == name);
    let run = named("invoke_agent scripted").unwrap_or_else(|| panic!("{spans:?}"));
    let session = session.to_string();
    for (key, value) in [
        ("gen_ai.operation.name", "invoke_agent"),
        ("gen_ai.agent.name", "scripted"),
        ("gen_ai.conversation.id", &session),
        ("roundhouse.run.status", "completed"),
    ] {
        assert_eq!(attribute(run, key).as_deref(), Some(value), "{run:?}");
    }
    let tool = named("execute_tool calculator").unwrap_or_else(|| panic!("{spans:?}"));
    assert_eq!(
        attribute(tool, "gen_ai.tool.name").as_deref(),
        Some("calculator")
    );
    assert!(attribute(tool, "gen_ai.tool.call.id").is_some());
    assert_eq!(
        (&tool.parent_span_id, &tool.trace_id),
        (&run.span_id, &run.trace_id)
    );
    collecting.abort();
}
