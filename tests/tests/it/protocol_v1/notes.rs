//! What the agent receives as content, to the letter.

use roundhouse_tests::{Strings, TestHost, script, text_of};
use serde_json::{Value, json};

/// The content as the agent received it, and the message's own.
async fn content(images: usize, files: &[&str]) -> (String, String) {
    let host = TestHost::start().await;
    let session = host.session().await;
    let folder = host.host().uploads.create(session).unwrap();
    let mut client = host.idle(session).await;
    let files: Vec<Value> = files
        .iter()
        .map(|name| {
            let path = folder.join(name.to_lowercase());
            std::fs::write(&path, "").unwrap();
            json!({"name": name, "path": path})
        })
        .collect();
    let content = script(&[json!({"echo": "user"})]);
    client
        .send(&json!({
            "type": "message",
            "content": content,
            "images": vec!["R0lGODlh"; images],
            "files": files,
        }))
        .await;
    let received = text_of(&client.whole_run().await);
    let received = received.replace(&folder.display().to_string(), "FOLDER");
    host.shut_down([client]).await;
    (received, content)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_images_and_files_it_is_the_clients_text() {
    let (received, own) = content(0, &[]).await;
    assert_eq!(received, own);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_image_is_noted_in_the_singular() {
    let (received, own) = content(1, &[]).await;
    assert_eq!(
        received,
        format!(
            "{own}\n\n[1 image attached inline — already in your context, no extra loading needed.]"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn images_and_files_are_noted_one_after_the_other() {
    let (received, own) = content(3, &["A.txt", "B b.txt"]).await;
    assert_eq!(
        received,
        format!(
            "{own}\n\n[3 images attached inline — already in your context, no extra loading needed.]\
             \n\n[Uploaded files on disk:\n- A.txt → FOLDER/a.txt\n- B b.txt → FOLDER/b b.txt]"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_alone_are_noted() {
    let (received, own) = content(0, &["A.txt"]).await;
    assert_eq!(
        received,
        format!("{own}\n\n[Uploaded files on disk:\n- A.txt → FOLDER/a.txt]")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_gets_the_clients_own_text_apart() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    let own = strings.content();
    client
        .send(&json!({"type": "message", "content": own, "images": ["R0lGODlh"]}))
        .await;
    let mut puppet = strings.take().await;
    let request = puppet.order("request", Value::Null).await.unwrap();
    assert_eq!(request["user_text"], own.as_str());
    let noted = request["content"].as_str().unwrap();
    assert!(noted.starts_with(&format!("{own}\n\n[1 image ")), "{noted}");
    assert_eq!(request["session_id"], session.to_string());
    assert_eq!(request["agent"], "puppet");
    puppet.finish("").await;
    client.whole_run().await;
    let run = &host.runs(session).await[0];
    assert_eq!(request["run_id"], run.id.to_string());
    host.shut_down([client]).await;
}
