//! Images of earlier turns, which an agent may have again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use roundhouse_tests::{Strings, TestHost};
use serde_json::{Value, json};

const MIB: usize = 1 << 20;

/// An image of so many bytes, and what the puppet tells of it.
fn png(bytes: usize) -> (String, Value) {
    let mut image = b"\x89PNG\r\n\x1a\n".to_vec();
    image.resize(bytes, 1);
    let sum: u64 = image.iter().map(|byte| u64::from(*byte)).sum();
    (STANDARD.encode(image), json!(["image/png", bytes, sum]))
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_lent_as_long_as_they_are_not_too_many() {
    let host = TestHost::start().await;
    let mut client = host.idle(host.session_with("puppet").await).await;
    let (small, of_small) = png(100);
    let (large, of_large) = png(5 * MIB);
    let strings = Strings::new().await;
    for images in [json!([small, large]), Value::Null] {
        client
            .send(&json!({"type": "message", "content": strings.content(), "images": images}))
            .await;
        strings.take().await.finish("seen").await;
        client.whole_run().await;
    }
    client.message(&strings.content()).await;
    let mut puppet = strings.take().await;
    let mut order =
        async |turn: u64, image: u64| puppet.order("history_image", json!([turn, image])).await;
    assert_eq!(order(1, 0).await.unwrap(), of_small);
    for _ in 0..3 {
        assert_eq!(order(1, 1).await.unwrap(), of_large);
    }
    // None of the turn's, a turn without any, an answer, the message itself, what is still to come, and none at all.
    for (turn, image) in [
        (1, 2),
        (3, 0),
        (2, 0),
        (5, 0),
        (6, 0),
        (0, 0),
        (u64::MAX, 0),
    ] {
        let error = order(turn, image).await.unwrap_err();
        let expected = format!("turn {turn} has no image {image}");
        assert!(error.contains(&expected), "{error}");
    }
    let error = order(1, 1).await.unwrap_err();
    assert!(error.contains("20971520 are lent at most"), "{error}");
    // What was lent before is counted, and a small one has room still.
    assert_eq!(order(1, 0).await.unwrap(), of_small);
    puppet.finish("done").await;
    client.whole_run().await;
    // The next run may have as many again.
    client.message(&strings.content()).await;
    let mut puppet = strings.take().await;
    let again = puppet.order("history_image", json!([1, 1])).await;
    assert_eq!(again.unwrap(), of_large);
    puppet.finish("done").await;
    client.whole_run().await;
    host.shut_down([client]).await;
}
