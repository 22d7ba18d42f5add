//! A host with an agent `model` on a model's server.

use roundhouse_tests::model::KEY;
use roundhouse_tests::{Client, Frame, ModelServer, TestHost};
use serde_json::Value;

/// The configuration: `settings` are lines of the agent's own settings, `more` anything else.
pub(super) fn config(server: &ModelServer, settings: &str, more: &str) -> String {
    let url = server.url();
    // The tests are not made to wait.
    let delay = match settings.contains("retry_delay_ms") {
        true => "",
        false => "retry_delay_ms = 1",
    };
    format!(
        r#"
default_agent = "model"

[plugins.libraries.openai]
file = "roundhouse_openai"

[plugins.libraries.toolbox]
file = "roundhouse_toolbox"

[tools.toolbox]
component = "toolbox/toolbox"

[agents.model]
component = "openai/openai"
subagents = ["helper", "scripted"]

[agents.model.config]
model = "test-model"
base_url = "{url}"
api_key = "{KEY}"
{delay}
{settings}

# A subagent on the same server.
[agents.helper]
component = "openai/openai"
tools = ["calculator"]

[agents.helper.config]
model = "helper-model"
base_url = "{url}"
api_key = "{KEY}"

{more}
"#
    )
}

/// A model's server and a host with an agent on it.
pub(super) async fn stage(settings: &str) -> (ModelServer, TestHost) {
    let server = ModelServer::start().await;
    let host = TestHost::with(&config(&server, settings, "")).await;
    (server, host)
}

/// The test is over: nobody asked for less than was scripted.
pub(super) async fn end(server: ModelServer, host: TestHost, client: Client) {
    host.shut_down([client]).await;
    server.spent();
}

/// The types of frames, those that follow one another as one.
pub(super) fn kinds(frames: &[Frame]) -> Vec<&str> {
    let mut kinds: Vec<_> = frames.iter().map(Frame::kind).collect();
    kinds.dedup();
    kinds
}

/// The frames of this type.
pub(super) fn all<'a>(frames: &'a [Frame], kind: &str) -> Vec<&'a Value> {
    let found = frames.iter().filter(|frame| frame.kind() == kind);
    found.map(Frame::value).collect()
}

/// The run's last frame.
pub(super) fn last(frames: &[Frame]) -> &Value {
    frames.last().map(Frame::value).unwrap()
}
