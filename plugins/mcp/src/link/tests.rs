use plugin_api::serde_json::{Value, json};
use plugin_api::tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf, duplex, split,
};
use rmcp::model::{SubscriptionsListenRequest, SubscriptionsListenRequestParams};
use rmcp::transport::async_rw::AsyncRwTransport;

use super::*;
use crate::voice::Voice;
use crate::words::Secrets;

type Half = AsyncRwTransport<RoleClient, ReadHalf<DuplexStream>, WriteHalf<DuplexStream>>;

/// A link, and the server's end of it.
fn link() -> (Link<Half>, Arc<Signals>, BufReader<DuplexStream>) {
    let (ours, theirs) = duplex(1 << 20);
    let (read, write) = split(ours);
    let secrets = Secrets::new(["hunter2"]);
    let signals = Signals::new(Arc::new(Voice::new("s", secrets)));
    let transport = AsyncRwTransport::new_client(read, write);
    let link = Link::new(transport, Arc::clone(&signals));
    (link, signals, BufReader::new(theirs))
}

async fn write(server: &mut BufReader<DuplexStream>, messages: &[Value]) {
    for message in messages {
        let mut message = message.clone();
        message["jsonrpc"] = json!("2.0");
        let line = format!("{message}\n");
        server.write_all(line.as_bytes()).await.unwrap();
    }
}

async fn read(server: &mut BufReader<DuplexStream>) -> Value {
    let mut line = String::new();
    server.read_line(&mut line).await.unwrap();
    line.parse().unwrap()
}

#[tokio::test]
async fn only_answers_get_through() {
    let (mut link, signals, mut server) = link();
    let messages = [
        json!({"method": "notifications/tools/list_changed"}),
        json!({"method": "notifications/progress", "params": {"progressToken": 7, "progress": 1}}),
        json!({"method": "notifications/message", "params": {"level": "info", "data": "x"}}),
        json!({"method": "notifications/resources/list_changed"}),
        json!({"method": "notifications/unheard/of"}),
        json!({"id": 1, "method": "ping"}),
        json!({"id": 2, "method": "roots/list"}),
        json!({"id": 3, "error": {"code": 1, "message": "no, hunter2"}}),
    ];
    write(&mut server, &messages).await;
    let Some(JsonRpcMessage::Error(error)) = link.receive().await else {
        panic!("no error");
    };
    assert_eq!(error.error.message, "no, ***");
    signals.changed.notified().await;
    // The answers go out while something else is awaited.
    let received = link.receive();
    tokio::pin!(received);
    let answers = async { [read(&mut server).await, read(&mut server).await] };
    let mut answers = tokio::select! {
        _ = &mut received => panic!("nothing was sent"),
        answers = answers => answers,
    };
    answers.sort_by_key(|answer| answer["id"].as_u64());
    assert_eq!(answers[0]["result"], json!({}));
    assert_eq!(answers[1]["error"]["code"], -32601);
}

#[tokio::test]
async fn a_server_that_asks_and_does_not_read_is_not_answered_for_ever() {
    let (ours, theirs) = duplex(64);
    let (read, write_half) = split(ours);
    let signals = Signals::new(Arc::new(Voice::new("s", Secrets::default())));
    let transport = AsyncRwTransport::new_client(read, write_half);
    let mut link = Link::new(transport, signals);
    let mut server = BufReader::new(theirs);
    let asking = async {
        for id in 0..2000 {
            write(&mut server, &[json!({"id": id, "method": "ping"})]).await;
        }
        write(&mut server, &[json!({"id": 1, "result": {}})]).await;
        std::future::pending::<()>().await;
    };
    let answer = tokio::select! {
        () = asking => None,
        answer = link.receive() => answer,
    };
    assert!(
        matches!(answer, Some(JsonRpcMessage::Response(_))),
        "{answer:?}"
    );
    assert_eq!(link.answers.len(), ANSWERS);
}

#[tokio::test]
async fn of_each_subscription_its_begin_and_its_end_get_through() {
    let (mut link, _, mut server) = link();
    let told = |method: &str, id: u32| {
        json!({"method": format!("notifications/{method}"), "params": {
            "requestId": id, "reason": "x".repeat(1000), "notifications": {"toolsListChanged": true},
            "_meta": {"io.modelcontextprotocol/subscriptionId": id, "more": "x".repeat(1000)}
        }})
    };
    for id in 0..40 {
        let filter = SubscriptionFilter::builder().tools_list_changed().build();
        let listen = SubscriptionsListenRequest::new(SubscriptionsListenRequestParams::new(filter));
        let request = ClientJsonRpcMessage::request(listen.into(), RequestId::Number(id.into()));
        link.send(request).await.unwrap();
        read(&mut server).await;
        let messages = [
            told("cancelled", id + 1),
            told("subscriptions/acknowledged", id + 1),
            told("subscriptions/acknowledged", id),
            told("subscriptions/acknowledged", id),
            told("cancelled", id),
            told("cancelled", id),
        ];
        write(&mut server, &messages).await;
        for kind in ["SubscriptionsAcknowledged", "Cancelled"] {
            let Some(JsonRpcMessage::Notification(told)) = link.receive().await else {
                panic!("no notification");
            };
            let text = format!("{:?}", told.notification);
            assert!(text.starts_with(kind) && text.len() < 1000, "{text}");
            let id = Some(RequestId::Number(id.into()));
            let of = match &told.notification {
                ServerNotification::CancelledNotification(told) => told.params.request_id.clone(),
                other => other.get_meta().subscription_id(),
            };
            assert_eq!(of, id, "{text}");
        }
    }
    write(&mut server, &[json!({"id": 1, "result": {}})]).await;
    let last = link.receive().await;
    assert!(
        matches!(last, Some(JsonRpcMessage::Response(_))),
        "{last:?}"
    );
}

#[tokio::test]
async fn the_end_is_told() {
    let (mut link, signals, server) = link();
    drop(server);
    assert!(link.receive().await.is_none());
    assert!(signals.closed.is_cancelled());
}

#[test]
fn how_a_server_introduces_itself_is_short() {
    let long = "x".repeat(100_000);
    let mut result = plugin_api::serde_json::from_value(json!({
        "protocolVersion": "2025-11-25", "instructions": long,
        "capabilities": {"tools": {"listChanged": true}, "experimental": {"x": {"y": long}}},
        "serverInfo": {"name": long, "version": long, "title": long}
    }))
    .unwrap();
    trim(&mut result, |name| cut(name, NAME_CHARS));
    let text = format!("{result:?}");
    assert!(
        text.len() < 2000 && text.contains("list_changed: Some(true)"),
        "{text}"
    );
}
