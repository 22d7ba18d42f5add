//! Files of a message: nothing but uploads of the session gets to the agent.

use std::path::{Path, PathBuf};

use roundhouse_host::session::SessionId;
use roundhouse_tests::{Client, TestHost, script, text_of};
use serde_json::{Value, json};

/// Puts a file where uploads of the session lie.
fn upload(host: &TestHost, session: SessionId, name: &str) -> PathBuf {
    let file = host.host().uploads.create(session).unwrap().join(name);
    std::fs::write(&file, "uploaded").unwrap();
    file
}

async fn send(client: &mut Client, files: &[(&str, &Path)]) {
    let files: Vec<_> = files
        .iter()
        .map(|(name, path)| json!({"name": name, "path": path}))
        .collect();
    let content = script(&[json!({"echo": "files"})]);
    client
        .send(&json!({"type": "message", "content": content, "files": files}))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_the_session_reach_the_agent() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    let files = [("one.txt", &b"uploaded"[..]), ("Zwei · 二.txt", b"")];
    let uploaded = host.rest().upload(session, &files).await;
    assert_eq!(uploaded.status, 201, "{}", uploaded.body);
    // What the upload answers is what a message takes.
    let content = script(&[json!({"echo": "files"})]);
    client
        .send(&json!({"type": "message", "content": content, "files": uploaded.body}))
        .await;
    let text = text_of(&client.whole_run().await);
    let received: Value = serde_json::from_str(&text).unwrap();
    for (index, (name, bytes)) in files.iter().enumerate() {
        assert_eq!(received[index]["name"], *name);
        assert_eq!(received[index]["path"], uploaded.body[index]["path"]);
        let path = received[index]["path"].as_str().unwrap();
        assert_eq!(std::fs::read(path).unwrap(), *bytes);
    }
    assert_eq!(received.as_array().unwrap().len(), 2);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_lose_their_control_characters() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    let file = upload(&host, session, "file");
    send(&mut client, &[("a\nb\u{7}c\u{85}d\te\u{1b}[0m", &file)]).await;
    let text = text_of(&client.whole_run().await);
    let files: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(files[0]["name"], "abcde[0m");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_does() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let other = host.session().await;
    let mut client = host.idle(session).await;
    let outside = host.path("outside.txt");
    std::fs::write(&outside, "outside").unwrap();

    // Without any upload there is not even a folder.
    send(&mut client, &[("x", &outside)]).await;
    client
        .expect_error("File 1 is not an upload of this session.")
        .await;

    let good = upload(&host, session, "good.txt");
    let folder = good.parent().unwrap().to_owned();
    let others = upload(&host, other, "theirs.txt");
    std::os::unix::fs::symlink(&outside, folder.join("link")).unwrap();
    std::os::unix::fs::symlink(&others, folder.join("link to theirs")).unwrap();
    std::os::unix::fs::symlink(host.path("."), folder.join("up")).unwrap();
    std::os::unix::fs::symlink("good.txt", folder.join("link to good")).unwrap();
    std::fs::create_dir(folder.join("folder")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(folder.join("pipe"))
        .status();
    assert!(made.is_ok_and(|status| status.success()));
    for wrong in [
        outside.clone(),
        others.clone(),
        PathBuf::from("/etc/passwd"),
        PathBuf::new(),
        PathBuf::from("."),
        folder.clone(),
        folder.join("folder"),
        folder.join("pipe"),
        folder.join("link"),
        folder.join("link to theirs"),
        folder.join("up/outside.txt"),
        folder.join("../../../outside.txt"),
        folder.join("missing.txt"),
        folder.join("good.txt/"),
        folder.join("good.txt/.."),
        PathBuf::from("good.txt\0"),
        PathBuf::from("x".repeat(10_000)),
    ] {
        send(&mut client, &[("good", &good), ("wrong", &wrong)]).await;
        client
            .expect_error("File 2 is not an upload of this session.")
            .await;
    }

    // A way inside that leads to an upload is fine, and the agent is told where it leads.
    for way in [
        folder.join("link to good"),
        folder
            .join("../")
            .join(session.to_string())
            .join("good.txt"),
        PathBuf::from("good.txt"),
        PathBuf::from("folder/../good.txt"),
    ] {
        send(&mut client, &[("good", &way)]).await;
        let text = text_of(&client.whole_run().await);
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            json!([{"name": "good", "path": good}])
        );
    }
    host.shut_down([client]).await;
}
