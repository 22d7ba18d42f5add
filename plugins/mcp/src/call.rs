//! Calling a tool of a server.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use plugin_api::serde_json::Value;
use plugin_api::tokio::time::Instant;
use plugin_api::{ToolContext, ToolError, ToolOutput, tokio};
use rmcp::ServiceError;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientRequest,
    ProgressNotificationParam, ServerResult,
};
use rmcp::service::PeerRequestOptions;
use rmcp::transport::streamable_http_client::StreamableHttpError;

use crate::ask::Asked;
use crate::connection::{Connection, service};
use crate::http::HttpFault;
use crate::link::ProgressTo;
use crate::result;
use crate::words::cut;

/// The longest message of a progress that is passed on, in characters.
const PROGRESS_CHARS: usize = 1000;

/// Why a call has given nothing.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The server does not know the session any more, and has done nothing.
    SessionExpired,
    /// Whether it was carried out is not known.
    Gone,
    /// Anything else.
    Tool(ToolError),
}

impl Connection {
    /// Calls a tool by the server's own name for it. Dropped, or cancelled, it tells the server at once.
    pub(crate) async fn call(
        &self,
        tool: &str,
        args: &Value,
        ctx: &ToolContext,
    ) -> Result<ToolOutput, CallError> {
        let mut params = CallToolRequestParams::new(tool.to_owned());
        if let Value::Object(args) = args {
            params = params.with_arguments(args.clone());
        }
        let (progress_to, mut progress) = ProgressTo::new();
        let mut request = CallToolRequest::new(params);
        request.extensions.insert(progress_to);
        let _waiting = Waiting::new(self);
        let asked = self.peer.send_cancellable_request(
            ClientRequest::CallToolRequest(request),
            PeerRequestOptions::no_options(),
        );
        let asked = tokio::select! {
            biased;
            () = ctx.cancelled() => return Err(CallError::Tool(ToolError::Cancelled)),
            asked = asked => asked,
        };
        let mut handle = asked.map_err(|error| self.failed(&error))?;
        let asked = Asked::new(&self.peer, handle.id.clone());
        let answer = loop {
            tokio::select! {
                biased;
                () = ctx.cancelled() => return Err(CallError::Tool(ToolError::Cancelled)),
                Some(progress) = progress.recv() => ctx.progress(told(&progress)),
                answer = &mut handle.rx => break answer,
            }
        };
        asked.answered();
        while let Ok(progress) = progress.try_recv() {
            ctx.progress(told(&progress));
        }
        match answer {
            Ok(Ok(answer)) => self.answered(answer, tool),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(CallError::Gone),
        }
    }

    fn answered(&self, answer: ServerResult, tool: &str) -> Result<ToolOutput, CallError> {
        let given = match answer {
            ServerResult::CallToolResult(given) => given,
            // Without content, a result looks like any other empty one.
            ServerResult::EmptyResult(_) => CallToolResult::default(),
            ServerResult::CustomResult(given) => match result::lenient(given.0) {
                Some(given) => given,
                None => return Err(failed("its answer is not the result of a tool")),
            },
            ServerResult::InputRequiredResult(_) => {
                return Err(failed(
                    "it asks for input in the middle of the call, which is not possible here",
                ));
            }
            _ => return Err(failed("its answer is not the result of a tool")),
        };
        Ok(result::output(given, self.signals.voice.server(), tool))
    }

    fn failed(&self, error: &ServiceError) -> CallError {
        let secrets = self.signals.voice.secrets();
        match error {
            ServiceError::TransportClosed => {
                // Over HTTP, where a stream has broken off, the server may be there still, or not.
                self.signals.suspect.notify_one();
                CallError::Gone
            }
            ServiceError::TransportSend(send) => {
                // It may be gone; whoever looks after the connection finds out.
                self.signals.suspect.notify_one();
                let http = send.error.downcast_ref::<StreamableHttpError<HttpFault>>();
                match http {
                    Some(StreamableHttpError::SessionExpired) => CallError::SessionExpired,
                    Some(_) => failed(&service(error, |text| secrets.without(text))),
                    // A pipe that is broken.
                    None => CallError::Gone,
                }
            }
            error => failed(&service(error, |text| secrets.without(text))),
        }
    }
}

fn failed(problem: &str) -> CallError {
    CallError::Tool(ToolError::failed(problem))
}

fn told(progress: &ProgressNotificationParam) -> String {
    let count = match progress.total {
        Some(total) => format!("{} of {total}", progress.progress),
        None => progress.progress.to_string(),
    };
    match &progress.message {
        Some(message) => format!("{} ({count})", cut(message, PROGRESS_CHARS)),
        None => count,
    }
}

/// The calls of a connection that wait for their answers, by their order.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    waiting: Mutex<BTreeSet<u64>>,
    next: AtomicU64,
}

impl Calls {
    pub(crate) fn are_waiting(&self) -> bool {
        !self.waiting().is_empty()
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that waits for its answer.
struct Waiting<'a> {
    connection: &'a Connection,
    number: u64,
    since: Instant,
    /// What had come from the server when it began.
    heard: u64,
}

impl<'a> Waiting<'a> {
    fn new(connection: &'a Connection) -> Self {
        let number = connection.calls.next.fetch_add(1, Ordering::Relaxed);
        connection.calls.waiting().insert(number);
        Self {
            connection,
            number,
            since: Instant::now(),
            heard: connection.signals.heard(),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.connection.calls.waiting();
        let was_oldest = waiting.first() == Some(&self.number);
        waiting.remove(&self.number);
        drop(waiting);
        // Of a server that answers one call after the other nobody else's says anything.
        if was_oldest {
            let connection = self.connection;
            connection
                .signals
                .gave_up(self.heard, self.since, connection.answers_within);
        }
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::{self, json};

    use super::*;

    #[test]
    fn progress_is_told_in_words() {
        for (progress, expected) in [
            (
                json!({"progressToken": 1, "progress": 2, "total": 5.0, "message": "half"}),
                "half (2 of 5)",
            ),
            (json!({"progressToken": 1, "progress": 2.5}), "2.5"),
        ] {
            assert_eq!(told(&serde_json::from_value(progress).unwrap()), expected);
        }
    }
}
