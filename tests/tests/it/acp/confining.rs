//! The files that an agent has: by asking the host, and by itself.

use serde_json::json;

use super::stage::{Stage, ask, told, told_json};

#[tokio::test(flavor = "multi_thread")]
async fn it_reads_and_writes_through_the_host_in_its_folder_alone() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let file = stage.work().join("notes.txt");
    let written = ask(
        "fs/write_text_file",
        json!({"path": file, "content": "one\ntwo\nthree\n"}),
    );
    assert_eq!(told_json(&mut client, written).await, json!({}));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "one\ntwo\nthree\n");
    let read = ask(
        "fs/read_text_file",
        json!({"path": file, "line": 2, "limit": 1}),
    );
    assert_eq!(
        told_json(&mut client, read).await,
        json!({"content": "two\n"})
    );

    let secret = stage.outside("secret");
    std::fs::write(&secret, "hidden").unwrap();
    std::os::unix::fs::symlink(&secret, stage.work().join("link")).unwrap();
    for path in [
        secret.clone(),
        stage.work().join("../secret"),
        stage.work().join("link"),
    ] {
        let read = ask("fs/read_text_file", json!({"path": path}));
        let answer = told_json(&mut client, read).await;
        let text = answer["error"]["data"].as_str().unwrap();
        assert!(text.contains("is outside of the folder"), "{answer}");
        let write = ask(
            "fs/write_text_file",
            json!({"path": path, "content": "changed"}),
        );
        assert!(told_json(&mut client, write).await["error"].is_object());
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "hidden");
    let missing = ask(
        "fs/read_text_file",
        json!({"path": stage.work().join("no")}),
    );
    assert_eq!(
        told_json(&mut client, missing).await["error"]["code"],
        -32002
    );
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_opens_no_other_file_by_itself_either() {
    let stage = Stage::start().await;
    let mut client = stage.host.client().await;
    let secret = stage.outside("secret");
    std::fs::write(&secret, "hidden").unwrap();
    std::fs::write(stage.work().join("own"), "mine").unwrap();
    let open = |path: &std::path::Path| json!({"open": path});
    assert_eq!(
        told(&mut client, open(&secret)).await,
        "Err(PermissionDenied)"
    );
    assert_eq!(told(&mut client, json!({"link": secret})).await, "Ok(())");
    let link = stage.work().join("link");
    assert_eq!(
        told(&mut client, open(&link)).await,
        "Err(PermissionDenied)"
    );
    let new = stage.outside("new");
    assert_eq!(
        told(&mut client, json!({"create": new})).await,
        "Err(PermissionDenied)"
    );
    assert_eq!(
        told(&mut client, json!({"create": stage.work().join("new")})).await,
        "Ok(())"
    );
    assert_eq!(
        told(&mut client, json!({"open": "own"})).await,
        r#"Ok("mine")"#
    );
    assert!(!new.exists());
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_files_are_configured_and_confinement_can_be_left_out() {
    let root = tempfile::tempdir().unwrap();
    let shared = root.path().canonicalize().unwrap();
    std::fs::write(shared.join("file"), "shared").unwrap();
    let stage = Stage::with(&[], &format!("files.read = [{shared:?}]")).await;
    let mut client = stage.host.client().await;
    let open = json!({"open": shared.join("file")});
    assert_eq!(told(&mut client, open.clone()).await, r#"Ok("shared")"#);
    let create = json!({"create": shared.join("new")});
    assert_eq!(
        told(&mut client, create.clone()).await,
        "Err(PermissionDenied)"
    );
    stage.end([client]).await;

    let stage = Stage::with(&[], "confined = false").await;
    let mut client = stage.host.client().await;
    assert_eq!(told(&mut client, open).await, r#"Ok("shared")"#);
    assert_eq!(told(&mut client, create).await, "Ok(())");
    stage.end([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_session_may_have_a_folder_of_its_own() {
    let stage = Stage::with(&[], "folder_per_session = true").await;
    let (first, second) = (stage.host.session().await, stage.host.session().await);
    let mut one = stage.host.idle(first).await;
    let mut two = stage.host.idle(second).await;
    let (of_one, of_two) = (
        stage.work().join(first.to_string()),
        stage.work().join(second.to_string()),
    );
    let folder = json!({"folder": true});
    assert_eq!(
        told(&mut one, folder.clone()).await,
        of_one.display().to_string()
    );
    assert_eq!(told(&mut two, folder).await, of_two.display().to_string());
    std::fs::write(of_one.join("own"), "of one").unwrap();
    let open = json!({"open": of_one.join("own")});
    assert_eq!(told(&mut one, open.clone()).await, r#"Ok("of one")"#);
    assert_eq!(told(&mut two, open).await, "Err(PermissionDenied)");
    let read = ask("fs/read_text_file", json!({"path": of_one.join("own")}));
    assert!(told_json(&mut two, read).await["error"].is_object());
    stage.end([one, two]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_environment_is_what_is_configured() {
    let stage = Stage::with(&[], "env = { ACP_KEY = \"sk-1\" }").await;
    let mut client = stage.host.client().await;
    assert_eq!(
        told(&mut client, json!({"env": "ACP_KEY"})).await,
        r#"Some("sk-1")"#
    );
    // Cargo sets it for every test.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert_eq!(
        told(&mut client, json!({"env": "CARGO_MANIFEST_DIR"})).await,
        "None"
    );
    stage.end([client]).await;
}
