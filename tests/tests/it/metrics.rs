//! What the host counts of itself, as Prometheus reads it.

use roundhouse_tests::script::{delta, hold};
use roundhouse_tests::{TestHost, script, soon};

/// The token is "one".
const TOKENS: &str = r#"
[[auth.tokens]]
owner = "ada"
sha256 = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
"#;

async fn read(host: &TestHost, token: Option<&str>) -> (u16, String) {
    let request = roundhouse_tests::http_client().get(format!("http://{}/metrics", host.address()));
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// The value of a metric; 0 for one that is not there.
fn value(page: &str, name: &str) -> f64 {
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn they_say_what_happens() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client
        .begin(&script(&[delta("a"), delta("b"), hold()]))
        .await;
    client.until(|frame| frame.value()["delta"] == "b").await;
    let mut late = host.connect(session).await;
    late.expect_kind("stream_start").await;
    assert_eq!(late.replay().await.len(), 1);
    let (status, page) = read(&host, None).await;
    assert_eq!(status, 200);
    assert!(page.ends_with("# EOF\n"));
    for (name, expected) in [
        ("roundhouse_connections{version=\"1\"}", 2.0),
        ("roundhouse_runs_in_progress", 1.0),
        ("roundhouse_replay_frames_sum", 1.0),
        ("roundhouse_sessions", 1.0),
        ("roundhouse_plugins{state=\"loaded\"}", 2.0),
        ("roundhouse_plugins{state=\"failed\"}", 0.0),
    ] {
        assert_eq!(value(&page, name), expected, "{name}\n{page}");
    }
    assert!(
        value(&page, "roundhouse_event_to_socket_seconds_count") >= 1.0,
        "{page}"
    );
    assert!(value(&page, "roundhouse_sent_bytes_total") > 50.0, "{page}");

    host.stop(session).await;
    client.expect_kind("stream_stopped").await;
    late.until(|frame| frame.kind() == "session_sync").await;
    let page = soon("the run's end", async {
        loop {
            let (_, page) = read(&host, None).await;
            if value(&page, "roundhouse_runs_in_progress") == 0.0 {
                return page;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
    for (name, expected) in [
        ("roundhouse_runs_total{status=\"stopped\"}", 1.0),
        // stream_start, two deltas, stream_stopped, and the stream_end of version 2.
        ("roundhouse_log_events_total", 5.0),
        ("roundhouse_log_folds_total", 1.0),
    ] {
        assert_eq!(value(&page, name), expected, "{name}\n{page}");
    }
    assert!(
        value(&page, "roundhouse_sent_events_total") >= 5.0,
        "{page}"
    );
    host.shut_down([client, late]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_failures_are_counted() {
    let host = TestHost::with("server.max_connections = 1").await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    host.connect(session).await.closed().await;
    client
        .begin(&script(&[serde_json::json!({"panic": "on purpose"})]))
        .await;
    client.until(|frame| frame.kind() == "error").await;
    let (_, page) = read(&host, None).await;
    assert_eq!(
        value(&page, "roundhouse_closes_total{code=\"1013\"}"),
        1.0,
        "{page}"
    );
    assert_eq!(
        value(&page, "roundhouse_runs_total{status=\"error\"}"),
        1.0,
        "{page}"
    );
    let failures = "roundhouse_plugin_failures_total{kind=\"agent\",agent=\"scripted\"}";
    assert_eq!(value(&page, failures), 1.0, "{page}");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_need_a_token_unless_they_are_public() {
    let host = TestHost::with(TOKENS).await;
    assert_eq!(read(&host, None).await.0, 401);
    assert_eq!(read(&host, Some("two")).await.0, 401);
    assert_eq!(read(&host, Some("one")).await.0, 200);
    host.shut_down([]).await;
    let host = TestHost::with(&format!("{TOKENS}[metrics]\npublic = true")).await;
    assert_eq!(read(&host, None).await.0, 200);
    host.shut_down([]).await;
}
