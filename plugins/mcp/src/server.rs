//! A configured server: kept connected, and called.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use plugin_api::serde_json::Value;
use plugin_api::tokio::sync::watch;
use plugin_api::tokio::time::{Instant, sleep_until, timeout};
use plugin_api::{InstanceContext, ToolContext, ToolError, ToolOutput, tokio, tracing};
use rmcp::service::Subscription;
use tokio_util::sync::CancellationToken;

use crate::board::Board;
use crate::call::CallError;
use crate::config::{self, Handshake};
use crate::connection::{Caller, Connection, Opening, Place, Refusal, Running};
use crate::delay::Delay;
use crate::tools::{self, Offer};
use crate::voice::Voice;

/// How long a call waits for a server to which a connection is being made.
const CALL_WAITS: Duration = Duration::from_secs(5);

/// Least time between two listings of a server's tools, however often it says that they have changed.
const LIST_PAUSE: Duration = Duration::from_millis(500);

/// A connection that lasted this long was a good one: the next attempt comes soon.
const GOOD: Duration = Duration::from_secs(10);

/// How a server is.
#[derive(Clone, Debug)]
pub(crate) enum Status {
    /// Not tried yet.
    Starting,
    /// It is tried; before, it was away for this reason.
    Trying(Arc<Absence>),
    /// It can be called.
    Up(Arc<Connection>),
    /// It cannot.
    Away(Arc<Absence>),
}

/// Why a server is away, and what comes next.
#[derive(Debug)]
pub(crate) struct Absence {
    /// In words for anyone.
    pub(crate) reason: String,
    /// What it has written to its standard error last, for the operator.
    pub(crate) said: Option<String>,
    /// When it is tried again.
    pub(crate) again: SystemTime,
}

/// A server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) config: config::Server,
    place: Place,
    voice: Arc<Voice>,
    pub(crate) status: watch::Sender<Status>,
    offer: Mutex<Arc<Offer>>,
}

/// Why a connection is over.
enum Lost {
    /// It is not needed any more.
    Stopped,
    /// The server has ended it.
    Closed,
    /// It is of no use.
    Useless(String),
}

impl Server {
    pub(crate) fn new(name: &str, config: config::Server, place: Place, voice: Voice) -> Self {
        Self {
            name: name.to_owned(),
            config,
            place,
            voice: Arc::new(voice),
            status: watch::Sender::new(Status::Starting),
            offer: Mutex::default(),
        }
    }

    /// What it offered when it was last asked, which stays while it is away.
    pub(crate) fn offer(&self) -> Arc<Offer> {
        Arc::clone(&self.offer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the server connected until `stop`, and then ends the connection and the process behind it.
    pub(crate) async fn keep(
        self: Arc<Self>,
        ctx: InstanceContext,
        board: Arc<Board>,
        stop: CancellationToken,
    ) {
        let mut delay = Delay::new(&self.config);
        let mut discovers = self.config.handshake == Handshake::Discover;
        while !stop.is_cancelled() {
            let absence = match self.connect(&ctx, &mut discovers, &stop).await {
                Ok((connection, running, tools)) => {
                    let since = Instant::now();
                    tracing::info!(
                        server = self.name,
                        tools = tools.len(),
                        "an MCP server is there"
                    );
                    self.take(tools, &board);
                    self.set(Status::Up(Arc::clone(&connection)), &board);
                    let lost = self.attend(&connection, &board, &stop).await;
                    if since.elapsed() >= GOOD {
                        delay.reset();
                    }
                    self.part(lost, &connection, running).await
                }
                Err(refusal) => refusal,
            };
            if stop.is_cancelled() {
                return;
            }
            let wait = delay.next();
            let absence = Arc::new(Absence {
                reason: absence.reason,
                said: absence.said,
                again: SystemTime::now() + wait,
            });
            self.set(Status::Away(Arc::clone(&absence)), &board);
            let waited = stop.run_until_cancelled(tokio::time::sleep(wait)).await;
            if waited.is_some() {
                // Not told to the board: what it shows still holds.
                self.status.send_replace(Status::Trying(absence));
            }
        }
    }

    fn set(&self, status: Status, board: &Board) {
        self.status.send_replace(status);
        board.look();
    }

    /// Connects in the way that is configured, or that the server takes.
    async fn connect(
        &self,
        ctx: &InstanceContext,
        discovers: &mut bool,
        stop: &CancellationToken,
    ) -> Result<(Arc<Connection>, Running, Vec<rmcp::model::Tool>), Refusal> {
        let caller = Caller {
            ctx,
            server: &self.config,
            place: &self.place,
            voice: &self.voice,
        };
        let (first, second) = match *discovers {
            true => (Opening::Discover, Opening::Initialize),
            false => (Opening::Initialize, Opening::Discover),
        };
        let refusal = match caller.open(first, stop).await {
            Err(refusal) if refusal.of_the_opening => refusal,
            other => return other,
        };
        if self.config.handshake != Handshake::Auto {
            return Err(refusal);
        }
        match caller.open(second, stop).await {
            Ok(opened) => {
                *discovers = !*discovers;
                Ok(opened)
            }
            // What it said to the usual opening is what helps.
            Err(other) if other.of_the_opening => Err(refusal),
            Err(other) => Err(other),
        }
    }

    /// Looks after a connection until it is over.
    async fn attend(
        &self,
        connection: &Connection,
        board: &Board,
        stop: &CancellationToken,
    ) -> Lost {
        let every = Duration::from_millis(self.config.ping_interval_ms);
        let mut ping_at = Instant::now() + every;
        let mut listed_at = Instant::now();
        let mut list_at: Option<Instant> = None;
        let mut list_again = Delay::new(&self.config);
        let mut subscription = None;
        if connection.wants_subscription() {
            subscription = tokio::select! {
                () = stop.cancelled() => return Lost::Stopped,
                taken = connection.subscribe() => taken,
            };
            if subscription.is_some() {
                // What changed before that was not told.
                list_at = Some(listed_at + LIST_PAUSE);
            }
        }
        let signals = &connection.signals;
        loop {
            let ping = tokio::select! {
                biased;
                () = stop.cancelled() => return Lost::Stopped,
                () = signals.closed.cancelled() => return Lost::Closed,
                () = signals.changed.notified() => {
                    let soon = listed_at + LIST_PAUSE;
                    list_at = Some(list_at.map_or(soon, |at| at.min(soon)));
                    false
                }
                () = signals.suspect.notified() => true,
                () = next(&mut subscription) => {
                    subscription = None;
                    false
                }
                () = at(list_at) => {
                    list_at = None;
                    let listed = tokio::select! {
                        () = stop.cancelled() => return Lost::Stopped,
                        listed = timeout(
                            self.config.connect_timeout(),
                            tools::list(&connection.peer, &self.name),
                        ) => listed,
                    };
                    listed_at = Instant::now();
                    let problem = match listed {
                        Ok(Ok(tools)) => {
                            self.take(tools, board);
                            list_again.reset();
                            None
                        }
                        Ok(Err(error)) => Some(error.to_string()),
                        Err(_) => Some("it does not answer in time".to_owned()),
                    };
                    if let Some(problem) = problem {
                        self.not_listed(&problem);
                        list_at = Some(listed_at + list_again.next().max(LIST_PAUSE));
                    }
                    false
                }
                () = sleep_until(ping_at), if !every.is_zero() => true,
            };
            if ping {
                ping_at = Instant::now() + every;
                let pinged = tokio::select! {
                    () = stop.cancelled() => return Lost::Stopped,
                    pinged = connection.ping() => pinged,
                };
                if let Err(reason) = pinged {
                    return match signals.closed.is_cancelled() {
                        true => Lost::Closed,
                        false => Lost::Useless(reason),
                    };
                }
                if subscription.is_none() && connection.wants_subscription() {
                    subscription = tokio::select! {
                        () = stop.cancelled() => return Lost::Stopped,
                        taken = connection.subscribe() => taken,
                    };
                    list_at.get_or_insert(listed_at + LIST_PAUSE);
                }
            }
        }
    }

    fn not_listed(&self, problem: &str) {
        let problem = self.voice.secrets().line(problem);
        tracing::warn!(
            server = self.name,
            problem,
            "keeping the tools that an MCP server had before"
        );
    }

    /// Takes over a list of tools; tells the host if it is another.
    fn take(&self, tools: Vec<rmcp::model::Tool>, board: &Board) {
        let offer = Offer::of(tools, &self.name, &self.config);
        let mut now = self.offer.lock().unwrap_or_else(PoisonError::into_inner);
        if **now == offer {
            return;
        }
        *now = Arc::new(offer);
        drop(now);
        board.tools_changed();
    }

    /// Ends a connection, and says why it is over.
    async fn part(&self, lost: Lost, connection: &Connection, running: Running) -> Refusal {
        let ended = running.close().await;
        let (how, said) = match ended {
            Some(ended) => (Some(ended.how), ended.said),
            None => (None, None),
        };
        let reason = match (lost, connection.signals.trouble()) {
            (_, Some(trouble)) => trouble,
            (Lost::Useless(reason), None) => reason,
            (Lost::Stopped | Lost::Closed, None) => {
                how.unwrap_or_else(|| "it has closed the connection".to_owned())
            }
        };
        Refusal::of(reason, said)
    }

    /// Calls a tool by the server's own name for it.
    pub(crate) async fn call(
        &self,
        tool: &str,
        args: &Value,
        ctx: &ToolContext,
    ) -> Result<ToolOutput, ToolError> {
        let connection = self.connected(None, ctx).await?;
        let called = match connection.call(tool, args, ctx).await {
            Err(CallError::SessionExpired) => {
                // Nothing was done, so that it can be asked again.
                let next = self.connected(Some(&connection), ctx).await?;
                next.call(tool, args, ctx).await
            }
            called => called,
        };
        called.map_err(|error| match error {
            CallError::Tool(error) => error,
            CallError::SessionExpired => ToolError::failed(format_args!(
                "the MCP server `{}` does not keep its sessions",
                self.name
            )),
            CallError::Gone => ToolError::failed(format_args!(
                "the MCP server `{}` has gone away during the call; whether it was carried out is not known",
                self.name
            )),
        })
    }

    /// The connection, or another than this one. Waits a little where one is being made.
    async fn connected(
        &self,
        other_than: Option<&Arc<Connection>>,
        ctx: &ToolContext,
    ) -> Result<Arc<Connection>, ToolError> {
        let is_old = |connection: &Arc<Connection>| {
            other_than.is_some_and(|old| Arc::ptr_eq(old, connection))
        };
        let mut status = self.status.subscribe();
        let settled = status.wait_for(|status| match status {
            Status::Up(connection) => !is_old(connection),
            Status::Away(_) => other_than.is_none(),
            Status::Starting | Status::Trying(_) => false,
        });
        let settled = tokio::select! {
            biased;
            () = ctx.cancelled() => return Err(ToolError::Cancelled),
            settled = timeout(CALL_WAITS, settled) => settled,
        };
        let status = match settled {
            Ok(Ok(status)) => status.clone(),
            _ => self.status.borrow().clone(),
        };
        let why = match status {
            Status::Up(connection) if !is_old(&connection) => return Ok(connection),
            Status::Up(_) => "it does not keep its sessions".to_owned(),
            Status::Starting => "it has not answered yet".to_owned(),
            Status::Trying(absence) => absence.reason.clone(),
            Status::Away(absence) => {
                format!(
                    "{}; next attempt at {}",
                    absence.reason,
                    crate::board::time_of_day(absence.again)
                )
            }
        };
        Err(ToolError::failed(format_args!(
            "the MCP server `{}` is not available: {why}",
            self.name
        )))
    }
}

/// The end of a subscription; never, where there is none.
async fn next(subscription: &mut Option<Subscription>) {
    let Some(subscription) = subscription else {
        return std::future::pending().await;
    };
    // The changes themselves are seen before they get here.
    while let Ok(Some(_)) = subscription.next().await {}
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
