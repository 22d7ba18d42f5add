//! Servers over streamable HTTP.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use futures_util::stream::{FuturesUnordered, StreamExt};
use roundhouse_tests::mcp::{HttpFault, HttpServer};
use roundhouse_tests::{TestHost, script, soon, until};
use serde_json::json;

use super::stage::{answers, at, call, complains, failure, host, offered, text, text_arg, well};

const TOKEN: &str = "token-0123456789";
const KEY: &str = "key-0123456789";

async fn with_server(settings: &str) -> (HttpServer, TestHost) {
    let server = HttpServer::start().await;
    let host = host(&[("web", format!("{}{settings}", at(&server.url())))]).await;
    (server, host)
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_are_called_and_tell_how_far_they_are() {
    let (server, host) = with_server("").await;
    assert_eq!(text(&host, "web_echo", text_arg("grüße")).await, "grüße");
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client
        .begin(&script(&[json!({"tool": ["web_wait", {}]})]))
        .await;
    until("the call", || {
        server.journal().contains(&"call wait".to_owned())
    })
    .await;
    host.stop(session).await;
    until("the end of the call", || {
        server.journal().contains(&"cancelled".to_owned())
    })
    .await;
    client.rest_of_run().await;
    host.shut_down([client]).await;
    // The session was given up in the proper way.
    let requests = server.requests();
    assert_eq!(requests.last().unwrap().0, "DELETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_comes_while_a_call_runs() {
    let (server, host) = with_server("").await;
    let catalog = host.host().in_force().catalog.clone();
    let request = roundhouse_host::plugin::ToolRequest {
        tool: "web_wait",
        args: &json!({}),
        call_id: "call",
        run_id: "run",
        session_id: "session",
    };
    let cancel = tokio_util::sync::CancellationToken::new();
    let mut told = Vec::new();
    let progress = |item: &str| {
        told.push(item.to_owned());
        cancel.cancel();
    };
    let agent = catalog.agent("scripted").unwrap();
    let output = soon(
        "the call",
        catalog.call_tool(agent, request, progress, &cancel),
    )
    .await;
    assert_eq!(output.text, "Tool `web_wait` was cancelled.");
    assert!(told[0].contains("waiting (1)"), "{told:?}");
    until("the end of the call", || {
        server.journal().contains(&"cancelled".to_owned())
    })
    .await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_list_is_followed() {
    let (_server, host) = with_server("").await;
    assert_eq!(text(&host, "web_more", json!({})).await, "there it is");
    offered(&host, "web_extra").await;
    assert_eq!(text(&host, "web_extra", json!({})).await, "new");
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_sessions_a_change_of_the_list_is_followed_too() {
    let (server, host) = with_server("handshake = \"discover\"").await;
    assert_eq!(text(&host, "web_echo", text_arg("a")).await, "a");
    // Where it listens for changes it has to be asked to.
    soon("the change", async {
        while !super::stage::names(&host)
            .await
            .contains(&"web_extra".to_owned())
        {
            text(&host, "web_more", json!({})).await;
        }
    })
    .await;
    let requests = server.requests();
    let versions = requests
        .iter()
        .filter_map(|(_, headers)| headers.get("mcp-protocol-version"));
    assert!(
        versions.clone().count() > 2 && versions.into_iter().all(|version| version == "2026-07-28")
    );
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_forgotten_its_sessions_is_asked_for_another() {
    let (mut server, host) = with_server("").await;
    server.restart().await;
    // Not one call is lost.
    assert_eq!(text(&host, "web_echo", text_arg("a")).await, "a");
    assert_eq!(server.journal(), ["call echo"]);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_found_out_and_comes_back() {
    let (mut server, host) = with_server("").await;
    server.stop().await;
    let told = failure(&host, "web_echo", text_arg("a")).await;
    assert!(told.contains("cannot be reached"), "{told}");
    complains(&host, "cannot be reached").await;
    let told = failure(&host, "web_echo", text_arg("a")).await;
    assert!(
        told.contains("the MCP server `web` is not available: http://127.0.0.1:"),
        "{told}"
    );
    server.start_again().await;
    answers(&host, "web_echo", text_arg("a")).await;
    well(&host).await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_without_sessions_that_goes_away_is_found_out_and_comes_back() {
    let settings = "handshake = \"discover\"\nping_interval_ms = 100";
    let (mut server, host) = with_server(settings).await;
    well(&host).await;
    // Nobody calls it.
    server.stop().await;
    complains(&host, "cannot be reached").await;
    server.start_again().await;
    well(&host).await;
    answers(&host, "web_echo", text_arg("a")).await;
    // One that takes requests and does not answer is gone as well.
    server.set_fault(HttpFault::Silence);
    complains(&host, "it has not answered a ping within").await;
    server.set_fault(HttpFault::None);
    well(&host).await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_call_is_not_cut_off_by_pings() {
    for handshake in ["initialize", "discover"] {
        let settings = format!("handshake = \"{handshake}\"\nping_interval_ms = 100");
        let (server, host) = with_server(&settings).await;
        let mut waiting = Box::pin(call(&host, "web_wait", json!({})));
        tokio::select! {
            called = &mut waiting => panic!("{handshake}: {:?}", called.output),
            () = until("the call", || server.journal().contains(&"call wait".to_owned())) => {}
        }
        // For longer than a ping may take.
        let before = server.requests().len();
        tokio::select! {
            called = &mut waiting => panic!("{handshake}: {:?}", called.output),
            () = until("pings", || server.requests().len() > before + 15) => {}
        }
        assert_eq!(server.journal(), ["call wait"], "{handshake}");
        drop(waiting);
        host.shut_down([]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_attempts_at_a_server_that_never_answers() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let taking = async {
        let mut open = FuturesUnordered::new();
        loop {
            tokio::select! {
                taken = listener.accept() => {
                    begun.fetch_add(1, Ordering::SeqCst);
                    let mut socket = taken.unwrap().0;
                    open.push(async move {
                        let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
                    });
                }
                Some(()) = open.next() => drop(ended.fetch_add(1, Ordering::SeqCst)),
            }
        }
    };
    let settings = format!("{}connect_timeout_ms = 50", at(&url));
    let trying = async {
        let host = host(&[("web", settings)]).await;
        until("the end of five attempts", || {
            ended.load(Ordering::SeqCst) >= 5
        })
        .await;
        host.shut_down([]).await;
        until("the end of all", || {
            ended.load(Ordering::SeqCst) == begun.load(Ordering::SeqCst)
        })
        .await;
    };
    tokio::select! {
        () = taking => {}
        () = trying => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_mcp_server_is_told_of_until_it_is_one() {
    let server = HttpServer::start().await;
    server.set_fault(HttpFault::Page);
    let settings = "connect_timeout_ms = 500\nmax_message_bytes = 1_000_000";
    let host = host(&[("web", format!("{}{settings}", at(&server.url())))]).await;
    for (fault, told) in [
        (
            HttpFault::Page,
            "it answers with neither JSON nor a stream of events, but with `text/html",
        ),
        (
            HttpFault::Redirect,
            "it redirects, which is not followed; `url` must be where it leads",
        ),
        (
            HttpFault::Status(StatusCode::UNAUTHORIZED),
            "it asks for authorization (HTTP status 401)",
        ),
        (
            HttpFault::Status(StatusCode::FORBIDDEN),
            "(HTTP status 403)",
        ),
        (
            HttpFault::Status(StatusCode::NOT_FOUND),
            "HTTP 404 Not Found: no",
        ),
        (
            HttpFault::Status(StatusCode::BAD_GATEWAY),
            "it answers with HTTP status 502",
        ),
        (
            HttpFault::Silence,
            "it has not answered with the handshake within 500 ms",
        ),
        (
            HttpFault::Endless,
            "it answers with more than 1000000 bytes",
        ),
    ] {
        server.set_fault(fault);
        complains(&host, told).await;
    }
    server.set_fault(HttpFault::None);
    offered(&host, "web_echo").await;
    well(&host).await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_found_out() {
    let (server, host) = with_server("ping_interval_ms = 100").await;
    server.set_fault(HttpFault::Silence);
    complains(&host, "it has not answered a ping within").await;
    server.set_fault(HttpFault::None);
    well(&host).await;
    assert!(call(&host, "web_echo", text_arg("a")).await.output.success);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_sent_with_every_request() {
    let settings = format!("bearer_token = \"{TOKEN}\"\nheaders = {{ \"X-Key\" = \"{KEY}\" }}");
    let (server, host) = with_server(&settings).await;
    assert_eq!(text(&host, "web_echo", text_arg("a")).await, "a");
    host.shut_down([]).await;
    let requests = server.requests();
    let methods: Vec<_> = requests.iter().map(|(method, _)| method.as_str()).collect();
    assert!(methods.contains(&"POST") && methods.contains(&"GET") && methods.contains(&"DELETE"));
    for (method, headers) in &requests {
        let text = |name: &str| headers[name].to_str().unwrap().to_owned();
        assert_eq!(
            (text("authorization"), text("x-key")),
            (format!("Bearer {TOKEN}"), KEY.to_owned()),
            "{method}"
        );
        assert_eq!(
            text("user-agent"),
            concat!("roundhouse/", env!("CARGO_PKG_VERSION"))
        );
    }
}
