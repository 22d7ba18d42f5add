//! One connection to a server: from the handshake to the end.

use std::sync::Arc;
use std::time::Duration;

use plugin_api::serde_json::Value;
use plugin_api::tokio::time::{Instant, timeout, timeout_at};
use plugin_api::{InstanceContext, tokio};
use rmcp::model::{
    ClientCapabilities, ClientConfig, ClientRequest, Implementation, ListToolsRequest, PingRequest,
    ProtocolVersion, SubscriptionFilter, Tool,
};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, Peer, RoleClient, RunningService, Subscription,
    serve_client_with_lifecycle_and_ct,
};
use rmcp::transport::Transport;
use rmcp::{ErrorData, ServiceError};
use tokio_util::sync::CancellationToken;

use crate::ask::ask;
use crate::call::Calls;
use crate::config::Server;
use crate::http::Endpoint;
use crate::link::Link;
use crate::signals::Signals;
use crate::stdio::{self, Ended, Process};
use crate::tools;
use crate::voice::Voice;
use crate::words::causes;

/// The longest that a server may take to answer whether it is there, and to take a subscription.
const ANSWER: Duration = Duration::from_secs(10);

/// The least, however often it is asked.
const LEAST_ANSWER: Duration = Duration::from_secs(1);

/// How long a proper end may take before the connection is cut.
const GOODBYE: Duration = Duration::from_secs(3);

/// How long a process may take to end by itself once it has closed its output.
const OWN_END: Duration = Duration::from_millis(500);

/// Where a server is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A program to be started.
    Program(String),
    /// Elsewhere.
    Url(Endpoint),
}

/// By which of its two ways a conversation is begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Opening {
    Initialize,
    Discover,
}

/// Why there is no connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusal {
    /// In words for anyone.
    pub(crate) reason: String,
    /// What its process has written to its standard error last, for the operator.
    pub(crate) said: Option<String>,
    /// It has answered, and does not take this opening.
    pub(crate) of_the_opening: bool,
    /// It has ended the connection, so that how its process has ended is the reason.
    closed: bool,
}

impl Refusal {
    /// The end of a connection, which is why there is none.
    pub(crate) fn of(reason: String, said: Option<String>) -> Self {
        Self {
            reason,
            said,
            ..Self::default()
        }
    }

    fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            ..Self::default()
        }
    }
}

/// A connection as those know it who use it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: Peer<RoleClient>,
    pub(crate) signals: Arc<Signals>,
    /// Whether it speaks a version of the protocol without sessions.
    modern: bool,
    tells_of_changes: bool,
    /// How long it may take to answer whether it is there.
    pub(crate) answers_within: Duration,
    pub(crate) calls: Calls,
}

/// A connection as whoever opened it has it, who has to end it.
pub(crate) struct Running {
    service: RunningService<RoleClient, ClientConfig>,
    process: Option<Process>,
}

/// What is needed for a connection.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) ctx: &'a InstanceContext,
    pub(crate) server: &'a Server,
    pub(crate) place: &'a Place,
    pub(crate) voice: &'a Arc<Voice>,
}

impl Caller<'_> {
    /// Opens a connection and lists the tools. At `stop`, whatever was begun is ended.
    pub(crate) async fn open(
        &self,
        opening: Opening,
        stop: &CancellationToken,
    ) -> Result<(Arc<Connection>, Running, Vec<Tool>), Refusal> {
        let signals = Signals::new(Arc::clone(self.voice));
        let begun = match self.place {
            Place::Program(program) => {
                let (transport, process) =
                    stdio::start(self.ctx, self.server, program, &signals).map_err(Refusal::new)?;
                let link = Link::new(transport, Arc::clone(&signals));
                self.begin(link, Some(process), opening, &signals, stop)
                    .await
            }
            Place::Url(endpoint) => {
                let link = Link::new(
                    endpoint.transport(Arc::clone(&signals)),
                    Arc::clone(&signals),
                );
                self.begin(link, None, opening, &signals, stop).await
            }
        };
        let (running, connection, tools) = begun?;
        Ok((Arc::new(connection), running, tools))
    }

    async fn begin(
        &self,
        link: Link<impl Transport<RoleClient> + 'static>,
        process: Option<Process>,
        opening: Opening,
        signals: &Arc<Signals>,
        stop: &CancellationToken,
    ) -> Result<(Running, Connection, Vec<Tool>), Refusal> {
        let deadline = Instant::now() + self.server.connect_timeout();
        let greeting = serve_client_with_lifecycle_and_ct(
            introduction(),
            link,
            lifecycle(opening),
            CancellationToken::new(),
        );
        let greeted = tokio::select! {
            biased;
            () = stop.cancelled() => Err(Refusal::new("it is not needed any more")),
            greeted = timeout_at(deadline, greeting) => match greeted {
                Ok(Ok(service)) => Ok(service),
                Ok(Err(error)) => Err(self.unwelcome(error)),
                Err(_) => Err(self.late("the handshake")),
            },
        };
        let service = match greeted {
            Ok(service) => service,
            Err(refusal) => return Err(explained(refusal, process, signals).await),
        };
        let peer = service.peer().clone();
        let mut running = Running { service, process };
        let listing = tools::list(&peer, self.voice.server());
        let listed = tokio::select! {
            biased;
            () = stop.cancelled() => Err(Refusal::new("it is not needed any more")),
            listed = timeout_at(deadline, listing) => match listed {
                Ok(Ok(tools)) => Ok(tools),
                Ok(Err(error)) => Err(self.no_list(&error)),
                Err(_) => Err(self.late("its list of tools")),
            },
        };
        match listed {
            Ok(tools) => {
                let info = peer.peer_info();
                let connection = Connection {
                    modern: info
                        .as_ref()
                        .is_some_and(|info| !info.protocol_version.has_initialize()),
                    tells_of_changes: info
                        .and_then(|info| info.capabilities.tools.as_ref()?.list_changed)
                        .unwrap_or(false),
                    answers_within: match self.server.ping_interval_ms {
                        0 => ANSWER,
                        interval => Duration::from_millis(interval).clamp(LEAST_ANSWER, ANSWER),
                    },
                    peer,
                    signals: Arc::clone(signals),
                    calls: Calls::default(),
                };
                Ok((running, connection, tools))
            }
            Err(refusal) => {
                running.say_goodbye().await;
                Err(explained(refusal, running.process.take(), signals).await)
            }
        }
    }

    fn late(&self, what: &str) -> Refusal {
        let limit = self.server.connect_timeout_ms;
        Refusal::new(format!("it has not answered with {what} within {limit} ms"))
    }

    fn no_list(&self, error: &tools::ListError) -> Refusal {
        let secrets = self.voice.secrets();
        Refusal::new(match error {
            tools::ListError::Service(error) => {
                format!(
                    "its tools cannot be listed: {}",
                    service(error, |text| secrets.without(text))
                )
            }
            other => other.to_string(),
        })
    }

    fn unwelcome(&self, error: ClientInitializeError) -> Refusal {
        let refused = |error: &ErrorData| {
            let told = self.voice.secrets().without(&error.message);
            format!("it refuses the handshake: {told} (code {})", error.code.0)
        };
        let closed = matches!(&error, ClientInitializeError::ConnectionClosed(_));
        let (reason, of_the_opening) = match &error {
            ClientInitializeError::JsonRpcError(error) => (refused(error), true),
            ClientInitializeError::ConnectionClosed(_) => (
                "it has closed the connection in the handshake".to_owned(),
                false,
            ),
            ClientInitializeError::TransportError { error, .. } => {
                (causes(error.error.as_ref()), false)
            }
            ClientInitializeError::NoCompatibleProtocolVersion {
                server_supported, ..
            } => {
                let theirs: Vec<_> = server_supported.iter().map(ToString::to_string).collect();
                let text = format!(
                    "it speaks no version of the protocol that is known: {}",
                    theirs.join(", ")
                );
                (text, true)
            }
            ClientInitializeError::ExpectedInitResult(_) => {
                ("its answer to the handshake is none".to_owned(), false)
            }
            other => (causes(other), false),
        };
        Refusal {
            reason: self.voice.secrets().without(&reason),
            of_the_opening,
            closed,
            ..Refusal::default()
        }
    }
}

/// What the transport or the process has to say of a failure, which is more than the SDK knows.
async fn explained(mut refusal: Refusal, process: Option<Process>, signals: &Signals) -> Refusal {
    if let Some(process) = process {
        let grace = match refusal.closed {
            true => OWN_END,
            false => Duration::ZERO,
        };
        let Ended { how, said } = process.end(grace).await;
        if refusal.closed {
            refusal.reason = how;
        }
        refusal.said = said;
    }
    if let Some(trouble) = signals.trouble() {
        refusal.reason = trouble;
        refusal.of_the_opening = false;
    }
    refusal
}

impl Connection {
    /// Whether the server is still there: it answers, be it with an error. One that does not may be busy with calls, one
    /// after the other; while there are any, which end in their own time, that is no reason to give it up, unless the
    /// oldest was given up without a word.
    pub(crate) async fn ping(&self) -> Result<(), String> {
        let request = match self.modern {
            // There is no ping any more. Nothing else that every server takes is asked beside the calls, over HTTP.
            true => ClientRequest::ListToolsRequest(ListToolsRequest::default()),
            false => ClientRequest::PingRequest(PingRequest::default()),
        };
        let was_busy = self.calls.are_waiting();
        match timeout(self.answers_within, ask(&self.peer, request)).await {
            Ok(Ok(_) | Err(ServiceError::McpError(_))) => Ok(()),
            Err(_) if (was_busy || self.calls.are_waiting()) && !self.signals.is_deaf() => Ok(()),
            Ok(Err(error)) => {
                let secrets = self.signals.voice.secrets();
                Err(service(&error, |text| secrets.without(text)))
            }
            Err(_) => Err(format!(
                "it has not answered a ping within {} ms",
                self.answers_within.as_millis()
            )),
        }
    }

    /// Has the server say when its tools change, where that has to be asked for.
    pub(crate) async fn subscribe(&self) -> Option<Subscription> {
        if !self.modern || !self.tells_of_changes {
            return None;
        }
        let filter = SubscriptionFilter::builder().tools_list_changed().build();
        match timeout(ANSWER, self.peer.listen(filter)).await {
            Ok(Ok(subscription)) => Some(subscription),
            _ => None,
        }
    }

    /// Whether changes of the tools have to be asked for.
    pub(crate) fn wants_subscription(&self) -> bool {
        self.modern && self.tells_of_changes
    }
}

impl Running {
    async fn say_goodbye(&mut self) {
        let closing = self.service.close();
        tokio::pin!(closing);
        if timeout(GOODBYE, &mut closing).await.is_ok() {
            return;
        }
        // It hangs in what it writes to a process that does not read.
        if let Some(process) = &self.process {
            process.cut();
            let _ = timeout(GOODBYE, closing).await;
        }
    }

    /// Ends the connection, and the process behind it.
    pub(crate) async fn close(mut self) -> Option<Ended> {
        self.say_goodbye().await;
        match self.process.take() {
            Some(process) => Some(process.end(OWN_END).await),
            None => None,
        }
    }
}

fn introduction() -> ClientConfig {
    ClientConfig::new(
        // Nothing is offered that a server could ask for.
        ClientCapabilities::default(),
        Implementation::new("roundhouse", env!("CARGO_PKG_VERSION")),
    )
    .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
}

fn lifecycle(opening: Opening) -> ClientLifecycleMode {
    match opening {
        Opening::Initialize => ClientLifecycleMode::Initialize,
        Opening::Discover => ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::LATEST],
        },
    }
}

/// What went wrong with a request, in words. What the server itself said goes through `fit`.
pub(crate) fn service(error: &ServiceError, fit: impl Fn(&str) -> String) -> String {
    match error {
        ServiceError::McpError(error) => {
            let mut told = fit(&error.message);
            if let Some(Value::String(more)) = &error.data
                && !more.is_empty()
                && *more != error.message
            {
                told = format!("{told}: {}", fit(more));
            }
            format!("{told} (code {})", error.code.0)
        }
        ServiceError::TransportSend(error) => {
            let told = fit(&causes(error.error.as_ref()));
            told.strip_prefix("Client error: ")
                .unwrap_or(&told)
                .to_owned()
        }
        ServiceError::TransportClosed => "the connection is closed".to_owned(),
        ServiceError::UnexpectedResponse => "its answer is none to what it was asked".to_owned(),
        other => fit(&causes(other)),
    }
}
