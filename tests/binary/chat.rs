//! `roundhouse chat` against a host, each a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Output, Stdio};

use roundhouse_tests::script::{delta, emit, hold};
use roundhouse_tests::{Proxy, Rest, Strings, TestHost, script, until};
use serde_json::{Value, json};

use crate::process::{Serving, output, roundhouse};

/// A conversation with a host at `url`, in an empty folder.
fn chat(url: &str, args: &[&str]) -> std::process::Command {
    let mut command = roundhouse(Path::new("."), &["chat", "--url", url]);
    command.args(args).env_remove("NO_COLOR");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Has a conversation to its end.
fn said(url: &str, args: &[&str]) -> (Option<i32>, String, String) {
    told(chat(url, args).output().unwrap())
}

fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn interrupt(child: &Child) {
    let sent = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

fn url(host: &TestHost) -> String {
    format!("http://{}", host.address())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_answered_on_standard_output() {
    let host = TestHost::start().await;
    let steps = script(&[
        emit(json!({"type": "thinking_delta", "delta": "hm"})),
        emit(json!({"type": "thinking_end"})),
        emit(json!({"type": "turn_thinking", "thinking": "hm"})),
        // Nothing of this came before.
        emit(json!({"type": "turn_thinking", "thinking": "aha"})),
        emit(
            json!({"type": "tool_call", "tool": "calculator", "args": {"a": 1}, "result": "42", "success": true}),
        ),
        delta("It is "),
        delta("42."),
    ]);
    let (code, out, err) = said(&url(&host), &[&steps]);
    assert_eq!((code, out.as_str()), (Some(0), "It is 42.\n"), "{err}");
    assert!(err.contains("\nhm\naha\n✓ calculator: 42\n"), "{err}");
    assert!(
        !err.contains('\u{1b}'),
        "no colours where no terminal is: {err:?}"
    );

    // The session that it named can be gone on with.
    let session = err.lines().find_map(|line| line.strip_prefix("session "));
    let (code, out, err) = said(&url(&host), &["--session", session.unwrap(), "and again"]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (Some(0), "and again \n", "")
    );
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_is_a_message() {
    let host = TestHost::start().await;
    let mut child = chat(&url(&host), &["--agent", "scripted"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\n\ntwo words\nlast").unwrap();
    drop(stdin);
    let (code, out, err) = told(child.wait_with_output().unwrap());
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "one \ntwo words \nlast \n"),
        "{err}"
    );
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_is_the_runs_status() {
    let host = TestHost::start().await;
    let (code, out, err) = said(&url(&host), &["script:[{\"nonsense\":1}]"]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("error: "), "{err}");

    let mut child = chat(&url(&host), &[&script(&[delta("a"), hold()])])
        .spawn()
        .unwrap();
    let mut first = [0];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    interrupt(&child);
    let (code, _, err) = told(child.wait_with_output().unwrap());
    assert_eq!(code, Some(130), "{err}");
    assert!(
        err.contains("stopping") && err.ends_with("stopped\n"),
        "{err}"
    );
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_interrupt_leaves() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await.to_string();
    let strings = Strings::new().await;
    let mut child = chat(&url(&host), &["--session", &session, &strings.content()])
        .spawn()
        .unwrap();
    // It does not stop unless it is told to.
    let mut puppet = strings.take().await;
    puppet.delta("a").await;
    let mut first = [0];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    interrupt(&child);
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    err.read_line(&mut line).unwrap();
    assert!(line.starts_with("stopping"), "{line}");
    interrupt(&child);
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
    assert_eq!(ended.await.unwrap().code(), Some(130));
    drop(puppet);
    until("the run's end", || host.host().registry.running() == 0).await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_killed_costs_nothing() {
    const COUNT: usize = 2000;
    let host = TestHost::with("limits = { slow_wait = 0, replay_records = 100000 }").await;
    let session = host.session_with("puppet").await.to_string();
    let strings = Strings::new().await;
    let proxy = Proxy::to(host.address()).await;
    let child = chat(&proxy.url(), &["--session", &session, &strings.content()])
        .spawn()
        .unwrap();
    let reading = tokio::task::spawn_blocking(move || told(child.wait_with_output().unwrap()));
    let mut puppet = strings.take().await;
    for part in 0..4 {
        let piece = json!({"type": "stream_delta", "delta": "{i} "});
        let (from, to) = (part * COUNT / 4, (part + 1) * COUNT / 4);
        puppet
            .order("count", json!([from, to, piece]))
            .await
            .unwrap();
        let before = proxy.accepted();
        proxy.cut();
        until("the client's return", || proxy.accepted() > before).await;
    }
    puppet.finish("").await;
    let (code, out, err) = reading.await.unwrap();
    assert_eq!(code, Some(0), "{err}");
    let expected: String = (0..COUNT)
        .map(|number| format!("{number:0>200} "))
        .collect();
    assert!(out == format!("{expected}\n"), "{} bytes: {err}", out.len());
    assert!(
        err.contains("trying again") && err.contains("nothing was missed"),
        "{err}"
    );
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_killed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("config")).unwrap();
    let config = "[plugins.libraries.scripted]\nfile = \"roundhouse_scripted\"\n[agents.scripted]\ncomponent = \"scripted/scripted\"\n";
    std::fs::write(folder.path().join("config/roundhouse.toml"), config).unwrap();
    let serving = Serving::start(folder.path(), &[]);
    let address = serving.address.clone();
    let rest = Rest::of(address.parse().unwrap());
    let session = rest.create_session(&json!({"agent": "scripted"})).await;
    let steps = script(&[delta("half"), hold()]);
    let mut child = chat(
        &format!("http://{address}"),
        &["--session", &session.to_string(), &steps],
    )
    .spawn()
    .unwrap();
    let mut first = [0; 4];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    // Until it is on the disk.
    let runs = format!("/sessions/{session}/runs");
    roundhouse_tests::soon("the records", async {
        loop {
            let run: Value = rest.get(&runs).await.body["runs"][0].clone();
            if run["last_seq"].as_u64() > run["first_seq"].as_u64() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    drop(serving);
    let _again = Serving::start_at(&address, folder.path(), &[]);
    let reading = tokio::task::spawn_blocking(move || told(child.wait_with_output().unwrap()));
    let (code, _, err) = reading.await.unwrap();
    assert_eq!(code, Some(1), "{err}");
    assert!(
        err.contains("the host went away in the middle of the answer"),
        "{err}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    // The token is "one".
    let host = TestHost::with(
        r#"
        [[auth.tokens]]
        owner = "ada"
        sha256 = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
        "#,
    )
    .await;
    let fails = |args: &[&str], token: &str, part: &str| {
        let output = chat(&url(&host), args).env("TOKEN", token).output();
        let (code, out, err) = told(output.unwrap());
        assert_eq!((code, out.as_str()), (Some(1), ""), "{args:?}: {err}");
        assert!(err.contains(part), "{args:?}: {err}");
    };
    fails(&["a"], "", "the host wants a token");
    let token = ["--token-env", "TOKEN"];
    fails(
        &[&token[..], &["a"]].concat(),
        "two",
        "does not know this token",
    );
    fails(
        &["--token-env", "NO_SUCH_VARIABLE", "a"],
        "",
        "`NO_SUCH_VARIABLE`",
    );
    fails(
        &[&token[..], &["--agent", "nobody", "a"]].concat(),
        "one",
        "no agent `nobody`",
    );
    let unknown = roundhouse_host::session::SessionId::new().to_string();
    let args = [&token[..], &["--session", &unknown, "a"]].concat();
    fails(&args, "one", "there is no session of this id");
    fails(
        &["--session", "../agents", "a"],
        "",
        "is not a session's id",
    );
    fails(&["--url", "https://127.0.0.1:1", "a"], "", "TLS");
    let good = chat(&url(&host), &[&token[..], &["a"]].concat())
        .env("TOKEN", "one")
        .output();
    assert_eq!(told(good.unwrap()).1, "a \n");
    host.shut_down([]).await;

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let gone = output(Path::new("."), &["chat", "--url", &nowhere, "a"]);
    let (code, out, err) = told(gone);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(
        err.contains(&format!("the host at {nowhere} is not reachable")),
        "{err}"
    );
}
