//! Changes while the host runs: another version of a library, another configuration, and what stays as it was.

mod access;
mod faults;
mod settings;
mod swapping;
mod turns;
mod watching;

use std::path::PathBuf;
use std::time::Duration;

use roundhouse_tests::{Answer, Frame, TestHost, until};
use serde_json::Value;

/// A plugin that tells its version, as agents, toolset and mapper.
const SWAP: &str = r#"
[plugins.libraries.swap]
file = "libswap.so"

[agents.teller]
component = "swap/teller"
subagents = ["other"]
config = { report = "REPORT" }

[agents.other]
component = "swap/teller"

[tools.which]
component = "swap/which"

[[mappers]]
component = "swap/mark"
"#;

/// The two versions of the library, as they were built.
fn built(version: u8) -> PathBuf {
    let name = match version {
        1 => "libfixture_swap_one.so",
        _ => "libfixture_swap_two.so",
    };
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().join(name)
}

/// A folder in which version 1 is in place, and a configuration that serves it, to which `more` is added.
fn stage(more: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(built(1), folder.path().join("libswap.so")).unwrap();
    let report = folder.path().join("report").display().to_string();
    let toml = format!("{more}\n{}", SWAP.replace("REPORT", &report));
    (folder, toml)
}

/// A host that serves version 1.
async fn host(more: &str) -> (TestHost, String) {
    let (folder, toml) = stage(more);
    let host = TestHost::in_folder(folder, &toml, Duration::ZERO).await;
    (host, toml)
}

/// Puts a version in place as a deployment would: whole, under the same name.
fn install(host: &TestHost, version: u8) {
    let new = host.path("libswap.so.new");
    std::fs::copy(built(version), &new).unwrap();
    std::fs::rename(new, host.path("libswap.so")).unwrap();
}

/// What a reload that went well says.
#[track_caller]
fn done(answer: &Answer) -> &Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    &answer.body
}

/// What a reload, or anything else, was refused with.
#[track_caller]
fn refused<'a>(answer: &'a Answer, status: u16, name: &str) -> &'a Value {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.body["type"], format!("/problems/{name}"));
    &answer.body
}

/// What became of a plugin with a reload.
fn change<'a>(reload: &'a Value, name: &str) -> &'a Value {
    let plugins = reload["plugins"].as_array().unwrap();
    let mut plugins = plugins.iter();
    plugins.find(|plugin| plugin["name"] == name).unwrap()
}

/// The generations of the plugin `swap`.
async fn generations(host: &TestHost) -> Vec<Value> {
    let plugins = host.rest().get("/plugins").await.body;
    let all = plugins["generations"].as_array().unwrap().iter();
    all.filter(|generation| generation["plugin"] == "swap")
        .cloned()
        .collect()
}

/// Waits until the newest generations of `swap` are in these states.
async fn settled(host: &TestHost, states: &[&str]) {
    let mut seen = Vec::new();
    let catalog = || host.host().in_force().catalog.generations();
    until("the generations' states", || {
        seen = catalog()
            .iter()
            .filter(|generation| generation.plugin == "swap")
            .map(|generation| generation.state.as_str())
            .collect();
        seen == states
    })
    .await;
}

/// How many reloads there were that ended in this way, `ok` or `refused`.
async fn reloads(host: &TestHost, result: &str) -> usize {
    let page = host.rest().text("/metrics").await;
    let line = format!("roundhouse_reloads_total{{result=\"{result}\"}} ");
    page.lines()
        .find_map(|one| one.strip_prefix(&line)?.parse().ok())
        .unwrap_or(0)
}

/// The versions that a run's frames tell, of the agent, the mapper and the tool: one, unless the run was moved.
fn versions(frames: &[Frame]) -> Vec<String> {
    let mut versions = Vec::new();
    for frame in frames {
        let message = frame.value();
        match frame.kind() {
            "stream_delta" => {
                for line in message["delta"].as_str().unwrap().lines() {
                    let words: Vec<&str> = line.split(' ').collect();
                    let (agent, _) = words[1].split_once('/').unwrap();
                    assert_eq!(agent, words[2], "the mapper is of another version");
                    versions.push(words[1].to_owned());
                }
            }
            "tool_call" => versions.push(message["result"].as_str().unwrap().to_owned()),
            _ => {}
        }
    }
    versions.dedup();
    versions
}
