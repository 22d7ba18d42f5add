//! Images of a message: limits, forms, and what the agent gets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use roundhouse_tests::{Client, TestHost, script, text_of};
use serde_json::{Value, json};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0";
const GIF: &[u8] = b"GIF89a";
const OLD_GIF: &[u8] = b"GIF87a";
const WEBP: &[u8] = b"RIFF\x10\x00\x00\x00WEBPVP8 ";

/// An image of so many bytes, in base64.
fn png(bytes: usize) -> String {
    let mut image = PNG.to_vec();
    image.resize(bytes, 0);
    STANDARD.encode(image)
}

async fn send(client: &mut Client, images: &Value) {
    let content = script(&[json!({"echo": "images"})]);
    client
        .send(&json!({"type": "message", "content": content, "images": images}))
        .await;
}

/// The images as the agent got them.
async fn received(client: &mut Client) -> Value {
    let text = text_of(&client.whole_run().await);
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_gets_every_byte() {
    let host = TestHost::start().await;
    let mut client = host.client().await;
    let images: Vec<_> = [PNG, JPEG, GIF, OLD_GIF, WEBP]
        .map(|image| STANDARD.encode(image))
        .to_vec();
    send(&mut client, &json!(images)).await;
    assert_eq!(received(&mut client).await, json!(images));
    send(&mut client, &json!([])).await;
    assert_eq!(received(&mut client).await, Value::Null);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_url_loses_what_is_before_its_first_comma() {
    let host = TestHost::start().await;
    let mut client = host.client().await;
    let gif = STANDARD.encode(GIF);
    for head in [
        "data:image/gif;base64,",
        // Not what the URL claims, but what the first bytes are.
        "data:text/html;base64,",
        "data:,",
        "data:image/png;name=\u{1f5bc};base64,",
    ] {
        send(&mut client, &json!([format!("{head}{gif}")])).await;
        assert_eq!(received(&mut client).await, json!([gif]), "{head}");
    }
    for wrong in [
        format!("data:image/gif;base64,,{gif}"),
        format!("data:image/gif;base64{gif}"),
        format!("http://example.org/,{gif}"),
        format!("image/gif;base64,{gif}"),
    ] {
        send(&mut client, &json!([wrong])).await;
        client.expect_error("Image 1 is not valid base64.").await;
    }
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_an_image_is_told_with_its_number() {
    let host = TestHost::start().await;
    let mut client = host.client().await;
    let gif = STANDARD.encode(GIF);
    for wrong in [
        "%",
        "R0lGODlh=",
        "R0lGODl",
        "R0lG ODlh",
        "R0lGODlh\n",
        "R0lGODlh-_",
    ] {
        send(&mut client, &json!([gif, wrong])).await;
        client.expect_error("Image 2 is not valid base64.").await;
    }
    for wrong in [
        &b""[..],
        b"GIF",
        b"GIF88a",
        b"<svg/>",
        b"\x89PNG",
        b"RIFF\0\0\0\0WAVE",
        b"BM",
    ] {
        send(&mut client, &json!([gif, gif, STANDARD.encode(wrong)])).await;
        client
            .expect_error("Image 3 is not PNG, JPEG, GIF or WebP.")
            .await;
    }
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_limits_count_decoded_bytes() {
    let host = TestHost::start().await;
    let mut client = host.client().await;
    let mib = 1024 * 1024;
    // Put together as text: encoding such sizes twice takes its time.
    let hello = |images: &[&str]| {
        let images = images.join(r#"",""#);
        format!(r#"{{"type":"message","content":"hello","images":["{images}"]}}"#)
    };

    let small = png(8);
    client.send_text(&hello(&[small.as_str(); 10])).await;
    client.whole_run().await;
    client.send_text(&hello(&[small.as_str(); 11])).await;
    client
        .expect_error("Too many images (11). Max 10 allowed.")
        .await;
    client.send_text(&hello(&[&png(5 * mib + 1)])).await;
    client.expect_error("Image exceeds 5 MB limit.").await;
    // 5 MiB to the byte, which in base64 is a third more; as a data: URL it is no larger.
    let largest = png(5 * mib);
    let as_url = format!("data:image/png;base64,{largest}");
    client.send_text(&hello(&[&as_url])).await;
    client.whole_run().await;
    // Four are 20 MiB to the byte.
    client
        .send_text(&hello(&[&largest, &largest, &largest, &largest, &small]))
        .await;
    client.expect_error("Images exceed 20 MB in total.").await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_in_force_are_in_the_answers() {
    let toml =
        "limits = { images = 3, image_bytes = \"256 KiB\", images_total_bytes = \"600 KiB\" }";
    let host = TestHost::with(toml).await;
    let mut client = host.client().await;
    let kib = 1024;
    send(&mut client, &json!([png(8), png(8), png(8), png(8)])).await;
    client
        .expect_error("Too many images (4). Max 3 allowed.")
        .await;
    send(&mut client, &json!([png(8), png(256 * kib + 1)])).await;
    client.expect_error("Image exceeds 0.25 MB limit.").await;
    send(
        &mut client,
        &json!([png(200 * kib), png(200 * kib), png(200 * kib + 1)]),
    )
    .await;
    client.expect_error("Images exceed 0.59 MB in total.").await;
    client
        .send(
            &json!({"type": "message", "content": "x", "images": [png(256 * kib), png(256 * kib)]}),
        )
        .await;
    client.whole_run().await;
    host.shut_down([client]).await;

    let host = TestHost::with("limits.images = 0").await;
    let mut client = host.client().await;
    send(&mut client, &json!([png(8)])).await;
    client
        .expect_error("Too many images (1). Max 0 allowed.")
        .await;
    client.run("without").await;
    host.shut_down([client]).await;
}
