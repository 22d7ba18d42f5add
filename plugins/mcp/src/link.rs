//! Between a transport and the SDK: what a server may say unasked is dealt with here, in bounds.
//!
//! The SDK starts a task for each notification and each request of a server, and logs many of them. A server that
//! floods its client must not fill its memory or its log, so that only answers get through to the SDK.

// Log messages leave the protocol with a release to come; servers have them.
#![expect(deprecated, reason = "servers of today send them")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use plugin_api::tokio::sync::{Notify, mpsc};
use plugin_api::{tokio, tracing};
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, ClientResult, ErrorCode, ErrorData, GetExtensions,
    GetMeta, Implementation, JsonRpcMessage, ProgressNotificationParam, ProgressToken, RequestId,
    ServerCapabilities, ServerJsonRpcMessage, ServerNotification, ServerRequest, ServerResult,
};
use rmcp::service::RoleClient;
use rmcp::transport::Transport;
use tokio_util::sync::CancellationToken;

use crate::voice::{Voice, Weight};
use crate::words::cut;

/// Answers to a server's own requests that may be on their way; while there are so many, nothing is read of it.
const ANSWERS: usize = 16;

/// Notifications that the SDK needs, of which a subscription has two.
const PASSED_ON: u32 = 16;

/// Progress of one call that waits to be shown; what comes beyond is left out.
const PROGRESS: usize = 64;

/// The longest name or version of a server that is kept, in characters.
const NAME_CHARS: usize = 200;

/// What a connection tells those who look after it.
#[derive(Debug)]
pub(crate) struct Signals {
    /// The server's tools are others.
    pub(crate) changed: Notify,
    /// Something has failed, perhaps because the server is gone.
    pub(crate) suspect: Notify,
    /// The connection is over.
    pub(crate) closed: CancellationToken,
    trouble: Mutex<Option<String>>,
    pub(crate) voice: Arc<Voice>,
}

impl Signals {
    pub(crate) fn new(voice: Arc<Voice>) -> Arc<Self> {
        Arc::new(Self {
            changed: Notify::new(),
            suspect: Notify::new(),
            closed: CancellationToken::new(),
            trouble: Mutex::new(None),
            voice,
        })
    }

    /// Why the connection ends. The first reason counts.
    pub(crate) fn set_trouble(&self, reason: String) {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(reason);
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

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
    passed_on: u32,
}

impl<T: Transport<RoleClient>> Link<T> {
    pub(crate) fn new(inner: T, signals: Arc<Signals>) -> Self {
        Self {
            inner,
            signals,
            progress: HashMap::new(),
            answers: FuturesUnordered::new(),
            passed_on: 0,
        }
    }

    /// Answers a request of the server's. Nothing is offered to servers that they could ask for, so that all of it but
    /// a ping is refused as the protocol has it.
    fn answer(&mut self, id: RequestId, request: &ServerRequest) {
        let answer = match request {
            ServerRequest::PingRequest(_) => {
                ClientJsonRpcMessage::response(ClientResult::empty(()), id)
            }
            other => {
                let method = cut(method(other), NAME_CHARS);
                tracing::debug!(
                    server = self.signals.voice.server(),
                    method,
                    "refusing what an MCP server asks for"
                );
                let error = ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None);
                ClientJsonRpcMessage::error(error, Some(id))
            }
        };
        let sending = self.inner.send(answer);
        // If it cannot be sent, the connection is at its end, and that is seen elsewhere.
        self.answers.push(sending.map(drop).boxed());
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
                    Some(logger) => format!("{}: {text}", cut(&logger, NAME_CHARS)),
                    None => text,
                };
                self.signals
                    .voice
                    .line(Weight::from(params.level), "log", &text);
                None
            }
            needed @ (ServerNotification::SubscriptionsAcknowledgedNotification(_)
            | ServerNotification::CancelledNotification(_))
                if self.passed_on < PASSED_ON =>
            {
                self.passed_on += 1;
                Some(needed)
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
            let full = self.answers.len() >= ANSWERS;
            let message = tokio::select! {
                biased;
                Some(()) = self.answers.next(), if !self.answers.is_empty() => continue,
                message = self.inner.receive(), if !full => message,
            };
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
                    trim(&mut response.result);
                    return Some(JsonRpcMessage::Response(response));
                }
                error @ Some(JsonRpcMessage::Error(_)) => return error,
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
fn trim(result: &mut ServerResult) {
    let shortened = |from: &Implementation| {
        Implementation::new(cut(&from.name, NAME_CHARS), cut(&from.version, NAME_CHARS))
    };
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
