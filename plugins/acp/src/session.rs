//! A session with an agent: its process, started and greeted, and what the agent calls the session.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent_client_protocol_schema::ProtocolVersion;
use agent_client_protocol_schema::v1::{
    self, AGENT_METHOD_NAMES, AgentCapabilities, AuthMethod, AuthMethodId, AuthenticateRequest,
    ClientCapabilities, ErrorCode, FileSystemCapabilities, Implementation, InitializeRequest,
    InitializeResponse, LoadSessionRequest, NewSessionRequest, NewSessionResponse,
    ResumeSessionRequest,
};
use plugin_api::serde::{Deserialize, Serialize, de::DeserializeOwned};
use plugin_api::serde_json::{self, value::RawValue};
use plugin_api::tokio::sync::OwnedSemaphorePermit;
use plugin_api::tokio::time::Instant;
use plugin_api::{ChildError, HistoryTurn, RunError, tokio, tracing};
use thiserror::Error;

use crate::Acp;
use crate::pool::Lease;
use crate::process::{Ended, Process};
use crate::requests::Files;
use crate::wire::{Incoming, WireError};

/// How long what a process has printed between two turns is passed over. Who prints more does not stop.
const LEFT_OVER: Duration = Duration::from_secs(1);

/// A session and its process.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) process: Process,
    pub(crate) id: v1::SessionId,
    pub(crate) capabilities: AgentCapabilities,
    /// Where it works.
    pub(crate) folder: PathBuf,
    /// The last turn of the host's session that the agent knows of.
    pub(crate) known_turn: u64,
    /// Whether it has had no turn yet.
    pub(crate) is_fresh: bool,
    /// Whether the last turn in which it was told what it did not know went wrong.
    told_in_vain: bool,
}

/// What is kept of it in the host's session, so that another process can go on.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(crate = "plugin_api::serde", default)]
pub(crate) struct Saved {
    pub(crate) session: Option<v1::SessionId>,
    pub(crate) known_turn: u64,
}

/// A session could not be begun. Clients read it.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    #[error("The agent's program could not be started: {0}")]
    Spawn(#[from] ChildError),
    #[error("The agent's program could not be started: {0}")]
    NotStarted(String),
    #[error("The folder of the session cannot be made: {0}")]
    Folder(#[source] std::io::Error),
    #[error("The agent's program ended before there was a session: {}", .0.text())]
    Ended(Ended),
    #[error("The agent's program cannot be understood: {0}.")]
    Wire(#[source] WireError),
    #[error(
        "The agent's program has not answered `{method}` within {seconds} seconds (start_timeout_ms).{printed}"
    )]
    TimedOut {
        method: &'static str,
        seconds: f64,
        printed: String,
    },
    #[error("The agent's program has refused `{method}`: {}", words(.error))]
    Refused {
        method: &'static str,
        error: v1::Error,
    },
    #[error("{0}")]
    Login(String),
    #[error("The agent's program speaks version {0} of the protocol; this host speaks version 1.")]
    Version(ProtocolVersion),
    #[error("The agent's program has answered `{method}` with what is no such answer: {source}")]
    Answer {
        method: &'static str,
        source: serde_json::Error,
    },
}

impl From<StartError> for RunError {
    fn from(error: StartError) -> Self {
        Self::agent(error)
    }
}

impl StartError {
    /// What kind of error it is, with nothing that the program has said.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::NotStarted(_) => {
                "The agent's program could not be started. The log says why.".to_owned()
            }
            Self::Ended(end) => format!(
                "The agent's program ended before there was a session: {}. The log has its last words.",
                end.how
            ),
            Self::TimedOut {
                method, seconds, ..
            } => Self::TimedOut {
                method,
                seconds: *seconds,
                printed: String::new(),
            }
            .to_string(),
            Self::Refused { method, error } => format!(
                "The agent's program has refused `{method}` with error {}. The log has its words.",
                i32::from(error.code)
            ),
            Self::Login(_) => login(&[]),
            Self::Answer { method, .. } => {
                format!("The agent's program has answered `{method}` with what is no such answer.")
            }
            Self::Spawn(_) | Self::Folder(_) | Self::Wire(_) | Self::Version(_) => self.to_string(),
        }
    }
}

/// An error as the agent has told it.
pub(crate) fn words(error: &v1::Error) -> String {
    let mut text = error.message.clone();
    match &error.data {
        None | Some(serde_json::Value::Null) => {}
        Some(serde_json::Value::String(data)) => text += &format!(" ({data})"),
        Some(data) => text += &format!(" ({data})"),
    }
    text
}

/// What to tell who uses an agent that is not logged in.
pub(crate) fn login(methods: &[AuthMethod]) -> String {
    let names: Vec<_> = methods
        .iter()
        .map(|method| format!("{} (`{}`)", method.name(), method.id()))
        .collect();
    let ways = match names.is_empty() {
        true => String::new(),
        false => format!(" It knows these ways: {}.", names.join(", ")),
    };
    format!(
        "The agent's program asks for a login.{ways} Log in with its own command as the user that the host runs as, or give it its \
         key in `env`; `auth_method` chooses a way."
    )
}

impl Session {
    /// Starts a process for the lease, which keeps `room` until it has ended, and a session in it: the saved one where the
    /// agent can go on with it, a new one otherwise.
    pub(crate) async fn start(
        agent: &Acp,
        lease: &mut Lease<Self>,
        room: OwnedSemaphorePermit,
        host_session: &str,
        saved: Saved,
    ) -> Result<Self, StartError> {
        let config = &agent.config;
        let folder = agent
            .folder(host_session)
            .await
            .map_err(StartError::Folder)?;
        let (pool, key, token) = (
            Arc::downgrade(&agent.pool),
            lease.key.clone(),
            lease.renew(),
        );
        let at_end = move || {
            drop(room);
            if let Some(pool) = pool.upgrade() {
                pool.gone(&key, token);
            }
        };
        let command = agent.command(&folder);
        let mut process = Process::start(&command, &agent.pool.tasks, &agent.mask, at_end)?;
        let mut begun = Begun {
            agent,
            process: &mut process,
            files: Files::of(&folder),
            method: AGENT_METHOD_NAMES.initialize,
        };
        let timeout = config.start_timeout();
        let greeted = tokio::time::timeout(timeout, begun.greet(&folder, saved)).await;
        let method = begun.method;
        match greeted {
            Ok(Ok((id, capabilities, known_turn))) => Ok(Self {
                process,
                id,
                capabilities,
                folder,
                known_turn,
                is_fresh: true,
                told_in_vain: false,
            }),
            Ok(Err(StartError::Wire(WireError::Closed | WireError::Io(_)))) => {
                Err(ended(process.end().await))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::TimedOut {
                method,
                seconds: timeout.as_secs_f64(),
                printed: match process.wire.garbage() {
                    None => String::new(),
                    Some((count, last)) => format!(
                        " It has printed {count} lines that are no messages, the last one: {last}"
                    ),
                },
            }),
        }
    }

    /// Reads what the process has printed since its last turn, so that it is not taken for a part of the next. Whether it is
    /// still there to be spoken with.
    pub(crate) async fn clear(&mut self) -> bool {
        let wire = &mut self.process.wire;
        let mut passed_over = 0_usize;
        let until = Instant::now() + LEFT_OVER;
        loop {
            if Instant::now() >= until {
                tracing::warn!("the program does not leave off between two turns and is ended");
                return false;
            }
            let next = tokio::select! {
                biased;
                next = wire.next() => Some(next),
                () = std::future::ready(()) => None,
            };
            match next {
                None if tokio::task::coop::has_budget_remaining() => break,
                // It is the turn of others; there may be more.
                None => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Some(Err(fault)) => {
                    tracing::debug!("the program went between two turns: {fault}");
                    return false;
                }
                Some(Ok(Incoming::Request { id, .. })) => {
                    wire.answer(
                        &id,
                        Err(v1::Error::invalid_request().data("no turn is in progress")),
                    );
                }
                Some(Ok(_)) => {}
            }
            passed_over += 1;
        }
        if passed_over > 0 {
            tracing::info!(
                messages = passed_over,
                "what the program has printed between two turns is passed over"
            );
        }
        wire.is_open() && !self.process.is_gone()
    }

    /// A turn was answered, the one that follows `turns`. Whether it was answered well: what the agent has refused it leaves
    /// out of the conversation, and what comes of an error nobody knows. What it was told with that one it is told again,
    /// once: it may be the telling that goes wrong.
    pub(crate) fn answered(&mut self, turns: &[HistoryTurn], well: bool) {
        let last = turns.last().map_or(0, |turn| turn.turn);
        self.told_in_vain = !well && last > self.known_turn && !self.told_in_vain;
        if !self.told_in_vain {
            // The user's turn, and the answer.
            self.known_turn = last + 2;
        }
    }

    pub(crate) fn saved(&self) -> Saved {
        Saved {
            session: Some(self.id.clone()),
            known_turn: self.known_turn,
        }
    }
}

fn ended(end: Ended) -> StartError {
    match end.not_started && !end.complaints.is_empty() {
        true => StartError::NotStarted(end.complaints),
        false => StartError::Ended(end),
    }
}

/// A process that is being greeted.
struct Begun<'a> {
    agent: &'a Acp,
    process: &'a mut Process,
    files: Files,
    /// What was asked last.
    method: &'static str,
}

impl Begun<'_> {
    async fn greet(
        &mut self,
        folder: &Path,
        saved: Saved,
    ) -> Result<(v1::SessionId, AgentCapabilities, u64), StartError> {
        let serves = crate::files::SERVED;
        let files = FileSystemCapabilities::new()
            .read_text_file(serves)
            .write_text_file(serves);
        let hello = InitializeRequest::new(ProtocolVersion::V1)
            .client_capabilities(ClientCapabilities::new().fs(files))
            .client_info(Implementation::new("roundhouse", env!("CARGO_PKG_VERSION")));
        let answer: InitializeResponse = self.ask(AGENT_METHOD_NAMES.initialize, &hello).await?;
        if answer.protocol_version != ProtocolVersion::V1 {
            return Err(StartError::Version(answer.protocol_version));
        }
        let methods = answer.auth_methods;
        if let Some(method) = &self.agent.config.auth_method {
            let choice = AuthenticateRequest::new(AuthMethodId::new(method.as_str()));
            let done: Result<Box<RawValue>, _> =
                self.ask(AGENT_METHOD_NAMES.authenticate, &choice).await;
            told(done, &methods)?;
        }
        let capabilities = answer.agent_capabilities;
        if let Some(id) = saved.session
            && self.go_on(&capabilities, folder, &id).await?
        {
            return Ok((id, capabilities, saved.known_turn));
        }
        let new = NewSessionRequest::new(folder);
        let made: Result<NewSessionResponse, _> =
            self.ask(AGENT_METHOD_NAMES.session_new, &new).await;
        Ok((told(made, &methods)?.session_id, capabilities, 0))
    }

    /// Has the agent go on with a session of an earlier process. What it repeats of it is not shown, for it was already.
    async fn go_on(
        &mut self,
        capabilities: &AgentCapabilities,
        folder: &Path,
        id: &v1::SessionId,
    ) -> Result<bool, StartError> {
        let answer: Result<Box<RawValue>, _> = if capabilities.session_capabilities.resume.is_some()
        {
            let resume = ResumeSessionRequest::new(id.clone(), folder);
            self.ask(AGENT_METHOD_NAMES.session_resume, &resume).await
        } else if capabilities.load_session {
            let load = LoadSessionRequest::new(id.clone(), folder);
            self.ask(AGENT_METHOD_NAMES.session_load, &load).await
        } else {
            return Ok(false);
        };
        match answer {
            Ok(_) => Ok(true),
            Err(StartError::Refused { error, .. }) => {
                tracing::warn!(
                    "the agent does not go on with its session and gets a new one: {}",
                    self.agent.shown(&words(&error))
                );
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks for something and waits for the answer.
    async fn ask<R: DeserializeOwned>(
        &mut self,
        method: &'static str,
        params: &impl Serialize,
    ) -> Result<R, StartError> {
        self.method = method;
        let asked = self.process.wire.request(method, params);
        loop {
            let message = self.process.wire.next().await.map_err(StartError::Wire)?;
            match message {
                Incoming::Response { id, result } if id == asked => {
                    let result = result.map_err(|error| StartError::Refused { method, error })?;
                    return serde_json::from_str(result.get())
                        .map_err(|source| StartError::Answer { method, source });
                }
                Incoming::Request { id, method, params } => {
                    let answer = self.files.answer(&method, &params).await;
                    self.process.wire.answer(&id, answer);
                }
                Incoming::Response { .. } | Incoming::Notification { .. } => {}
            }
        }
    }
}

/// An answer; a refusal for want of a login in words that help.
fn told<T>(answer: Result<T, StartError>, methods: &[AuthMethod]) -> Result<T, StartError> {
    match answer {
        Err(StartError::Refused { error, .. }) if error.code == ErrorCode::AuthRequired => {
            Err(StartError::Login(login(methods)))
        }
        other => other,
    }
}
