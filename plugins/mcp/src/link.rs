//! Between a transport and the SDK: what a server may say unasked is dealt with here, in bounds.
//!
//! The SDK starts a task for each notification and each request of a server, and logs many of them. A server that
//! floods its client must not fill its memory or its log, so that only answers get through to the SDK.

// Log messages leave the protocol with a release to come; servers have them.
#![expect(deprecated, reason = "servers of today send them")]

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use plugin_api::tokio::sync::mpsc;
use plugin_api::{tokio, tracing};
use rmcp::model::{
    CancelledNotification, CancelledNotificationParam, ClientJsonRpcMessage, ClientRequest,
    ClientResult, ErrorCode, ErrorData, GetExtensions, GetMeta, Implementation, JsonRpcMessage,
    NotificationMetaObject, ProgressNotificationParam, ProgressToken, RequestId,
    ServerCapabilities, ServerJsonRpcMessage, ServerNotification, ServerRequest, ServerResult,
    SubscriptionFilter,
};
use rmcp::service::RoleClient;
use rmcp::transport::Transport;

use crate::signals::Signals;
use crate::voice::Weight;
use crate::words::cut;

/// Answers to a server's own requests that may be on their way. A server that asks more before it reads what it is answered
/// gets no answer: waiting for it here would have both wait for each other.
const ANSWERS: usize = 256;

/// Progress of one call that waits to be shown; what comes beyond is left out.
const PROGRESS: usize = 64;

/// The longest name or version of a server that is kept, in characters.
const NAME_CHARS: usize = 200;

/// Put with a call's request: where its progress goes.
#[derive(Clone, Debug)]
pub(crate) struct ProgressTo(mpsc::Sender<ProgressNotificationParam>);

impl ProgressTo {
    pub(crate) fn new() -> (Self, mpsc::Receiver<ProgressNotificationParam>) {
        let (sender, receiver) = mpsc::channel(PROGRESS);
        (Self(sender), receiver)
    }
}

/// A transport as the SDK gets it.
pub(crate) struct Link<T> {
    inner: T,
    signals: Arc<Signals>,
    progress: HashMap<ProgressToken, ProgressTo>,
    answers: FuturesUnordered<BoxFuture<'static, ()>>,
    /// The subscription that is still to be acknowledged, and the one that may still be ended. What the SDK gets it logs
    /// whole, so that it gets one notification of each kind, for what was asked, with nothing else in it.
    acknowledges: Option<RequestId>,
    cancels: Option<RequestId>,
}

impl<T: Transport<RoleClient>> Link<T> {
    pub(crate) fn new(inner: T, signals: Arc<Signals>) -> Self {
        Self {
            inner,
            signals,
            progress: HashMap::new(),
            answers: FuturesUnordered::new(),
            acknowledges: None,
            cancels: None,
        }
    }

    /// Answers a request of the server's. Nothing is offered to servers that they could ask for, so that all of it but
    /// a ping is refused as the protocol has it.
    fn answer(&mut self, id: RequestId, request: &ServerRequest) {
        if self.answers.len() >= ANSWERS {
            return;
        }
        let answer = match request {
            ServerRequest::PingRequest(_) => {
                ClientJsonRpcMessage::response(ClientResult::empty(()), id)
            }
            other => {
                let method = method(other);
                tracing::debug!(
                    server = self.signals.voice.server(),
                    method = self.short(method),
                    "refusing what an MCP server asks for"
                );
                let method = cut(method, NAME_CHARS);
                let error = ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None);
                ClientJsonRpcMessage::error(error, Some(id))
            }
        };
        let sending = self.inner.send(answer);
        // If it cannot be sent, the connection is at its end, and that is seen elsewhere.
        self.answers.push(sending.map(drop).boxed());
    }

    /// A name of the server's, as it may be logged.
    fn short(&self, name: &str) -> String {
        cut(&self.signals.voice.secrets().line(name), NAME_CHARS)
    }

    /// Takes in a notification; what the SDK needs of them comes back.
    fn notified(&mut self, notification: ServerNotification) -> Option<ServerNotification> {
        match notification {
            ServerNotification::ProgressNotification(progress) => {
                let params = progress.params;
                if let Some(to) = self.progress.get(&params.progress_token) {
                    // Who does not keep up misses some of it.
                    let _ = to.0.try_send(params);
                }
                None
            }
            ServerNotification::ToolListChangedNotification(_) => {
                self.signals.changed.notify_one();
                None
            }
            ServerNotification::LoggingMessageNotification(message) => {
                let params = message.params;
                let text = match params.data {
                    plugin_api::serde_json::Value::String(text) => text,
                    other => other.to_string(),
                };
                let text = match params.logger {
                    Some(logger) => format!("{}: {text}", self.short(&logger)),
                    None => text,
                };
                self.signals
                    .voice
                    .line(Weight::from(params.level), "log", &text);
                None
            }
            mut needed @ ServerNotification::SubscriptionsAcknowledgedNotification(_) => {
                let id = needed.get_meta().subscription_id();
                let own = self
                    .acknowledges
                    .take_if(|own| Some(&*own) == id.as_ref())?;
                if let ServerNotification::SubscriptionsAcknowledgedNotification(told) = &mut needed
                {
                    let mut filter = SubscriptionFilter::default();
                    filter.tools_list_changed = told.params.notifications.tools_list_changed;
                    told.params.notifications = filter;
                }
                *needed.get_meta_mut() = NotificationMetaObject::new();
                needed.get_meta_mut().set_subscription_id(own);
                Some(needed)
            }
            ServerNotification::CancelledNotification(told) => {
                let id = told.params.request_id;
                let own = self.cancels.take_if(|own| Some(&*own) == id.as_ref())?;
                let params = CancelledNotificationParam::new(Some(own), None);
                Some(CancelledNotification::new(params).into())
            }
            _ => None,
        }
    }
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for Link<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        mut item: ClientJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        if let JsonRpcMessage::Request(request) = &item
            && let ClientRequest::SubscriptionsListenRequest(_) = &request.request
        {
            self.acknowledges = Some(request.id.clone());
            self.cancels = Some(request.id.clone());
        }
        if let JsonRpcMessage::Request(request) = &mut item
            && let ClientRequest::CallToolRequest(call) = &mut request.request
            && let Some(to) = call.extensions_mut().remove::<ProgressTo>()
            && let Some(token) = request.request.get_meta().get_progress_token()
        {
            // Before the request is out, so that none of its progress comes too early.
            self.progress.retain(|_, to| !to.0.is_closed());
            self.progress.insert(token, to);
        }
        self.inner.send(item)
    }

    // Cancel safe, as the SDK needs it: what was received is dealt with at once, answers are kept.
    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        loop {
            let message = tokio::select! {
                biased;
                Some(()) = self.answers.next(), if !self.answers.is_empty() => continue,
                message = self.inner.receive() => message,
            };
            self.signals.hear();
            match message {
                None => {
                    self.signals.closed.cancel();
                    return None;
                }
                Some(JsonRpcMessage::Request(request)) => self.answer(request.id, &request.request),
                Some(JsonRpcMessage::Notification(mut notification)) => {
                    if let Some(needed) = self.notified(notification.notification) {
                        notification.notification = needed;
                        return Some(JsonRpcMessage::Notification(notification));
                    }
                }
                Some(JsonRpcMessage::Response(mut response)) => {
                    trim(&mut response.result, |name| self.short(name));
                    return Some(JsonRpcMessage::Response(response));
                }
                Some(JsonRpcMessage::Error(mut error)) => {
                    // The SDK logs it.
                    let told = self.signals.voice.secrets().without(&error.error.message);
                    error.error.message = told.into();
                    return Some(JsonRpcMessage::Error(error));
                }
            }
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}

impl<T> Drop for Link<T> {
    fn drop(&mut self) {
        self.signals.closed.cancel();
    }
}

fn method(request: &ServerRequest) -> &str {
    match request {
        ServerRequest::CreateMessageRequest(_) => "sampling/createMessage",
        ServerRequest::ListRootsRequest(_) => "roots/list",
        ServerRequest::ElicitRequest(_) => "elicitation/create",
        ServerRequest::CustomRequest(request) => &request.method,
        _ => "this method",
    }
}

/// The SDK logs how a server introduces itself, which may be of any length.
fn trim(result: &mut ServerResult, short: impl Fn(&str) -> String) {
    let shortened =
        |from: &Implementation| Implementation::new(short(&from.name), short(&from.version));
    let tools_alone = |from: &ServerCapabilities| {
        let mut capabilities = ServerCapabilities::default();
        capabilities.tools.clone_from(&from.tools);
        capabilities
    };
    match result {
        ServerResult::InitializeResult(result) => {
            result.instructions = None;
            result.meta = None;
            result.server_info = shortened(&result.server_info);
            result.capabilities = tools_alone(&result.capabilities);
        }
        ServerResult::DiscoverResult(result) => {
            let server_info = result.server_info();
            result.instructions = None;
            result.meta = None;
            result.capabilities = tools_alone(&result.capabilities);
            if let Some(info) = server_info {
                *result = result.clone().with_server_info(shortened(&info));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
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
            let listen =
                SubscriptionsListenRequest::new(SubscriptionsListenRequestParams::new(filter));
            let request =
                ClientJsonRpcMessage::request(listen.into(), RequestId::Number(id.into()));
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
                    ServerNotification::CancelledNotification(told) => {
                        told.params.request_id.clone()
                    }
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
}
