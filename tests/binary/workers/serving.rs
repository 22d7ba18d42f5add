//! What a plugin in a worker does as it does in the host.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use roundhouse_tests::script::{delta, script};
use roundhouse_tests::{TestHost, text_of, until};
use serde_json::{Value, json};

use super::{answer, client, end_of, executable, exists, host, pid, plugin};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_streams_and_its_worker_ends_with_the_host() {
    let host = host().await;
    let mut client = client(&host, "apart").await;
    let frames = client.run(&script(&[delta("one "), delta("two")])).await;
    assert_eq!(text_of(&frames), "one two");
    assert_eq!(frames.last().unwrap().kind(), "stream_end");
    let workers = [pid(&host, "apart").await, pid(&host, "faulty").await];
    assert!(workers.iter().all(|worker| exists(*worker)));
    assert_eq!(plugin(&host, "scripted").await["worker"], json!(null));
    host.shut_down([client]).await;
    until("the end of the workers", || {
        !workers.iter().any(|worker| exists(*worker))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_calls_tools_of_its_own_worker_and_tools_are_listed_anew() {
    let host = host().await;
    let mut client = client(&host, "faulty").await;
    let called = answer(&mut client, r#"tool echo {"text":"heard"}"#).await;
    assert_eq!(called, "true heard");
    let called = answer(&mut client, "tool panic").await;
    assert!(called.starts_with("false Tool `panic` failed"), "{called}");
    let called = answer(&mut client, r#"tool grow {"name":"grown"}"#).await;
    assert_eq!(called, "true grown");
    until("the grown tool", || {
        let tools = host.host().in_force().catalog.tools();
        tools.iter().any(|tool| tool.name == "grown")
    })
    .await;
    assert_eq!(answer(&mut client, "tool grown").await, "true called grown");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_keep_their_kind_and_a_panic_costs_its_run_alone() {
    let host = host().await;
    let mut client = client(&host, "faulty").await;
    let before = pid(&host, "faulty").await;
    let end = end_of(&mut client, "error max_iterations").await;
    assert_eq!(end.text_at("message"), "told to iterate");
    let end = end_of(&mut client, "panic").await;
    assert!(end.text_at("message").contains("told to panic"), "{end:?}");
    let frames = client.run("still here").await;
    assert_eq!(text_of(&frames), "still here");
    assert_eq!(pid(&host, "faulty").await, before);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_reaches_a_run_in_a_worker() {
    let host = host().await;
    let session = host.session_with("faulty").await;
    let mut client = host.idle(session).await;
    client.begin("wait_stop").await;
    host.stop(session).await;
    let frames = client.rest_of_run().await;
    assert_eq!(frames.last().unwrap().kind(), "stream_stopped");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_fetched_from_the_host() {
    let host = host().await;
    let mut client = client(&host, "apart").await;
    // A PNG's first bytes, and many more.
    let mut image = b"\x89PNG\r\n\x1a\n".to_vec();
    image.resize(1 << 20, 0);
    let images = json!([STANDARD.encode(&image)]);
    let content = script(&[json!({"echo": "images"})]);
    let message = json!({"type": "message", "content": content, "images": images});
    client.send(&message).await;
    let text = text_of(&client.whole_run().await);
    assert!(serde_json::from_str::<Value>(&text).unwrap() == images);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reaches_its_worker_by_neither_argument_nor_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "hunter2-and-more\n").unwrap();
    let toml = format!(
        "[plugins.libraries.faulty]\nfile = \"fixture_faulty\"\nisolation = \"process\"\n\
         [agents.faulty]\ncomponent = \"faulty/agent\"\nconfig.key.file = {file:?}\n"
    );
    let host = TestHost::with_worker(&toml, executable()).await;
    let mut client = client(&host, "faulty").await;
    assert_eq!(answer(&mut client, "key").await, "hunter2-and-more");
    let worker = pid(&host, "faulty").await;
    for place in ["cmdline", "environ"] {
        let bytes = std::fs::read(format!("/proc/{worker}/{place}")).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("hunter2"), "{place}: {text}");
    }
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapper_in_a_worker_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let toml = "default_agent = \"faulty\"\n[storage]\npath = \"data\"\n\
        [plugins.libraries.faulty]\nfile = \"fixture_faulty\"\nisolation = \"process\"\n\
        [agents.faulty]\ncomponent = \"faulty/agent\"\n\
        mappers = [{ component = \"faulty/mapper\", config = { mode = \"pass\" } }]\n";
    let mut config = roundhouse_host::config::Config::from_toml(toml, folder.path()).unwrap();
    config.plugins.worker_executable = Some(executable().to_owned());
    let error = roundhouse_host::plugin::load(&config).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("agents.faulty.mappers[0].component"),
        "{text}"
    );
    assert!(text.contains("without `isolation`"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_run_comes_after_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (report, now) = (folder.path().join("report"), folder.path().join("now"));
    let toml = format!(
        "[plugins.libraries.faulty]\nfile = \"fixture_faulty\"\nisolation = \"process\"\n\
         [agents.faulty]\ncomponent = \"faulty/agent\"\nconfig.report = {report:?}\n"
    );
    let host = TestHost::with_worker(&toml, executable()).await;
    let mut client = client(&host, "faulty").await;
    let done = answer(&mut client, &format!("late {}", now.display())).await;
    assert_eq!(done, "done, or so it seems");
    std::fs::write(&now, "").unwrap();
    let told = || std::fs::read_to_string(&report).unwrap_or_default();
    until("the late request", || {
        told().contains("late request refused true")
    })
    .await;
    assert!(told().contains("late emit Err(Stopped)"), "{}", told());
    // An instance is made once in a worker, and shut down before that ends.
    host.shut_down([client]).await;
    assert!(told().starts_with("created faulty\n"), "{}", told());
    assert!(told().contains("shut down "), "{}", told());
}
