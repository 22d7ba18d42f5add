//! What the agent is asked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use roundhouse_tests::{Client, TestHost};
use serde_json::{Value, json};

use super::stage::{Stage, ask, content, script};

const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\nnot much of a picture";

/// A message with an image and an upload: the prompt that came of it.
async fn prompt(host: &TestHost) -> (Client, Vec<Value>, String) {
    let session = host.session().await;
    let uploaded = host
        .rest()
        .upload(session, &[("my notes.txt", b"remember me")])
        .await;
    assert_eq!(uploaded.status, 201, "{}", uploaded.body);
    let file = uploaded.body[0].clone();
    let mut client = host.idle(session).await;
    let message = json!({"type": "message", "content": script(&[json!({"prompt": true})]),
        "images": [STANDARD.encode(PIXEL)], "files": [file]});
    client.send(&message).await;
    let frames = client.whole_run().await;
    let blocks = serde_json::from_str(content(&frames)).unwrap();
    let path = file["path"].as_str().unwrap().to_owned();
    (client, blocks, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_can_gets_images_and_uploads_themselves() {
    let stage = Stage::with(&["images", "embedded"], "").await;
    let (client, blocks, path) = prompt(&stage.host).await;
    assert_eq!(
        blocks[1],
        json!({"type": "image", "data": STANDARD.encode(PIXEL), "mimeType": "image/png"})
    );
    assert_eq!(blocks[2]["type"], "resource");
    assert_eq!(blocks[2]["resource"]["text"], "remember me");
    let uri = blocks[2]["resource"]["uri"].as_str().unwrap();
    assert!(uri.starts_with("file:///") && !path.is_empty(), "{uri}");
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_is_told_of_them_and_may_read_the_uploads() {
    let stage = Stage::start().await;
    let session = stage.host.session().await;
    let uploaded = stage
        .host
        .rest()
        .upload(session, &[("my notes.txt", b"remember me")])
        .await;
    let file = uploaded.body[0].clone();
    let mut client = stage.host.idle(session).await;
    let read = ask("fs/read_text_file", json!({"path": file["path"]}));
    let steps = script(&[json!({"prompt": true}), json!({"say": "\n"}), read.clone()]);
    let message = json!({"type": "message", "content": format!("{steps} "), "files": [file]});
    client.send(&message).await;
    let frames = client.whole_run().await;
    let (prompt, answer) = content(&frames).split_once('\n').unwrap();
    let blocks: Vec<Value> = serde_json::from_str(prompt).unwrap();
    assert_eq!(blocks[1]["type"], "resource_link");
    assert_eq!(blocks[1]["name"], "my notes.txt");
    assert!(blocks[1]["uri"].as_str().unwrap().starts_with("file:///"));
    assert_eq!(
        serde_json::from_str::<Value>(answer).unwrap(),
        json!({"content": "remember me"})
    );
    // It is not the message's any more.
    let frames = client.run(&script(&[read])).await;
    assert!(content(&frames).contains("is outside of the folder"));
    let message =
        json!({"type": "message", "content": "Look!", "images": [STANDARD.encode(PIXEL)]});
    client.send(&message).await;
    let frames = client.whole_run().await;
    assert_eq!(
        content(&frames),
        "Look!\n\n[1 image came with this message, and cannot be shown to you.]"
    );
    stage.end([client]).await;
}
