//! Servers that are not there, or not any more, and come back.

use roundhouse_tests::TestHost;
use roundhouse_tests::mcp::Folder;
use serde_json::json;

use super::stage::{
    answers, call, complains, config, failure, health, host, names, offered, text, text_arg, well,
};

/// Ends a server as nothing else can.
fn kill(pid: &str) {
    let killed = std::process::Command::new("kill")
        .args(["-KILL", pid])
        .status();
    assert!(killed.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_is_started_again() {
    let folder = Folder::new("");
    let host = host(&[("s", folder.settings())]).await;
    let before = names(&host).await;
    kill(&folder.wait_for("start", 1).await);
    folder.wait_for("initialize", 2).await;
    answers(&host, "s_echo", text_arg("a")).await;
    assert_eq!(names(&host).await, before);
    well(&host).await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_which_the_server_ends_fails_and_the_next_finds_another() {
    let folder = Folder::new("");
    let host = host(&[("s", folder.settings())]).await;
    assert_eq!(
        failure(&host, "s_die", json!({})).await,
        "Tool `s_die` failed: the MCP server `s` has gone away during the call; whether it was carried out is not known"
    );
    answers(&host, "s_echo", text_arg("a")).await;
    assert_eq!(folder.entries("call die").len(), 1);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_come_back_is_told_of_and_tried_for_ever() {
    let folder = Folder::new("");
    let settings = format!(
        "{}env = {{ SECRET = \"sk-0123456789\" }}",
        folder.settings()
    );
    let host = host(&[("s", settings)]).await;
    folder.set_mode("exit");
    failure(&host, "s_die", json!({})).await;
    // The last that it wrote is for the operator, and never with what it was given as a secret.
    let told = complains(&host, "exit code 3").await;
    assert!(
        told.starts_with(
            "the MCP server `s` is away: its process has ended with exit code 3; next attempt at "
        ),
        "{told}"
    );
    assert!(
        told.ends_with(" UTC; it wrote: no licence, and the token is ***"),
        "{told}"
    );
    assert_eq!(health(&host).await.0, "failing");
    // Its tools stay, and say at once what is wrong.
    let told = failure(&host, "s_echo", text_arg("a")).await;
    assert!(
        told.starts_with("Tool `s_echo` failed: the MCP server `s` is not available: its process has ended with exit code 3"),
        "{told}"
    );
    assert!(!told.contains("licence"), "{told}");
    folder.wait_for("start", 6).await;
    folder.set_mode("");
    answers(&host, "s_echo", text_arg("a")).await;
    well(&host).await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_that_is_not_there_does_not_keep_the_others_down() {
    let (good, bad) = (Folder::new(""), Folder::new("exit"));
    let host = host(&[
        ("bad", bad.settings()),
        ("good", good.settings()),
        ("none", "command = \"no-such-program-anywhere\"".to_owned()),
    ])
    .await;
    assert_eq!(text(&host, "good_echo", text_arg("a")).await, "a");
    let told = complains(&host, "`none` is away").await;
    assert!(
        told.contains("its program could not be started (exit code 127)"),
        "{told}"
    );
    assert!(
        told.contains("`no-such-program-anywhere` cannot be started: No such file"),
        "{told}"
    );
    assert!(told.contains("`bad` is away"), "{told}");
    assert_eq!(health(&host).await.0, "degraded");
    assert!(!names(&host).await.contains(&"bad_echo".to_owned()));
    // Its tools appear when it comes.
    bad.set_mode("");
    offered(&host, "bad_echo").await;
    assert_eq!(text(&host, "bad_echo", text_arg("b")).await, "b");
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_does_not_keep_the_host_from_starting() {
    let folder = Folder::new("silent");
    let settings = format!("{}connect_timeout_ms = 300", folder.settings());
    let slow = Folder::new("silent");
    let host = host(&[("s", settings), ("slow", slow.settings())]).await;
    let told = complains(
        &host,
        "it has not answered with the handshake within 300 ms",
    )
    .await;
    assert!(
        told.contains("the MCP server `slow` is awaited: it has not answered yet"),
        "{told}"
    );
    folder.set_mode("");
    offered(&host, "s_echo").await;
    host.shut_down([]).await;
    // Each was told to end by the end of its input.
    assert_eq!(
        folder.entries("end of input").len(),
        folder.entries("start").len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_it_has_come_back_with_other_tools_those_are_offered() {
    let folder = Folder::new("");
    let host = host(&[("s", folder.settings())]).await;
    text(&host, "s_more", json!({})).await;
    offered(&host, "s_extra").await;
    kill(&folder.wait_for("start", 1).await);
    // The new one has not got it.
    roundhouse_tests::soon("the end of the tool", async {
        while names(&host).await.contains(&"s_extra".to_owned()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    let told = failure(&host, "s_extra", json!({})).await;
    assert!(told.starts_with("There is no tool `s_extra`"), "{told}");
    host.shut_down([]).await;
}

/// What the host says when it cannot start.
async fn refused(servers: &[(&str, String)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roundhouse.toml");
    let toml = format!(
        "[storage]\npath = \"data\"\n[plugins.libraries.scripted]\nfile = \"roundhouse_scripted\"\n\
         [agents.scripted]\ncomponent = \"scripted/scripted\"\n{}",
        config(servers)
    );
    std::fs::write(&file, toml).unwrap();
    let mut config = roundhouse_host::config::Loader::empty()
        .file(&file)
        .load()
        .unwrap();
    config.plugins.worker_executable = roundhouse_tests::programs();
    match roundhouse_host::plugin::load(&config).await {
        Ok(_) => panic!("the host has started"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_that_is_required_the_host_does_not_start() {
    let folder = Folder::new("exit");
    let settings = format!("{}required = true", folder.settings());
    let told = refused(&[("s", settings)]).await;
    assert!(
        told.contains("servers.s: it is required, and not available: its process has ended with exit code 3; it wrote: no licence"),
        "{told}"
    );
    // Where it is there, it does.
    let folder = Folder::new("");
    let settings = format!("{}required = true", folder.settings());
    let host = TestHost::with(&config(&[("s", settings)])).await;
    assert!(call(&host, "s_echo", text_arg("a")).await.output.success);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_do_not_fit_are_told_with_their_key() {
    let told = refused(&[("s", "args = [\"a\"]".to_owned())]).await;
    assert!(
        told.contains("servers.s: needs a `command` or a `url`"),
        "{told}"
    );
    let told = refused(&[("s", "url = \"mcp\"".to_owned())]).await;
    assert!(
        told.contains("servers.s.url: relative URL without a base"),
        "{told}"
    );
    let told = refused(&[("s", "comand = \"a\"".to_owned())]).await;
    assert!(
        told.contains("comand") && told.contains("command"),
        "{told}"
    );
}
