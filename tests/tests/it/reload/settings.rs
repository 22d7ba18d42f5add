//! Settings that change while the host runs, when they take effect, and those that cannot.

use std::time::Duration;

use roundhouse_tests::script::{delta, hold};
use roundhouse_tests::{TestHost, script, soon, text_of};
use serde_json::json;

use super::{done, refused};

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_heartbeats_change_with_the_next_run_and_the_next_connection() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let (mut before, greeting) = host.join(session).await;
    assert_eq!(greeting.hello["limits"]["images"], 10);
    before.accepted(&script(&[hold()])).await;
    host.reconfigure(
        "[limits]\nimages = 3\nrun_seconds = \"100ms\"\nqueue = 0\nlog_bytes = \"1 MiB\"\n\
         [heartbeat]\ninterval = \"50ms\"\n",
    );
    let answer = host.reload().await;
    assert_eq!(done(&answer)["needs_restart"], json!([]));
    assert_eq!(done(&answer)["warnings"], json!([]));

    // The next connection is told, and kept alive, by the new ones.
    let (mut after, greeting) = host.join(session).await;
    assert_eq!(greeting.hello["limits"]["images"], 3);
    assert_eq!(greeting.hello["limits"]["heartbeat_ms"], 50);
    let beat = after.next_with_heartbeats().await;
    assert_eq!(beat.kind(), "heartbeat");
    // The queue is the host's, and what is asked of it goes by what is in force.
    let full = before
        .ask(&json!({"type": "message", "content": "x", "on_busy": "enqueue"}))
        .await;
    assert_eq!(full["code"], "queue_full", "{full}");

    // The run in progress has the time that it began with, and another one less.
    let mut other = host.idle(host.session().await).await;
    other.begin(&script(&[hold()])).await;
    other.expect_kind("error").await;
    assert!(host.host().registry.current_run(session).is_some());
    host.stop(session).await;
    host.shut_down([before, after, other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_tools_and_mappers_change_with_the_next_run() {
    let host = TestHost::start().await;
    let first = host.session().await;
    let mut running = host.idle(first).await;
    running.begin(&script(&[delta("secret "), hold()])).await;
    let text = running.expect_kind("stream_delta").await;
    assert_eq!(text.value()["delta"], "secret ");
    let toml = r#"
        default_agent = "second"
        [plugins.libraries.toolbox]
        file = "roundhouse_toolbox"
        [plugins.libraries.redact]
        file = "roundhouse_redact"
        [agents.second]
        component = "scripted/scripted"
        [tools.toolbox]
        component = "toolbox/toolbox"
        [[mappers]]
        component = "redact/redact"
        config = { patterns = ["42"] }
    "#;
    host.reconfigure(toml);
    done(&host.reload().await);
    let agents = host.rest().get("/agents").await.body;
    assert_eq!(agents["default_agent"], "second");
    // A session that names no agent gets the new default, its tools, and what the mapper makes of them.
    let session = host.session().await;
    let mut client = host.idle(session).await;
    let call = json!({"tool": ["calculator", {"expression": "6 * 7"}]});
    let frames = client.run(&script(std::slice::from_ref(&call))).await;
    let result = frames.iter().find(|frame| frame.kind() == "tool_call");
    assert_eq!(result.unwrap().value()["result"], "[redacted]");
    assert_eq!(host.runs(session).await[0].agent, "second");

    host.stop(first).await;
    running
        .until(|frame| frame.kind() == "stream_stopped")
        .await;
    running.run(&script(&[call])).await;
    assert_eq!(host.runs(first).await[0].agent, "second");
    assert_eq!(host.runs(first).await[1].agent, "scripted");
    host.shut_down([running, client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_is_named_and_the_rest_is_in_force() {
    let host = TestHost::start().await;
    let listen = host.host().in_force().config.server.listen;
    host.reconfigure(
        "[server]\nlisten = \"127.0.0.1:1\"\nmax_connections = 77\n[storage]\npath = \"elsewhere\"\n\
         [log]\nfilter = \"error\"\n",
    );
    for _ in 0..2 {
        // As long as they differ.
        let answer = host.reload().await;
        assert_eq!(
            done(&answer)["needs_restart"],
            json!(["server.listen", "storage.path", "log.filter"])
        );
    }
    let in_force = host.host().in_force();
    assert_eq!(in_force.config.server.listen, listen);
    assert_eq!(in_force.config.server.max_connections, 77);
    assert!(!host.path("elsewhere").exists());
    drop(in_force);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_runs_may_go_on_at_the_end_changes_too() {
    use std::sync::Arc;

    use roundhouse_host::server;
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;

    // Served as the binary serves: with the time that is configured.
    let host = TestHost::with("server.drain = \"1h\"").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let serving = server::serve(Arc::clone(host.host()), listener, async move {
        let _ = ended.await;
    });
    let serving = tokio::spawn(serving);
    let mut client = host.client().await;
    client.begin(&script(&[hold()])).await;
    host.reconfigure("server.drain = \"0s\"");
    done(&host.reload().await);
    drop(end);
    let frames = client.rest_of_run().await;
    assert_eq!(text_of(&frames), "");
    client.close().await;
    soon("the end", serving).await.unwrap();
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_ends_takes_nothing_new_up() {
    let mut host = TestHost::with_drain("", Duration::from_secs(60)).await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.begin(&script(&[hold()])).await;
    host.tell_to_end();
    roundhouse_tests::until("the drain", || host.host().registry.is_draining()).await;
    let answer = host.reload().await;
    let problem = refused(&answer, 503, "unavailable");
    assert_eq!(problem["detail"], "the host is shutting down");
    host.stop(session).await;
    client.rest().await;
    host.shut_down([client]).await;
}
