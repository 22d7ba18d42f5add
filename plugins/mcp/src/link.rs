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
mod tests;
