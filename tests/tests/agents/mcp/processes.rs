//! Processes: what a server gets of the host, what the host's log gets of it, and that it ends with the host.

use std::path::Path;
use std::process::Stdio;

use roundhouse_tests::mcp::{Folder, HttpFault, HttpServer};
use roundhouse_tests::{TestHost, is_gone, programs, soon, until};
use serde_json::json;
use tokio::process::{Child, Command};

use super::stage::{answers, at, config, host, text, text_arg};

const SECRET: &str = "sk-0123456789";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_gets_its_own_variables_and_none_of_the_hosts() {
    let folder = Folder::new("");
    let settings = format!("{}env = {{ SECRET = \"{SECRET}\" }}", folder.settings());
    let host = host(&[("s", settings)]).await;
    let variable = async |name: &str| text(&host, "s_variable", json!({"name": name})).await;
    assert_eq!(variable("SECRET").await, SECRET);
    assert_eq!(variable("PATH").await, std::env::var("PATH").unwrap());
    // Cargo sets it for every test.
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok());
    assert_eq!(variable("CARGO_MANIFEST_DIR").await, "(none)");
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_works_where_it_is_told_to_and_has_the_files_it_is_given() {
    let folder = Folder::new("");
    let path = folder.path().display().to_string();
    let programs = programs().unwrap();
    // The built programs are read by what loads them.
    let built = programs.parent().unwrap().display().to_string();
    let settings = format!(
        "{}cwd = {path:?}\nfiles = {{ read = [{built:?}], write = [{path:?}] }}",
        folder.settings()
    );
    let host = host(&[("s", settings)]).await;
    assert_eq!(
        text(&host, "s_variable", json!({"name": "PWD"})).await,
        "(none)"
    );
    assert_eq!(text(&host, "s_echo", text_arg("a")).await, "a");
    let pid = folder.wait_for("start", 1).await;
    let works_in = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
    assert_eq!(works_in, folder.path().canonicalize().unwrap());
    host.shut_down([]).await;

    // Without its folder it cannot even begin.
    let folder = Folder::new("");
    let settings = format!("{}files = {{ read = [{built:?}] }}", folder.settings());
    let host = super::stage::host(&[("s", settings)]).await;
    super::stage::complains(&host, "Permission denied").await;
    assert_eq!(folder.journal(), [""; 0]);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_process_ends_with_the_host_and_in_order() {
    let folder = Folder::new("");
    let host = host(&[("s", folder.settings())]).await;
    host.shut_down([]).await;
    assert_eq!(folder.entries("end of input").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_leaves_no_process_behind() {
    let folder = Folder::new("");
    let toml = config(&[("s", folder.settings())]);
    let host = TestHost::with(&toml).await;
    host.reconfigure(&toml.replace("retry_delay_ms = 20", "retry_delay_ms = 21"));
    assert_eq!(host.reload().await.status, 200);
    folder.wait_for("end of input", 1).await;
    answers(&host, "s_echo", text_arg("a")).await;
    host.shut_down([]).await;
    assert_eq!(
        (
            folder.entries("start").len(),
            folder.entries("end of input").len()
        ),
        (2, 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_in_a_worker() {
    let folder = Folder::new("");
    let server = HttpServer::start().await;
    let servers = [("s", folder.settings()), ("web", at(&server.url()))];
    let toml = in_a("process", &servers);
    let host = TestHost::with(&toml).await;
    answers(&host, "s_echo", text_arg("a")).await;
    answers(&host, "web_echo", text_arg("a")).await;
    host.shut_down([]).await;
    assert_eq!(folder.entries("end of input").len(), 1);
}

/// The configuration with the plugin in a worker, or not.
fn in_a(isolation: &str, servers: &[(&str, String)]) -> String {
    let file = "file = \"roundhouse_mcp\"";
    config(servers).replace(file, &format!("{file}\nisolation = \"{isolation}\""))
}

/// A host of its own, that can be killed.
struct Process {
    child: Child,
    log: std::path::PathBuf,
    address: String,
}

impl Process {
    async fn start(folder: &Path, servers: &[(&str, String)], isolation: &str) -> Self {
        let file = folder.join("roundhouse.toml");
        let toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[storage]\npath = \"data\"\n[log]\nfilter = \"trace\"\n\
             [plugins.libraries.scripted]\nfile = \"roundhouse_scripted\"\n\
             [agents.scripted]\ncomponent = \"scripted/scripted\"\n{}",
            in_a(isolation, servers)
        );
        std::fs::write(&file, toml).unwrap();
        let log = folder.join("log");
        let mut child = Command::new(programs().unwrap())
            .args(["serve", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // It says so in the same stream.
        let listening = || {
            let log = std::fs::read_to_string(&log).unwrap();
            let (_, rest) = log.split_once("listens on http://")?;
            Some(rest.split_once(',')?.0.to_owned())
        };
        let ended = |child: &mut Child| child.try_wait().unwrap().is_some();
        let address = soon("the host", async {
            loop {
                match listening() {
                    Some(address) => return address,
                    None => assert!(
                        !ended(&mut child),
                        "{}",
                        std::fs::read_to_string(&log).unwrap()
                    ),
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
        Self {
            child,
            log,
            address,
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

async fn all_ends_when_the_host_is_killed(isolation: &str) {
    let folder = Folder::new("family");
    let own = tempfile::tempdir().unwrap();
    let servers = [("s", folder.settings())];
    let mut process = Process::start(own.path(), &servers, isolation).await;
    let server = folder.wait_for("start", 1).await;
    let relative = folder.wait_for("family", 1).await;
    folder.wait_for("initialize", 1).await;
    assert!(!is_gone(&server) && !is_gone(&relative));
    process.child.start_kill().unwrap();
    soon("the end of the host", process.child.wait())
        .await
        .unwrap();
    until("the end of the server", || is_gone(&server)).await;
    until("the end of what it has started", || is_gone(&relative)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_a_server_has_started_ends_when_the_host_is_killed() {
    all_ends_when_the_host_is_killed("in-process").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_does_from_a_worker() {
    all_ends_when_the_host_is_killed("process").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_log_even_if_everything_is_logged() {
    let (folder, server) = (Folder::new(""), HttpServer::start().await);
    let own = tempfile::tempdir().unwrap();
    let token = "token-0123456789";
    let servers = [
        (
            "s",
            format!("{}env = {{ SECRET = \"{SECRET}\" }}", folder.settings()),
        ),
        (
            "web",
            format!(
                "url = \"{}?key={SECRET}\"\nbearer_token = \"{token}\"",
                server.url()
            ),
        ),
    ];
    let mut process = Process::start(own.path(), &servers, "in-process").await;
    let rest = roundhouse_tests::Rest::of(process.address.parse().unwrap());
    let session = rest.create_session(&json!({})).await;
    let mut client =
        roundhouse_tests::client::Connect::to(process.address.parse().unwrap(), session)
            .open()
            .await;
    client.expect_kind("session_sync").await;
    let steps = [
        json!({"tool": ["s_log", {}]}),
        json!({"tool": ["s_refuse", {}]}),
        json!({"tool": ["web_echo", {"text": "a"}]}),
    ];
    let frames = client.run(&roundhouse_tests::script(&steps)).await;
    let calls: Vec<_> = frames
        .iter()
        .filter(|frame| frame.kind() == "tool_call")
        .collect();
    assert_eq!(calls.len(), 3);
    assert_eq!(
        calls[1].value()["result"],
        "Tool `s_refuse` failed: not today, *** (code -32000)"
    );
    assert_eq!(calls[2].value()["result"], "a");
    // Away, for all reasons that there are.
    server.set_fault(HttpFault::Status(axum::http::StatusCode::BAD_GATEWAY));
    client.run(&roundhouse_tests::script(&steps[2..])).await;
    until("the server's end in the log", || {
        process.log().contains("HTTP status 502")
    })
    .await;
    drop(server);
    until("the refused connection in the log", || {
        process.log().contains("cannot be reached")
    })
    .await;
    client.close().await;
    process.child.start_kill().unwrap();
    soon("the end of the host", process.child.wait())
        .await
        .unwrap();
    let log = process.log();
    // What the server said is there, on one line.
    assert!(log.contains("on the side: ***\\u{1b}[31m"), "{log}");
    assert!(
        log.contains("fixture: {\"a\":1,\"token\":\"***\"}"),
        "{log}"
    );
    for secret in [SECRET, token] {
        assert!(
            !log.contains(secret),
            "{}",
            log.lines().find(|line| line.contains(secret)).unwrap()
        );
    }
}
