//! A host whose toolset `mcp` has the servers of a test.

use std::time::Duration;

use plugin_api::ToolOutput;
use roundhouse_host::plugin::ToolRequest;
use roundhouse_tests::{TestHost, soon};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// The configuration: each server has its name and its settings.
pub(super) fn config(servers: &[(&str, String)]) -> String {
    let mut toml = "[plugins.libraries.mcp]\nfile = \"roundhouse_mcp\"\n\n[tools.mcp]\ncomponent = \"mcp/mcp\"\n"
        .to_owned();
    for (name, settings) in servers {
        // The tests are not made to wait.
        let delay = match settings.contains("retry_delay_ms") {
            true => "",
            false => "retry_delay_ms = 20\nmax_retry_delay_ms = 100\n",
        };
        toml.push_str(&format!(
            "\n[tools.mcp.config.servers.{name}]\n{settings}\n{delay}"
        ));
    }
    toml
}

pub(super) async fn host(servers: &[(&str, String)]) -> TestHost {
    TestHost::with(&config(servers)).await
}

/// The settings of a server over HTTP.
pub(super) fn at(url: &str) -> String {
    format!("url = \"{url}\"\n")
}

/// What came of a call.
pub(super) struct Called {
    pub(super) output: ToolOutput,
    pub(super) progress: Vec<String>,
}

/// Calls a tool as an agent does.
pub(super) async fn call(host: &TestHost, tool: &str, args: Value) -> Called {
    let catalog = host.host().in_force().catalog.clone();
    let request = ToolRequest {
        tool,
        args: &args,
        call_id: "call",
        run_id: "run",
        session_id: "session",
    };
    let mut progress = Vec::new();
    let collect = |item: &str| {
        let item: Value = serde_json::from_str(item).unwrap();
        progress.push(item["message"].as_str().unwrap().to_owned());
    };
    let agent = catalog.agent("scripted").unwrap();
    let cancel = CancellationToken::new();
    let calling = catalog.call_tool(agent, request, collect, &cancel);
    let output = soon("a call", calling).await;
    Called { output, progress }
}

/// The text of a call that succeeds.
pub(super) async fn text(host: &TestHost, tool: &str, args: Value) -> String {
    let output = call(host, tool, args).await.output;
    assert!(output.success, "{output:?}");
    output.text
}

/// The text of a call that fails.
pub(super) async fn failure(host: &TestHost, tool: &str, args: Value) -> String {
    let output = call(host, tool, args).await.output;
    assert!(!output.success, "{output:?}");
    output.text
}

/// What the host says of its tools.
pub(super) async fn tools(host: &TestHost) -> Value {
    host.rest().get("/tools").await.body
}

/// The names of all tools.
pub(super) async fn names(host: &TestHost) -> Vec<String> {
    let tools = tools(host).await;
    let names = tools["tools"].as_array().unwrap().iter();
    names
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until there is a tool of this name.
pub(super) async fn offered(host: &TestHost, name: &str) {
    soon(&format!("the tool {name}"), async {
        while !names(host).await.iter().any(|tool| tool == name) {
            pause().await;
        }
    })
    .await;
}

/// How the toolset says it is.
pub(super) async fn health(host: &TestHost) -> (String, String) {
    let health = tools(host).await["toolsets"][0]["health"].clone();
    let text = |key: &str| health[key].as_str().unwrap().to_owned();
    (text("state"), text("text"))
}

/// Waits until it says that all is well.
pub(super) async fn well(host: &TestHost) {
    soon("its health", async {
        while health(host).await != ("ok".to_owned(), String::new()) {
            pause().await;
        }
    })
    .await;
}

/// Waits until its health has this in it; the whole text.
pub(super) async fn complains(host: &TestHost, of: &str) -> String {
    soon(&format!("the complaint `{of}`"), async {
        loop {
            let (_, text) = health(host).await;
            if text.contains(of) {
                return text;
            }
            pause().await;
        }
    })
    .await
}

/// Waits until a call of this tool succeeds.
pub(super) async fn answers(host: &TestHost, tool: &str, args: Value) {
    soon(&format!("an answer of {tool}"), async {
        while !call(host, tool, args.clone()).await.output.success {
            pause().await;
        }
    })
    .await;
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

pub(super) fn text_arg(text: &str) -> Value {
    json!({ "text": text })
}
