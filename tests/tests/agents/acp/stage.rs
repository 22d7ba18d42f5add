//! A host whose agent is the fixture `acp-agent`, a process that does what the message says.

use std::path::PathBuf;

use roundhouse_tests::{Client, Frame, TestHost, is_gone, programs, until};
use serde_json::{Value, json};

/// A host, and the folder that its agent works in.
pub(super) struct Stage {
    pub(super) host: TestHost,
    root: tempfile::TempDir,
}

/// Where the agent works.
pub(super) fn work(root: &tempfile::TempDir) -> PathBuf {
    root.path().canonicalize().unwrap().join("work")
}

/// The configuration: `args` are the fixture's, `settings` lines of the agent's own settings.
pub(super) fn config(root: &tempfile::TempDir, args: &[&str], settings: &str) -> String {
    let work = work(root);
    std::fs::create_dir_all(&work).unwrap();
    let program = programs().unwrap();
    let args = [&["acp-agent"], args].concat();
    format!(
        r#"
default_agent = "acp"

[plugins.libraries.acp]
file = "roundhouse_acp"

[agents.acp]
component = "acp/acp"

[agents.acp.config]
command = {program:?}
args = {args:?}
folder = {work:?}
{settings}
"#
    )
}

impl Stage {
    pub(super) async fn with(args: &[&str], settings: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let host = TestHost::with(&config(&root, args, settings)).await;
        Self { host, root }
    }

    pub(super) async fn start() -> Self {
        Self::with(&[], "").await
    }

    /// Where the agent works.
    pub(super) fn work(&self) -> PathBuf {
        work(&self.root)
    }

    /// Beside it.
    pub(super) fn outside(&self, name: &str) -> PathBuf {
        self.root.path().canonicalize().unwrap().join(name)
    }

    pub(super) async fn end(self, clients: impl IntoIterator<Item = Client>) {
        self.host.shut_down(clients).await;
    }
}

/// A message to the fixture.
pub(super) fn script(steps: &[Value]) -> String {
    Value::from(steps).to_string()
}

pub(super) fn say(text: &str) -> Value {
    json!({"say": text})
}

pub(super) fn update(kind: &str, mut fields: Value) -> Value {
    fields["sessionUpdate"] = Value::from(kind);
    json!({ "update": fields })
}

pub(super) fn ask(method: &str, params: Value) -> Value {
    json!({"ask": {"method": method, "params": params}})
}

/// Runs one step and answers what the agent says of it.
pub(super) async fn told(client: &mut Client, step: Value) -> String {
    let frames = client.run(&script(&[step])).await;
    content(&frames).to_owned()
}

/// The same as JSON.
pub(super) async fn told_json(client: &mut Client, step: Value) -> Value {
    serde_json::from_str(&told(client, step).await).unwrap()
}

/// The text of a run that has finished.
pub(super) fn content(frames: &[Frame]) -> &str {
    let last = last(frames);
    assert_eq!(last["type"], "stream_end", "{last}");
    last["content"].as_str().unwrap()
}

/// The error of a run that has failed.
pub(super) fn error(frames: &[Frame]) -> &str {
    let last = last(frames);
    assert_eq!(last["type"], "error", "{last}");
    last["message"].as_str().unwrap()
}

/// The run's last frame.
pub(super) fn last(frames: &[Frame]) -> &Value {
    frames.last().map(Frame::value).unwrap()
}

/// The frames of this type.
pub(super) fn all<'a>(frames: &'a [Frame], kind: &str) -> Vec<&'a Value> {
    let found = frames.iter().filter(|frame| frame.kind() == kind);
    found.map(Frame::value).collect()
}

/// The number of the process that answers.
pub(super) async fn pid(client: &mut Client) -> u32 {
    told(client, json!({"pid": true})).await.parse().unwrap()
}

pub(super) async fn gone(pid: u32) {
    until("the end of a process", || is_gone(pid)).await;
}

pub(super) fn is_there(pid: u32) -> bool {
    !is_gone(pid)
}
