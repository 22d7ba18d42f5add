//! Frames over the limit.

use roundhouse_tests::script::hold;
use roundhouse_tests::{Close, TestHost, script};
use serde_json::json;

/// A message whose frame has so many bytes, most of them in a field that the host ignores.
fn message(bytes: usize) -> String {
    let empty = json!({"type": "message", "content": "x", "more": ""}).to_string();
    empty.replace(
        r#""more":"""#,
        &format!(r#""more":"{}""#, "x".repeat(bytes - empty.len())),
    )
}

fn too_large() -> Close {
    Close {
        code: 1009,
        reason: "Message too large".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_a_frame_may_have_32_mib() {
    let host = TestHost::start().await;
    let mib = 1024 * 1024;
    let mut client = host.client().await;
    client.send_text(&message(32 * mib + 1)).await;
    client.expect_error("Message exceeds 32 MB limit.").await;
    assert_eq!(client.closed().await, too_large());
    host.shut_down([]).await;
}

const LIMITED: &str = r#"
[limits]
image_bytes = "512 KiB"
images_total_bytes = "768 KiB"
frame_bytes = "1.5 MiB"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_in_force_is_told() {
    let host = TestHost::with(LIMITED).await;
    let limit = 1024 * 1024 * 3 / 2;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.send_text(&message(limit)).await;
    client.whole_run().await;
    for bytes in [limit + 1, 2 * limit, 2 * limit + 1, 10 * limit] {
        let mut client = host.idle(session).await;
        client.send_too_much(&message(bytes)).await;
        client.expect_error("Message exceeds 1.5 MB limit.").await;
        assert_eq!(client.closed().await, too_large());
    }
    // Whatever is in it.
    let mut binary = host.idle(session).await;
    binary.send_binary(&vec![0; limit + 1]).await;
    binary.expect_error("Message exceeds 1.5 MB limit.").await;
    assert_eq!(binary.closed().await, too_large());
    // Also in many fragments.
    let mut fragments = host.idle(session).await;
    fragments.send_fragments(&message(limit + 1), 1000).await;
    fragments
        .expect_error("Message exceeds 1.5 MB limit.")
        .await;
    assert_eq!(fragments.closed().await, too_large());
    // The others are not concerned.
    client.run("still there").await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_that_is_watched_goes_on() {
    let host = TestHost::with(LIMITED).await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.begin(&script(&[hold()])).await;
    client.send_text(&message(2 * 1024 * 1024)).await;
    client.expect_error("Message exceeds 1.5 MB limit.").await;
    assert_eq!(client.closed().await.code, 1009);
    let mut back = host.connect(session).await;
    back.expect_kind("stream_start").await;
    host.stop(session).await;
    back.expect_kind("stream_stopped").await;
    host.shut_down([back]).await;
}
