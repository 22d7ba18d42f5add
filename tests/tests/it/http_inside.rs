//! A plugin that has an HTTP client and tokio inside works like any other.

use roundhouse_tests::{TestHost, text_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const CONFIG: &str = r#"
[plugins.libraries.fetcher]
file = "fixture_fetcher"
[agents.fetcher]
component = "fetcher/fetcher"
"#;

/// Answers one request with two chunks, the second one when told to, or never.
async fn serve(listener: TcpListener, go_on: tokio::sync::oneshot::Receiver<()>) {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut buffer = [0; 1024];
        let read = socket.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the request breaks off");
        request.extend_from_slice(&buffer[..read]);
    }
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nfirst \r\n";
    socket.write_all(head).await.unwrap();
    if go_on.await.is_ok() {
        socket.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_streams_an_answer_as_it_comes() {
    let host = TestHost::with(CONFIG).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (go_on, wait) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(serve(listener, wait));
    let session = host.session_with("fetcher").await;
    let mut client = host.idle(session).await;
    client.begin(&url).await;
    let first = client.expect_kind("stream_delta").await;
    assert_eq!(first.delta(), Some("first "));
    go_on.send(()).unwrap();
    let rest = client.rest_of_run().await;
    assert_eq!(text_of(&rest), "second");
    server.await.unwrap();
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_it_in_the_middle_of_an_answer() {
    let host = TestHost::with(CONFIG).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (go_on, wait) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(serve(listener, wait));
    let session = host.session_with("fetcher").await;
    let mut client = host.idle(session).await;
    client.begin(&url).await;
    client.expect_kind("stream_delta").await;
    host.stop(session).await;
    client.expect_kind("stream_stopped").await;
    drop(go_on);
    server.await.unwrap();
    host.shut_down([client]).await;
}
