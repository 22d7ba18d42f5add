//! Uploads that are refused or cut short: nothing of them stays.

use std::convert::Infallible;

use futures_util::stream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::files::{BOUNDARY, file, form, part, stored, upload};
use super::*;

/// A body of these chunks, each `Ok` or the end of the connection.
fn chunks(chunks: Vec<Result<Vec<u8>, std::io::Error>>) -> Body {
    Body::from_stream(stream::iter(chunks))
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_with_the_limit() {
    let api = Api::start("[limits]\nfile_bytes = 1000").await;
    let id = api.session().await;
    let exactly = api
        .send(upload(id, form(&[file("a", &[7; 1000])])))
        .await
        .expect(201);
    assert_eq!(exactly[0]["bytes"], 1000);
    let problem = api
        .send(upload(id, form(&[file("b", b"x"), file("c", &[7; 1001])])))
        .await
        .problem("file-too-large");
    assert_eq!(problem["limit"], 1000);
    assert_eq!(problem["detail"], "the file `c` has more than 1000 bytes");
    assert_eq!(stored(&api, id), ["a"]);
    api.end().await;
}

#[tokio::test]
async fn a_refused_body_is_read_for_a_while_and_not_for_ever() {
    let api = Api::start("[limits]\nfile_bytes = 100000").await;
    let id = api.session().await;
    let head = file("a", b"");
    let head = head[..head.len() - 2].to_vec();
    // Without an end: it would be read for ever.
    let zeros = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[0; 8192])));
    let body = stream::iter([Ok(Bytes::from(head))]);
    let body = Body::from_stream(futures_util::StreamExt::chain(body, zeros));
    api.send(upload(id, body)).await.problem("file-too-large");
    let unknown = SessionId::new();
    api.send(upload(unknown, form(&[file("a", &[0; 300_000])])))
        .await
        .problem("session-not-found");
    assert!(!api.host.uploads.of(unknown).exists());
    assert_eq!(stored(&api, id), [""; 0]);
    api.end().await;
}

#[tokio::test]
async fn a_body_that_is_no_form_of_files_is_refused() {
    let api = Api::start("").await;
    let id = api.session().await;
    let path = format!("/sessions/{id}/files");
    api.post(&path, json!({}))
        .await
        .problem("unsupported-media-type");
    api.call("POST", &path, None)
        .await
        .problem("unsupported-media-type");
    let field = api
        .send(upload(
            id,
            form(&[file("a", b"x"), part("name=\"note\"", b"x")]),
        ))
        .await
        .problem("invalid-body");
    assert!(
        field["detail"].as_str().unwrap().contains("`note`"),
        "{field}"
    );
    let none = api.send(upload(id, form(&[]))).await;
    assert!(matches!(none.status.as_u16(), 400 | 422), "{none:?}");
    let many: Vec<_> = (0..33).map(|_| file("a", b"x")).collect();
    api.send(upload(id, form(&many)))
        .await
        .problem("invalid-body");
    for nonsense in [
        "",
        "nonsense",
        "--XboundaryX",
        "--XboundaryX\r\nnonsense\r\n\r\n",
        "--XboundaryX\r\n\r\n",
    ] {
        api.send(upload(id, Body::from(nonsense)))
            .await
            .problem("invalid-multipart");
    }
    assert_eq!(stored(&api, id), [""; 0]);
    api.end().await;
}

#[tokio::test]
async fn a_body_without_end_before_its_first_file_is_refused() {
    let api = Api::start("").await;
    let id = api.session().await;
    for head in [String::new(), format!("--{BOUNDARY}\r\nX-Long: ")] {
        let letters =
            stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b'a'; 8192])));
        let body = futures_util::StreamExt::chain(stream::iter([Ok(Bytes::from(head))]), letters);
        let problem = api
            .send(upload(id, Body::from_stream(body)))
            .await
            .problem("invalid-multipart");
        assert!(
            problem["detail"].as_str().unwrap().contains("too long"),
            "{problem}"
        );
    }
    api.end().await;
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_nothing() {
    let api = Api::start("").await;
    let id = api.session().await;
    let broken = || Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
    let whole = file("whole.txt", b"x");
    let half = file("half.txt", &[b'x'; 100_000]);
    let half = half[..half.len() / 2].to_vec();
    api.send(upload(
        id,
        chunks(vec![Ok(whole.clone()), Ok(half.clone()), broken()]),
    ))
    .await
    .problem("invalid-multipart");
    // The connection ends in order, but too early.
    api.send(upload(id, chunks(vec![Ok(whole), Ok(half)])))
        .await
        .problem("invalid-multipart");
    assert_eq!(stored(&api, id), [""; 0]);
    assert_eq!(
        api.get(&format!("/sessions/{id}/files")).await.expect(200)["files"],
        json!([])
    );
    api.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_leaves_nothing() {
    let api = Api::start("").await;
    let id = api.session().await;
    let (send, mut receive) = mpsc::channel::<Vec<u8>>(1);
    let taken = CancellationToken::new();
    let told = taken.clone();
    let body = stream::poll_fn(move |cx| {
        let polled = receive.poll_recv(cx);
        // Asked for more: what was sent before has been written, or is being written.
        if polled.is_pending() {
            told.cancel();
        }
        polled.map(|chunk| chunk.map(Ok::<_, Infallible>))
    });
    let request = upload(id, Body::from_stream(body));
    let answer = tokio::spawn(ServiceExt::oneshot(api.router.clone(), request));
    let half = file("half.bin", &[b'x'; 600_000]);
    send.send(half[..500_000].to_vec()).await.unwrap();
    send.send(half[500_000..550_000].to_vec()).await.unwrap();
    taken.cancelled().await;
    while stored(&api, id).is_empty() {
        tokio::task::yield_now().await;
    }
    // What the server does when the connection is gone: it drops the handler.
    answer.abort();
    assert!(answer.await.unwrap_err().is_cancelled());
    assert_eq!(stored(&api, id), [""; 0]);
    api.end().await;
}

#[tokio::test]
async fn a_session_that_is_deleted_meanwhile_takes_no_file() {
    let api = Api::start("").await;
    let id = api.session().await;
    let (send, receive) = mpsc::channel::<Vec<u8>>(1);
    let body = stream::unfold(receive, async |mut receive| {
        let chunk = receive.recv().await?;
        Some((Ok::<_, Infallible>(chunk), receive))
    });
    let answer = async { api.send(upload(id, Body::from_stream(body))).await };
    let deletion = async {
        send.send(file("a.txt", b"x")).await.unwrap();
        while stored(&api, id).is_empty() {
            tokio::task::yield_now().await;
        }
        api.call("DELETE", &format!("/sessions/{id}"), None)
            .await
            .expect(204);
        send.send(format!("--{BOUNDARY}--\r\n").into_bytes())
            .await
            .unwrap();
        drop(send);
    };
    let (answer, ()) = tokio::join!(answer, deletion);
    answer.problem("session-not-found");
    assert!(!api.host.uploads.of(id).exists());
    api.end().await;
}
