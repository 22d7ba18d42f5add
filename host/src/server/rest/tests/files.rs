//! Uploads that are taken, and what becomes of them.

use super::*;
use crate::guard::{Disk, check_files};

pub(super) const BOUNDARY: &str = "XboundaryX";

/// One part of a form.
pub(super) fn part(head: &str, content: &[u8]) -> Vec<u8> {
    let mut part =
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n").into_bytes();
    part.extend_from_slice(content);
    part.extend_from_slice(b"\r\n");
    part
}

pub(super) fn file(name: &str, content: &[u8]) -> Vec<u8> {
    part(&format!("name=\"file\"; filename=\"{name}\""), content)
}

pub(super) fn form(parts: &[Vec<u8>]) -> Body {
    let mut body = parts.concat();
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    Body::from(body)
}

pub(super) fn upload(id: SessionId, body: Body) -> Request<Body> {
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let request =
        Request::post(format!("/sessions/{id}/files")).header(header::CONTENT_TYPE, content_type);
    request.body(body).unwrap()
}

/// The names in a session's upload folder.
pub(super) fn stored(api: &Api, id: SessionId) -> Vec<String> {
    let Ok(folder) = std::fs::read_dir(api.host.uploads.of(id)) else {
        return Vec::new();
    };
    let mut names: Vec<_> = folder
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_uploaded_is_what_a_message_takes() {
    let api = Api::start("").await;
    let id = api.session().await;
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| i.to_le_bytes()[1]).collect();
    let parts = [
        file("notes.txt", b"hello\r\n--Xboundary"),
        file("data.bin", &large),
        file("empty", b""),
    ];
    let files = api.send(upload(id, form(&parts))).await.expect(201);
    let names: Vec<_> = files
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["notes.txt", "data.bin", "empty"]);
    assert_eq!(
        (&files[0]["bytes"], &files[1]["bytes"]),
        (&json!(18), &json!(3_000_000))
    );
    let path = |index: usize| files[index]["path"].as_str().unwrap();
    assert_eq!(std::fs::read(path(0)).unwrap(), b"hello\r\n--Xboundary");
    assert!(std::fs::read(path(1)).unwrap() == large);
    assert_eq!(std::fs::read(path(2)).unwrap(), b"");

    // As `files` of a message, just as they were answered.
    let message = json!({"type": "message", "content": "x", "files": files});
    let client = jsonschema::validator_for(&crate::server::documents::client()).unwrap();
    assert!(client.is_valid(&message), "{message}");
    let named: Vec<FileRef> = serde_json::from_value(files.clone()).unwrap();
    assert_eq!(
        check_files(&named, &api.host.uploads.of(id), &Disk).unwrap(),
        named
    );

    let listed = api.get(&format!("/sessions/{id}/files")).await.expect(200);
    let listed = listed["files"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!(
        (&listed[1]["path"], &listed[1]["bytes"]),
        (&files[1]["path"], &files[1]["bytes"])
    );

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            std::fs::metadata(path(0)).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    api.call("DELETE", &format!("/sessions/{id}"), None)
        .await
        .expect(204);
    assert!(!api.host.uploads.of(id).exists());
    api.end().await;
}

#[tokio::test]
async fn no_upload_replaces_another() {
    let api = Api::start("").await;
    let id = api.session().await;
    for expected in [
        ["a-1.txt", "a.txt"].as_slice(),
        &["a-1.txt", "a-2.txt", "a-3.txt", "a.txt"],
    ] {
        let parts = [
            file("a.txt", b"1"),
            file(
                if expected.len() == 2 {
                    "a-1.txt"
                } else {
                    "a.txt"
                },
                b"2",
            ),
        ];
        let files = api.send(upload(id, form(&parts))).await.expect(201);
        assert_eq!(files[0]["name"], "a.txt");
        assert_eq!(stored(&api, id), expected);
    }
    api.end().await;
}

#[tokio::test]
async fn many_uploads_of_one_name_at_once_are_all_kept() {
    let api = Api::start("").await;
    let id = api.session().await;
    let uploads =
        (0..20).map(|number: u8| api.send(upload(id, form(&[file("same.txt", &[number])]))));
    let answers = futures_util::future::join_all(uploads).await;
    let mut contents: Vec<u8> = answers
        .iter()
        .map(|answer| std::fs::read(answer.expect(201)[0]["path"].as_str().unwrap()).unwrap()[0])
        .collect();
    contents.sort_unstable();
    assert_eq!(contents, (0..20).collect::<Vec<u8>>());
    assert_eq!(stored(&api, id).len(), 20);
    api.end().await;
}

#[tokio::test]
async fn a_hostile_name_stays_in_the_folder() {
    let api = Api::start("").await;
    let id = api.session().await;
    let folder = api.host.uploads.create(id).unwrap();
    for (name, shown, stored) in [
        ("../../../escape.txt", "../../../escape.txt", "escape.txt"),
        ("/etc/passwd", "/etc/passwd", "passwd"),
        ("..", "..", "file"),
        ("", "file", "file-2"),
        (".hidden", ".hidden", "hidden"),
        ("tab\tbed.txt", "tabbed.txt", "tabbed.txt"),
        (
            "Übersicht – 日本.pdf",
            "Übersicht – 日本.pdf",
            "Übersicht – 日本.pdf",
        ),
    ] {
        let files = api
            .send(upload(id, form(&[file(name, b"x")])))
            .await
            .expect(201);
        assert_eq!(files[0]["name"], shown);
        assert_eq!(
            files[0]["path"],
            folder.join(stored).to_str().unwrap(),
            "{name}"
        );
    }
    let long = format!("{}.txt", "n".repeat(5000));
    let files = api
        .send(upload(id, form(&[file(&long, b"x")])))
        .await
        .expect(201);
    assert!(files[0]["path"].as_str().unwrap().ends_with("nnn.txt"));
    assert!(!api.data.path().join("escape.txt").exists());
    api.end().await;
}
