//! Who may connect: tokens, owners, origins, and how many.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use roundhouse_host::server::Patience;
use roundhouse_host::session::SessionId;
use roundhouse_tests::{Client, Close, Rest, TestHost, soon, text_of, until};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;

/// Two owners; the tokens are "one" and "two".
const TOKENS: &str = r#"
[[auth.tokens]]
owner = "ada"
sha256 = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"

[[auth.tokens]]
owner = "bob"
sha256 = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
"#;

fn rest(host: &TestHost, token: &str) -> Rest {
    host.rest()
        .header("authorization", &format!("Bearer {token}"))
}

fn close(code: u16, reason: &str) -> Close {
    Close {
        code,
        reason: reason.to_owned(),
    }
}

async fn works(mut client: Client) {
    client.expect_kind("session_sync").await;
    works_on(client).await;
}

async fn works_on(mut client: Client) {
    assert_eq!(text_of(&client.run("may").await), "may ");
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_sessions_of_its_owner() {
    let host = TestHost::with(TOKENS).await;
    let session = rest(&host, "one").create_session(&json!({})).await;
    let connect = || host.connect_to(session);
    works(connect().header("authorization", "Bearer one").open().await).await;
    works(connect().header("authorization", "bearer one").open().await).await;
    let browser = connect()
        .header("sec-websocket-protocol", "bearer, one")
        .open()
        .await;
    assert_eq!(browser.protocol(), Some("bearer"));
    works(browser).await;

    let nobody = close(4401, "Not authenticated");
    for (name, value) in [
        ("authorization", "Bearer three"),
        ("authorization", "Bearer "),
        ("authorization", "Bearer ONE"),
        ("authorization", "Basic b25l"),
        ("authorization", "one"),
        ("x-token", "one"),
    ] {
        let mut client = connect().header(name, value).open().await;
        assert_eq!(client.closed().await, nobody, "{name}: {value}");
    }
    let mut guess = connect()
        .header("sec-websocket-protocol", "bearer, three")
        .open()
        .await;
    assert_eq!(guess.closed().await, nobody);
    assert_eq!(connect().open().await.closed().await, nobody);

    // Another owner's session does not exist.
    let not_found = close(4004, "Session not found");
    let mut other = connect().header("authorization", "Bearer two").open().await;
    assert_eq!(other.closed().await, not_found);
    let path = format!("/sessions/{session}");
    assert_eq!(rest(&host, "two").get(&path).await.status, 404);
    assert_eq!(rest(&host, "one").get(&path).await.status, 200);
    assert_eq!(host.rest().get(&path).await.status, 401);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_stops_anothers_run() {
    let host = TestHost::with(TOKENS).await;
    let (ada, bob) = (rest(&host, "one"), rest(&host, "two"));
    let session = ada.create_session(&json!({})).await;
    let mut client = host
        .connect_to(session)
        .header("authorization", "Bearer one")
        .open()
        .await;
    client.expect_kind("session_sync").await;
    client.begin("script:[{\"wait_stop\":600}]").await;
    let none = bob.stop(session).await;
    assert_eq!((none.status, &none.body["ok"]), (200, &json!(false)));
    assert_eq!(host.rest().stop(session).await.status, 401);
    assert_eq!(ada.stop(session).await.body, json!({"ok": true}));
    client.expect_kind("stream_stopped").await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_are_turned_away() {
    let host = TestHost::with("server.origins = [\"https://app.example\"]").await;
    let session = host.session().await;
    let own = format!("http://{}", host.address());
    for origin in ["https://app.example", &own] {
        works(
            host.connect_to(session)
                .header("origin", origin)
                .open()
                .await,
        )
        .await;
    }
    // Whoever sends no origin is no browser.
    works(host.connect(session).await).await;
    for origin in [
        "https://evil.example",
        "null",
        "http://app.example",
        "https://app.example:8443",
        "",
    ] {
        let mut client = host
            .connect_to(session)
            .header("origin", origin)
            .open()
            .await;
        assert_eq!(
            client.closed().await,
            close(4403, "Origin not allowed"),
            "{origin}"
        );
        let answer = host
            .rest()
            .header("origin", origin)
            .post("/sessions", &json!({}))
            .await;
        assert_eq!(answer.status, 403, "{origin}");
    }
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_connections_than_configured() {
    let host = TestHost::with("server.max_connections = 2").await;
    let session = host.session().await;
    let first = host.idle(session).await;
    let second = host.idle(session).await;
    for _ in 0..3 {
        let mut third = host.connect(session).await;
        assert_eq!(third.closed().await, close(1013, "Too many connections"));
    }
    first.close().await;
    until("one has left", || host.host().connections.len() == 1).await;
    let third = host.idle(session).await;
    host.shut_down([second, third]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_has_no_more_connections_than_configured() {
    let host = TestHost::with(&format!(
        "{TOKENS}\n[server]\nmax_connections_per_owner = 2"
    ))
    .await;
    let session = rest(&host, "one").create_session(&json!({})).await;
    let connect = async |token: &str| {
        let token = format!("Bearer {token}");
        let connect = host.connect_to(session).header("authorization", &token);
        connect.open().await
    };
    let mut first = connect("one").await;
    first.expect_kind("session_sync").await;
    let mut second = connect("one").await;
    second.expect_kind("session_sync").await;
    for _ in 0..3 {
        let mut third = connect("one").await;
        assert_eq!(third.closed().await, close(1013, "Too many connections"));
    }
    // Others have places of their own.
    let mut other = connect("two").await;
    assert_eq!(other.closed().await, close(4004, "Session not found"));
    first.close().await;
    until("one has left", || host.host().connections.len() == 1).await;
    works(connect("one").await).await;
    host.shut_down([second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_sends_no_more_messages_than_configured() {
    let host = TestHost::with("limits.messages_per_minute = 2").await;
    let mut client = host.client().await;
    let mut other = host.client().await;
    client.run("one").await;
    // What is no message is not counted.
    client.send_text("nonsense").await;
    client.expect_error("Invalid JSON").await;
    other.run("two").await;
    for client in [&mut client, &mut other] {
        client.message("three").await;
        client
            .expect_error("Too many messages. Try again later.")
            .await;
    }
    // Version 2 has a code for it.
    let stream = TcpStream::connect(host.address()).await.unwrap();
    let session = host.session().await;
    let url = format!("ws://{}/ws/sessions/{session}?v=2", host.address());
    let (mut socket, _) = client_async(url, stream).await.unwrap();
    let message =
        json!({"type": "message", "content": "three", "id": SessionId::new().to_string()});
    socket.send(message.to_string().into()).await.unwrap();
    let answer = soon("the answer", async {
        loop {
            let frame = socket.next().await.unwrap().unwrap();
            let frame: serde_json::Value = serde_json::from_str(frame.to_text().unwrap()).unwrap();
            if frame["type"] == "error" {
                return frame;
            }
        }
    })
    .await;
    assert_eq!(answer["code"], "rate_limited");
    assert_eq!(
        (&answer["retryable"], &answer["id"]),
        (&json!(true), &message["id"])
    );
    drop(socket);
    host.shut_down([client, other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_refused_take_nobodys_place() {
    let host = TestHost::with("server.max_connections = 1").await;
    let session = host.session().await;
    let mut refused = Vec::new();
    for _ in 0..5 {
        refused.push(host.connect(SessionId::new()).await);
    }
    // Their closes are still waited for.
    let admitted = host.idle(session).await;
    for client in &mut refused {
        assert_eq!(client.closed().await, close(4004, "Session not found"));
    }
    host.shut_down([admitted]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_comes_is_not_waited_for() {
    let patience = Patience {
        head: Duration::from_millis(300),
        ..Patience::default()
    };
    let host = TestHost::with_patience("", patience).await;
    let client = host.client().await;
    for begun in ["", "GET /healthz HTTP/1.1\r\nhost: a\r\nx-"] {
        let mut raw = TcpStream::connect(host.address()).await.unwrap();
        raw.write_all(begun.as_bytes()).await.unwrap();
        let mut got = Vec::new();
        soon("the end", raw.read_to_end(&mut got)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&got), "", "{begun:?}");
    }
    // A WebSocket is another matter, however quiet it is.
    works_on(client).await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_asks_for_no_websocket_is_told_so() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let answer = host.rest().get(&format!("/ws/sessions/{session}")).await;
    assert_eq!(answer.status, 426, "{}", answer.body);
    assert_eq!(answer.body["type"], "/problems/upgrade-required");
    host.shut_down([]).await;
}
