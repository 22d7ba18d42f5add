//! What a client may send, and what each fault is answered. The connection stays usable after every one.

use roundhouse_tests::script::hold;
use roundhouse_tests::{Client, TestHost, script, text_of};
use serde_json::{Value, json};

const INVALID_JSON: &str = "Invalid JSON";
const INVALID_MESSAGE: &str = "Expected {type: 'message', content: '...'}";

/// The connection works: a good message gets its run.
async fn is_usable(client: &mut Client) {
    let frames = client.run("still there").await;
    assert_eq!(text_of(&frames), "still there ");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_json_is_told() {
    let host = TestHost::start().await;
    let mut client = host.client().await;
    let too_deep = format!(
        r#"{{"type":"message","content":"x","more":{}{}}}"#,
        "[".repeat(100),
        "]".repeat(100)
    );
    for text in [
        "",
        " ",
        "hello",
        "{",
        "{}}",
        r#"{"type":"message","content":"x""#,
        r#"{"type":"message","content":"x"} x"#,
        r#"{"type":"message","content":"\ud83d"}"#,
        r#"{'type':'message','content':'x'}"#,
        "\u{feff}{\"type\":\"message\",\"content\":\"x\"}",
        "NaN",
        "[1,]",
        &too_deep,
        &"[".repeat(200_000),
    ] {
        client.send_text(text).await;
        client.expect_error(INVALID_JSON).await;
    }
    is_usable(&mut client).await;
    for data in [
        &b""[..],
        b"\x00\xff",
        br#"{"type":"message","content":"x"}"#,
    ] {
        client.send_binary(data).await;
        client.expect_error(INVALID_JSON).await;
    }
    is_usable(&mut client).await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_json_and_no_message_is_told_what_a_message_is() {
    let host = TestHost::start().await;
    let mut client = host.client().await;
    let message = |key: &str, value: Value| {
        let mut message = json!({"type": "message", "content": "x"});
        message[key] = value;
        message.to_string()
    };
    let mut texts = vec![
        "null".to_owned(),
        "7".to_owned(),
        "true".to_owned(),
        r#""message""#.to_owned(),
        "[]".to_owned(),
        r#"[{"type":"message","content":"x"}]"#.to_owned(),
        "{}".to_owned(),
        r#"{"type":"message"}"#.to_owned(),
        r#"{"content":"x"}"#.to_owned(),
    ];
    for kind in [
        json!("Message"),
        json!("stop"),
        json!("stream_start"),
        json!(""),
        json!(1),
        json!(null),
    ] {
        texts.push(message("type", kind));
    }
    for content in [
        json!(""),
        json!(null),
        json!(1),
        json!(["x"]),
        json!({"text": "x"}),
        json!(true),
    ] {
        texts.push(message("content", content));
    }
    for images in [
        json!("aGk="),
        json!(1),
        json!({}),
        json!(true),
        json!([1]),
        json!([null]),
        json!(["aGk=", {}]),
    ] {
        texts.push(message("images", images));
    }
    for files in [
        json!("a.txt"),
        json!({}),
        json!(["a.txt"]),
        json!([null]),
        json!([{}]),
        json!([{"name": "a"}]),
        json!([{"path": "a"}]),
        json!([{"name": 1, "path": "a"}]),
        json!([{"name": "a", "path": null}]),
        json!([["a", "b"]]),
    ] {
        texts.push(message("files", files));
    }
    for text in texts {
        client.send_text(&text).await;
        client.expect_error(INVALID_MESSAGE).await;
    }
    is_usable(&mut client).await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_null_and_empty_are_the_same() {
    let host = TestHost::start().await;
    let mut client = host.client().await;
    for more in [
        json!({}),
        json!({"images": null, "files": null}),
        json!({"images": [], "files": []}),
        json!({"images": null}),
        json!({"files": []}),
    ] {
        let mut message = json!({"type": "message", "content": "script:[{\"echo\":\"user\"},{\"echo\":\"images\"},{\"echo\":\"files\"}]"});
        for (key, value) in more.as_object().into_iter().flatten() {
            message[key] = value.clone();
        }
        client.send(&message).await;
        let text = text_of(&client.whole_run().await);
        assert_eq!(
            text,
            format!("{}null[]", message["content"].as_str().unwrap())
        );
    }
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_ignored_and_the_last_of_equal_keys_counts() {
    let host = TestHost::start().await;
    let mut client = host.client().await;
    for text in [
        r#"{"type":"message","content":"good","seq":1,"id":"x","deep":{"a":[1,2,{}]},"v":null}"#,
        r#" { "more" : [ ] , "content" : "good" , "type" : "message" } "#,
        r#"{"type":"stop","content":7,"type":"message","content":"good"}"#,
        r#"{"\u0074ype":"message","content":"\u0067ood"}"#,
        // What version 2 has is unknown to version 1.
        r#"{"type":"message","content":"good","on_busy":"interrupt"}"#,
    ] {
        client.send_text(text).await;
        assert_eq!(text_of(&client.whole_run().await), "good ");
    }
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_fault_in_the_contracts_order_is_the_answer() {
    let host = TestHost::with("limits.image_bytes = \"512 KiB\"").await;
    let session = host.session().await;
    let mut busy = host.idle(session).await;
    let mut client = host.idle(session).await;
    busy.begin(&script(&[hold()])).await;

    // Every fault at once; then one less each time, in the order in which they are looked at.
    let png = "iVBORw0KGgo=";
    let text = "bm90IGFuIGltYWdl";
    let large = "A".repeat(1024 * 1024);
    let file = json!([{"name": "a", "path": "/etc/passwd"}]);
    let message = |images: Value, files: &Value| json!({"type": "message", "content": "x", "images": images, "files": files});
    let mut eleven = vec!["%"; 10];
    eleven.push(&large);

    client
        .send_text(&format!("{},", message(json!(eleven), &file)))
        .await;
    client.expect_error(INVALID_JSON).await;
    client
        .send_text(&message(json!(eleven), &json!([1])).to_string())
        .await;
    client.expect_error(INVALID_MESSAGE).await;
    client.send(&message(json!(eleven), &file)).await;
    client
        .expect_error("Too many images (11). Max 10 allowed.")
        .await;
    client
        .send(&message(json!(["%", text, large]), &file))
        .await;
    client.expect_error("Image exceeds 0.5 MB limit.").await;
    client.send(&message(json!([text, "%", png]), &file)).await;
    client.expect_error("Image 2 is not valid base64.").await;
    client.send(&message(json!([png, text, png]), &file)).await;
    client
        .expect_error("Image 2 is not PNG, JPEG, GIF or WebP.")
        .await;
    client.send(&message(json!([png]), &file)).await;
    client
        .expect_error("File 1 is not an upload of this session.")
        .await;
    client.send(&message(json!([png]), &json!([]))).await;
    client
        .expect_error("Agent is already running for this session.")
        .await;
    host.stop(session).await;
    busy.rest_of_run().await;
    client.send(&message(json!([png]), &json!([]))).await;
    client.expect_kind("stream_start").await;
    client.rest_of_run().await;
    host.shut_down([client, busy]).await;
}
