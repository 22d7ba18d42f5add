//! Plugins that were built for an earlier plugin interface of this major: they load, and work, in the host of today.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use roundhouse_host::session::SessionId;
use roundhouse_tests::{Rest, soon};
use serde_json::{Value, json};

use crate::nested::cargo;
use crate::process::{Serving, output};

/// What was published.
fn frozen(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/frozen")
        .join(name)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The plugin in Rust, built against this interface.
fn in_rust(folder: &Path, interface: &str) -> PathBuf {
    let project = folder.join("plugin");
    copy(&frozen("plugin"), &project);
    copy(&frozen(interface), &project.join("vendor").join(interface));
    // The same crates as the host's, which are there.
    let locked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    fs::copy(locked, project.join("Cargo.lock")).unwrap();
    // Projects share the folder of what was compiled, where name and path tell packages apart.
    let name = interface.replace("plugin-api-1.", "frozen_");
    let manifest = fs::read_to_string(project.join("Cargo.toml")).unwrap();
    let manifest = manifest
        .replace("name = \"frozen\"", &format!("name = \"{name}\""))
        .replace(
            "vendor/roundhouse-plugin-api",
            &format!("vendor/{interface}"),
        );
    fs::write(project.join("Cargo.toml"), manifest).unwrap();
    cargo(&project, &["build"]);
    project.join(format!("target/debug/{DLL_PREFIX}{name}{DLL_SUFFIX}"))
}

/// The plugin in C, likewise.
fn in_c(folder: &Path, interface: &str) -> PathBuf {
    let library = folder.join("frozen_c.so");
    let compiled = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args([
            "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I",
        ])
        .arg(frozen(interface).join("include"))
        .arg(frozen("plugin.c"))
        .arg("-o")
        .arg(&library)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{said}");
    library
}

/// Everything that is configured of both.
fn configuration(rust: &Path, c: &Path, isolation: &str) -> String {
    // Mappers are in the host's process alone.
    let mapper = match isolation {
        "process" => "",
        _ => "mappers = [{ component = \"frozen/mapper\" }]",
    };
    format!(
        r#"
default_agent = "frozen"
[storage]
path = "data"
[plugins.libraries.frozen]
file = "{rust}"
isolation = "{isolation}"
[plugins.libraries.c]
file = "{c}"
isolation = "{isolation}"
[plugins.libraries.echo]
file = "roundhouse_echo"
[agents.frozen]
component = "frozen/agent"
subagents = ["echo"]
config = {{ greeting = "good day", key = "123" }}
{mapper}
[agents.c]
component = "c/agent"
[agents.echo]
component = "echo/echo"
[tools.toolset]
component = "frozen/toolset"
[tools.tool]
component = "frozen/tool"
"#,
        rust = rust.display(),
        c = c.display(),
    )
}

/// An image, as clients send it: one pixel, PNG.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Sends a message and returns the frames of its run.
async fn ask(host: &Serving, session: SessionId, content: &str, images: Value) -> Vec<Value> {
    let address = host.address.parse().unwrap();
    let mut client = roundhouse_tests::client::Connect::to(address, session)
        .open()
        .await;
    client.expect_kind("session_sync").await;
    client
        .send(&json!({"type": "message", "content": content, "images": images}))
        .await;
    let frames = client.whole_run().await;
    client.close().await;
    frames.iter().map(|frame| frame.value().clone()).collect()
}

async fn works(interface: &str, minor: &str) {
    let folder = tempfile::tempdir().unwrap();
    let of = interface.to_owned();
    let at = folder.path().to_owned();
    let (rust, c) = tokio::task::spawn_blocking(move || (in_rust(&at, &of), in_c(&at, &of)))
        .await
        .unwrap();
    for library in [&rust, &c] {
        let inspected = output(
            folder.path(),
            &["plugin", "inspect", library.to_str().unwrap()],
        );
        let said = String::from_utf8(inspected.stdout).unwrap();
        assert!(said.contains(&format!("minor {minor}")), "{said}");
    }
    for isolation in ["in-process", "process"] {
        let toml = configuration(&rust, &c, isolation);
        fs::write(folder.path().join("host.toml"), &toml).unwrap();
        let file = rust.to_str().unwrap();
        let tested = output(
            folder.path(),
            &["plugin", "test", file, "--config", "host.toml"],
        );
        let report = String::from_utf8(tested.stdout).unwrap();
        assert!(tested.status.success(), "{report}");

        let host = Serving::start(folder.path(), &["--config", "host.toml"]);
        let rest = Rest::of(host.address.parse().unwrap());
        let plugins = rest.get("/plugins").await.body;
        let loaded = |plugin: &Value| plugin["state"] == "loaded";
        assert!(
            plugins["plugins"].as_array().unwrap().iter().all(loaded),
            "{plugins}"
        );

        let session = rest.create_session(&json!({})).await;
        let images = json!([PIXEL]);
        let frames = soon("a run", ask(&host, session, "all of it", images)).await;
        let end = frames.last().unwrap();
        let content = end["content"].as_str().unwrap();
        assert_eq!(
            content, "good day 5 HEY from below turns=0 runs=1 found=1 image=70 key=3",
            "{frames:?}"
        );
        assert_eq!(
            (&end["token_count"], &end["context_tokens"]),
            (&json!(7), &json!(70))
        );
        let streamed: String = frames
            .iter()
            .filter(|frame| frame["type"] == "stream_delta")
            .filter_map(|frame| frame["delta"].as_str())
            .collect();
        let shown = if isolation == "process" {
            content.to_owned()
        } else {
            content.to_uppercase()
        };
        assert_eq!(streamed, shown);
        for kind in [
            "thinking_delta",
            "thinking_end",
            "turn_thinking",
            "tool_started",
            "tool_call",
            "frozen_note",
        ] {
            assert!(
                frames.iter().any(|frame| frame["type"] == kind),
                "{kind}: {frames:?}"
            );
        }
        let again = soon("a run", ask(&host, session, "all of it", json!([]))).await;
        let content = again.last().unwrap()["content"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(content.contains("turns=2 runs=2"), "{content}");
        for (message, told) in [("fail", "as it was told"), ("panic", "Internal error")] {
            let frames = soon("a run", ask(&host, session, message, json!([]))).await;
            let text = frames.last().unwrap()["message"]
                .as_str()
                .unwrap()
                .to_owned();
            assert!(text.contains(told), "{text}");
        }

        let session = rest.create_session(&json!({"agent": "c"})).await;
        let frames = soon("a run", ask(&host, session, "hello", json!([]))).await;
        assert_eq!(frames.last().unwrap()["content"], "hello from C");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_built_for_minor_0_work() {
    works("plugin-api-1.0", "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_built_for_minor_1_work() {
    works("plugin-api-1.1", "1").await;
}
