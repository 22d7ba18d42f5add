//! Calls: what they give, how far they are, and that nobody waits for them any more.

use roundhouse_tests::mcp::Folder;
use roundhouse_tests::{Strings, TestHost, script, soon};
use serde_json::{Value, json};

use super::stage::{call, config, failure, host, text, text_arg};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_tells_how_far_it_is() {
    let folder = Folder::new("");
    let host = host(&[("s", folder.settings())]).await;
    let called = call(&host, "s_steps", json!({"count": 3})).await;
    assert_eq!(called.output.text, "3 steps");
    assert_eq!(
        called.progress,
        ["step (1 of 10)", "step (2 of 10)", "step (3 of 10)"]
    );
    let metadata = called.output.metadata.unwrap();
    assert_eq!(metadata["mcp"], json!({"server": "s", "tool": "steps"}));
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_with_a_call_is_not_given_up() {
    let folder = Folder::new("");
    let settings = format!("{}ping_interval_ms = 100", folder.settings());
    let host = host(&[("s", settings)]).await;
    assert_eq!(text(&host, "s_busy", json!({})).await, "done");
    assert_eq!(folder.entries("start").len(), 1);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_run_side_by_side() {
    let folder = Folder::new("");
    let host = host(&[("s", folder.settings())]).await;
    let mut waiting = Box::pin(call(&host, "s_wait", json!({})));
    tokio::select! {
        _ = &mut waiting => panic!("it answers never"),
        () = async { folder.wait_for("call wait", 1).await; } => {}
    }
    assert_eq!(text(&host, "s_echo", text_arg("a")).await, "a");
    drop(waiting);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_run_is_stopped_the_server_is_told() {
    let folder = Folder::new("");
    let host = host(&[("s", folder.settings())]).await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client
        .begin(&script(&[json!({"tool": ["s_wait", {}]})]))
        .await;
    let id = folder.wait_for("call wait", 1).await;
    host.stop(session).await;
    assert_eq!(folder.wait_for("cancelled", 1).await, id);
    client.rest_of_run().await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_call_takes_too_long_the_server_is_told() {
    let folder = Folder::new("");
    let toml = config(&[("s", folder.settings())]);
    let toml = toml.replace(
        "component = \"mcp/mcp\"",
        "component = \"mcp/mcp\"\ntimeout = \"200ms\"",
    );
    let host = TestHost::with(&toml).await;
    let told = failure(&host, "s_wait", json!({})).await;
    assert_eq!(told, "Tool `s_wait` did not answer within 0.2 seconds.");
    let id = folder.wait_for("call wait", 1).await;
    assert_eq!(folder.wait_for("cancelled", 1).await, id);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_in_the_servers_words() {
    let folder = Folder::new("");
    let host = host(&[("s", folder.settings())]).await;
    assert_eq!(failure(&host, "s_fail", json!({})).await, "it did not work");
    assert_eq!(
        failure(&host, "s_refuse", json!({})).await,
        "Tool `s_refuse` failed: not today, (none) (code -32000)"
    );
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_of_an_unknown_kind_does_not_cost_the_rest() {
    let folder = Folder::new("");
    let host = host(&[("s", folder.settings())]).await;
    assert_eq!(
        text(&host, "s_odd", json!({})).await,
        "[content of a kind that is not known: smell]\nand text"
    );
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_asks_for_is_refused_but_for_a_ping() {
    let folder = Folder::new("");
    let host = host(&[("s", folder.settings())]).await;
    let answers: Value = serde_json::from_str(&text(&host, "s_ask", json!({})).await).unwrap();
    assert_eq!(
        answers,
        json!({
            "ping": {}, "roots/list": -32601, "sampling/createMessage": -32601,
            "elicitation/create": -32601, "x/y": -32601
        })
    );
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_gets_a_large_result_whole() {
    let folder = Folder::new("");
    let host = host(&[("s", folder.settings())]).await;
    let strings = Strings::new().await;
    let mut client = host.idle(host.session_with("puppet").await).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    let bytes = 3_000_000;
    let order = puppet.order("tool", json!(["s_large", {"bytes": bytes}]));
    let given = soon("the result", order).await.unwrap();
    assert_eq!(given["text"].as_str().unwrap().len(), bytes);
    puppet.finish("").await;
    client.rest_of_run().await;
    host.shut_down([client]).await;
}
