//! What a run can do while it runs.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::abi::export::Scope;
use crate::wire::service::{
    self, AgentsRun, AgentsRunAnswer, HistoryImage, StateGet, StateGetAnswer, StatePut,
    StatePutAnswer, ToolsCall,
};
use crate::wire::{HistoryPage, HistoryQuery, HistoryTurn, ToolList};
use crate::{EmitError, Event, Image, ServiceError, ServiceErrorCode, ToolOutput, ToolSpec};

/// A run's connection to the host. Clones are the same run; after it has ended every one of them answers
/// that it is over.
#[derive(Clone, Debug)]
pub struct RunContext {
    pub(crate) scope: Arc<Scope>,
}

impl RunContext {
    pub(crate) fn new(scope: Arc<Scope>) -> Self {
        Self { scope }
    }

    /// Shows an event to whoever watches. Waits while the host asks to slow down.
    ///
    /// # Errors
    ///
    /// The run is over or the host refuses the event. One that was refused changes nothing; the run can go on.
    ///
    /// # Cancel safety
    ///
    /// The host has the event as soon as this is called. Dropping the future gives up the waiting only.
    #[inline]
    pub fn emit(
        &self,
        event: impl Into<Event>,
    ) -> impl Future<Output = Result<(), EmitError>> + Send {
        self.scope.emit(&event.into())
    }

    /// As [`emit`](Self::emit), for an event that is kept, to be emitted again or looked at later.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    ///
    /// # Cancel safety
    ///
    /// As [`emit`](Self::emit).
    #[inline]
    pub fn emit_ref<'a>(
        &'a self,
        event: &Event,
    ) -> impl Future<Output = Result<(), EmitError>> + Send + use<'a> {
        self.scope.emit(event)
    }

    /// Resolves when the run was asked to stop, at once if that was before.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: made for `select!`.
    pub async fn stopped(&self) {
        self.scope.stopped().await;
    }

    /// Whether the run was asked to stop, or is over.
    pub fn is_stopped(&self) -> bool {
        self.scope.is_stopped()
    }

    /// Calls a tool by the name under which [`RunRequest::tools`](crate::RunRequest::tools) has it. The host
    /// emits `tool_started` and `tool_call` around it. A tool that fails is an output without success.
    ///
    /// # Errors
    ///
    /// There is no such tool, or the run is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call.
    pub async fn call_tool(
        &self,
        name: &str,
        args: impl Into<Value> + Send,
    ) -> Result<ToolOutput, ServiceError> {
        let params = ToolsCall {
            tool: name.to_owned(),
            args: args.into(),
        };
        parse(
            &self
                .scope
                .request(service::TOOLS_CALL, &params, None)
                .await?,
        )
    }

    /// The tools that may be called now. They are those of the request unless a toolset has changed since.
    ///
    /// # Errors
    ///
    /// The run is over.
    pub async fn tools(&self) -> Result<Vec<ToolSpec>, ServiceError> {
        let list: ToolList = parse(
            &self
                .scope
                .request(service::TOOLS_LIST, &json!({}), None)
                .await?,
        )?;
        Ok(list.tools)
    }

    /// Runs another configured agent inside this run and returns its answer. Its tools, plans and finished
    /// thinking reach the clients, marked as a subagent's.
    ///
    /// # Errors
    ///
    /// There is no such agent, the configuration does not allow it, it failed, or the run is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the subagent.
    pub async fn run_agent(
        &self,
        name: &str,
        content: impl Into<String>,
    ) -> Result<SubagentOutcome, ServiceError> {
        self.run_subagent(name, content.into(), None).await
    }

    /// As [`run_agent`](Self::run_agent), and sends the subagent's events, all of them, to `events` while it
    /// runs. One for which there is no room is left out.
    ///
    /// # Errors
    ///
    /// As [`run_agent`](Self::run_agent).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the subagent.
    pub async fn run_agent_watched(
        &self,
        name: &str,
        content: impl Into<String>,
        events: mpsc::Sender<Event>,
    ) -> Result<SubagentOutcome, ServiceError> {
        self.run_subagent(name, content.into(), Some(events)).await
    }

    async fn run_subagent(
        &self,
        name: &str,
        content: String,
        events: Option<mpsc::Sender<Event>>,
    ) -> Result<SubagentOutcome, ServiceError> {
        let params = AgentsRun {
            agent: name.to_owned(),
            content,
        };
        let answer: AgentsRunAnswer = parse(
            &self
                .scope
                .request(service::AGENTS_RUN, &params, events)
                .await?,
        )?;
        Ok(SubagentOutcome {
            content: answer.content,
            stopped: answer.status == "stopped",
            token_count: answer.outcome.token_count,
        })
    }

    /// The session's earlier turns, in pages from the latest backwards.
    pub fn history(&self) -> History {
        History {
            scope: Arc::clone(&self.scope),
            before: None,
            limit: 0,
            more: true,
        }
    }

    /// An image of an earlier turn: `image` is its place among the turn's [`images`](HistoryTurn::images), from 0. The host
    /// keeps it at hand until the run is over, 20 MiB of such images at most.
    ///
    /// # Errors
    ///
    /// There is no such image ([`ServiceErrorCode::NotFound`]), it would be more than the host keeps at hand
    /// ([`ServiceErrorCode::TooLarge`]), a host of an earlier release does not do it
    /// ([`ServiceErrorCode::Unsupported`]), or the run is over.
    pub async fn history_image(&self, turn: u64, image: u32) -> Result<Image, ServiceError> {
        let params = HistoryImage { turn, image };
        let lent = parse(
            &self
                .scope
                .request(service::HISTORY_IMAGE, &params, None)
                .await?,
        )?;
        Ok(Image::lent(lent, &self.scope))
    }

    /// Reads a value of the state that this agent keeps in the session.
    ///
    /// # Errors
    ///
    /// The run is over or the host cannot read it.
    pub async fn state_get(&self, key: &str) -> Result<StateEntry, ServiceError> {
        let params = StateGet {
            key: key.to_owned(),
        };
        let answer: StateGetAnswer = parse(
            &self
                .scope
                .request(service::STATE_GET, &params, None)
                .await?,
        )?;
        Ok(StateEntry {
            value: answer.value,
            version: answer.version,
        })
    }

    /// Writes a value of the state that this agent keeps in the session, at most 1 MiB as JSON; it is
    /// committed with the turn. With `expected_version` only if the value is at that version (0: was never
    /// written). Returns the new version.
    ///
    /// # Errors
    ///
    /// The value is at another version ([`ServiceErrorCode::Conflict`]), too large, or the run is over.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: after a drop the value may or may not have been written.
    pub async fn state_put(
        &self,
        key: &str,
        value: impl Into<Value> + Send,
        expected_version: Option<u64>,
    ) -> Result<u64, ServiceError> {
        let params = StatePut {
            key: key.to_owned(),
            value: value.into(),
            expected_version,
        };
        let answer: StatePutAnswer = parse(
            &self
                .scope
                .request(service::STATE_PUT, &params, None)
                .await?,
        )?;
        Ok(answer.version)
    }

    /// Asks the host for a service that this release has no function for.
    ///
    /// # Errors
    ///
    /// The host does not know the method, the service failed, or the run is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the request.
    pub async fn request(&self, method: &str, params: &Value) -> Result<Value, ServiceError> {
        parse(&self.scope.request(method, params, None).await?)
    }
}

/// What a subagent answered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SubagentOutcome {
    /// Its final text.
    pub content: String,
    /// Whether it ended because the run was stopped.
    pub stopped: bool,
    /// Tokens that it has used.
    pub token_count: u64,
}

impl SubagentOutcome {
    /// One that finished with this text, for tests of what works with such answers. Its other fields can be set.
    pub fn finished(content: impl Into<String>) -> Self {
        Self {
            content: content.into(),
            stopped: false,
            token_count: 0,
        }
    }

    /// One that ended because the run was stopped, with what there was of its text.
    pub fn stopped(content: impl Into<String>) -> Self {
        Self {
            stopped: true,
            ..Self::finished(content)
        }
    }
}

/// A value of an agent's state in a session.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StateEntry {
    /// The value; null when it was never written.
    pub value: Value,
    /// Counts the writes; 0 when it was never written.
    pub version: u64,
}

/// The earlier turns of a session, in pages from the latest backwards.
#[derive(Debug)]
pub struct History {
    scope: Arc<Scope>,
    before: Option<u64>,
    limit: u32,
    more: bool,
}

impl History {
    /// The most turns in a page; the host may give fewer.
    #[must_use]
    pub fn page_size(mut self, turns: u32) -> Self {
        self.limit = turns;
        self
    }

    /// The next page, its turns with the oldest first; `None` when there are no more.
    ///
    /// # Errors
    ///
    /// The run is over or the host cannot read the history.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: after a drop the same page is next.
    pub async fn next_page(&mut self) -> Result<Option<Vec<HistoryTurn>>, ServiceError> {
        if !self.more {
            return Ok(None);
        }
        let query = HistoryQuery {
            before: self.before,
            limit: self.limit,
        };
        let page: HistoryPage = parse(
            &self
                .scope
                .request(service::HISTORY_LIST, &query, None)
                .await?,
        )?;
        // A host that names no earlier place has no earlier page, whatever else it says.
        let earlier = page.before.or(page.turns.first().map(|turn| turn.turn));
        self.more = page.more && earlier.is_some() && earlier != self.before;
        self.before = earlier;
        Ok((!page.turns.is_empty()).then_some(page.turns))
    }

    /// The latest turns, at most `turns` of them, the oldest first.
    ///
    /// # Errors
    ///
    /// As [`next_page`](Self::next_page).
    pub async fn latest(mut self, turns: usize) -> Result<Vec<HistoryTurn>, ServiceError> {
        let mut pages = Vec::new();
        let mut count = 0;
        while count < turns {
            let Some(page) = self.next_page().await? else {
                break;
            };
            count += page.len();
            pages.push(page);
        }
        let skipped = count.saturating_sub(turns);
        Ok(pages.into_iter().rev().flatten().skip(skipped).collect())
    }
}

pub(crate) fn parse<T: DeserializeOwned>(json: &str) -> Result<T, ServiceError> {
    serde_json::from_str(json).map_err(|error| {
        ServiceError::new(
            ServiceErrorCode::Internal,
            format!("the host's answer is not what it must be: {error}"),
        )
    })
}
