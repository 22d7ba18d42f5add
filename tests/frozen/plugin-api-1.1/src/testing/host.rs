//! The host that answers runs and calls under test.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::message::State;
use crate::abi::export::in_memory::{self, InMemory};
use crate::abi::import::{
    Answer, Completion, EventRef, HostLibrary, LogLine, ServiceFailure, Sink,
};
use crate::abi::types;
use crate::event::known_name;
use crate::wire::service::{
    self, AgentsRun, AgentsRunAnswer, HistoryQuery, StateGet, StatePut, ToolsCall,
};
use crate::wire::{HistoryPage, OutcomeData, ToolList};
use crate::{
    Event, HistoryTurn, ServiceError, ServiceErrorCode, SubagentOutcome, ToolCall, ToolOutput,
    ToolSpec,
};

/// The most bytes of an event, and of a value of a state: what a host allows that is not told otherwise.
const MAX_BYTES: usize = 1 << 20;

/// The most events of one run that are kept; a run that emits more is stopped.
const MAX_EVENTS: usize = 1_000_000;

/// Turns in a page of the history, where the query does not say.
const PAGE: usize = 50;

/// What the host has for a run.
#[derive(Clone, Default)]
pub(super) struct Script {
    pub(super) tools: BTreeMap<String, Tool>,
    pub(super) specs: Vec<ToolSpec>,
    pub(super) subagents: BTreeMap<String, Arc<Subagent>>,
    pub(super) services: BTreeMap<String, Arc<Service>>,
    pub(super) history: Vec<HistoryTurn>,
    pub(super) images: Vec<Arc<[u8]>>,
    pub(super) state: State,
    pub(super) stop_after_events: Option<usize>,
    pub(super) session: String,
    pub(super) asked: String,
}

type Subagent = dyn Fn(&str) -> SubagentOutcome + Send + Sync;

type Service = dyn Fn(&Value) -> Result<Value, ServiceError> + Send + Sync;

/// A tool, and how long it takes.
#[derive(Clone)]
pub(super) struct Tool {
    pub(super) takes: Duration,
    pub(super) answer: Arc<dyn Fn(Value) -> ToolOutput + Send + Sync>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("session", &self.session)
            .field("tools", &self.tools.keys())
            .finish_non_exhaustive()
    }
}

/// A run or a call under test, as its host sees it.
pub(super) struct Scope {
    id: u64,
    seen: Mutex<Seen>,
    changed: Notify,
}

/// What a scope has come to.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) script: Script,
    pub(super) events: Vec<Event>,
    pub(super) calls: Vec<ToolCall>,
    pub(super) completion: Option<Completion>,
}

static SCOPES: LazyLock<Mutex<HashMap<u64, Arc<Scope>>>> = LazyLock::new(Mutex::default);
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The one host of the process. Its scopes are told apart by their numbers, so tests run side by side.
pub(super) fn host() -> InMemory {
    static HOST: LazyLock<Option<InMemory>> = LazyLock::new(|| InMemory::new(Arc::new(TestHost)));
    match *HOST {
        Some(host) => host,
        None => unreachable!("the table that the host's side makes is complete"),
    }
}

/// A number that no scope has had.
pub(super) fn new_id() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn scopes() -> MutexGuard<'static, HashMap<u64, Arc<Scope>>> {
    SCOPES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scope {
    /// Opens a scope, which is there until it is completed.
    pub(super) fn open(script: Script) -> Arc<Self> {
        let scope = Arc::new(Self {
            id: new_id(),
            seen: Mutex::new(Seen {
                script,
                ..Seen::default()
            }),
            changed: Notify::new(),
        });
        scopes().insert(scope.id, Arc::clone(&scope));
        scope
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stop(&self) {
        in_memory::stop(self.id);
    }

    /// Waits until `look` finds something.
    pub(super) async fn wait_for<R>(&self, mut look: impl FnMut(&mut Seen) -> Option<R>) -> R {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.seen()) {
                return found;
            }
            changed.await;
        }
    }

    fn emit(&self, event: EventRef<'_>) -> Answer {
        if event.text.len() + event.json.len() > MAX_BYTES {
            return Answer::TooLarge;
        }
        let Ok(event) = Event::from_parts(event) else {
            return Answer::Invalid;
        };
        if !is_allowed(&event) {
            return Answer::Invalid;
        }
        let mut seen = self.seen();
        if seen.events.len() >= MAX_EVENTS {
            return Answer::Stop;
        }
        seen.events.push(event);
        let stop = seen.script.stop_after_events == Some(seen.events.len());
        drop(seen);
        self.changed.notify_waiters();
        if stop {
            self.stop();
        }
        Answer::Ok
    }

    fn request(&self, method: &str, params: &str, sink: Sink) {
        match self.answer(method, params) {
            Ok((takes, answer)) if takes.is_zero() => sink.done(Ok(&answer.to_string())),
            Ok((takes, answer)) => {
                // Nobody awaits it: it ends with the test's runtime. A sink whose request was withdrawn meanwhile
                // does nothing.
                tokio::spawn(async move {
                    tokio::time::sleep(takes).await;
                    sink.done(Ok(&answer.to_string()));
                });
            }
            Err(error) => sink.done(Err(failure(error))),
        }
    }

    /// What a service answers, and after which time.
    fn answer(&self, method: &str, params: &str) -> Result<(Duration, Value), ServiceError> {
        let mut seen = self.seen();
        if let Some(service) = seen.script.services.get(method).map(Arc::clone) {
            drop(seen);
            return Ok((Duration::ZERO, service(&read(params)?)?));
        }
        let answer = match method {
            service::TOOLS_LIST => {
                let tools = seen.script.specs.clone();
                json!(ToolList { tools })
            }
            service::TOOLS_CALL => {
                let ToolsCall { tool: name, args } = read(params)?;
                let tool = seen.script.tools.get(&name).cloned();
                seen.calls.push(ToolCall::new(name.clone(), args.clone()));
                drop(seen);
                let tool = tool.ok_or_else(|| not_found("tool", &name))?;
                return Ok((tool.takes, json!((tool.answer)(args))));
            }
            service::AGENTS_RUN => {
                let AgentsRun { agent, content } = read(params)?;
                let subagent = seen.script.subagents.get(&agent).cloned();
                drop(seen);
                let outcome = subagent.ok_or_else(|| not_found("agent", &agent))?(&content);
                json!(run_answer(outcome))
            }
            service::HISTORY_LIST => json!(page(&seen.script.history, &read(params)?)),
            service::STATE_GET => {
                let StateGet { key } = read(params)?;
                let (value, version) = seen.script.state.get(&key).cloned().unwrap_or_default();
                json!({ "value": value, "version": version })
            }
            service::STATE_PUT => json!({ "version": put(&mut seen.script.state, read(params)?)? }),
            _ => {
                let text = format!("the testing kit has no `{method}`; script it with `service`");
                return Err(ServiceError::new(ServiceErrorCode::Unsupported, text));
            }
        };
        Ok((Duration::ZERO, answer))
    }
}

/// Whether an agent may emit it. A host's list of names that are its own is longer by those of later releases.
fn is_allowed(event: &Event) -> bool {
    const HOSTS: [&str; 9] = [
        "stream_start",
        "heartbeat",
        "session_sync",
        "replay_start",
        "replay_end",
        "message_ack",
        "stop_ack",
        "message",
        "stop",
    ];
    match event {
        Event::StreamStopped(_) | Event::StreamEnd(_) | Event::Error(_) => false,
        Event::Custom(custom) => {
            let known = (0..=types::EVENT_ERROR).filter_map(known_name);
            !known.chain(HOSTS).any(|name| name == custom.name)
        }
        _ => true,
    }
}

fn read<T: serde::de::DeserializeOwned>(params: &str) -> Result<T, ServiceError> {
    serde_json::from_str(params)
        .map_err(|error| ServiceError::new(ServiceErrorCode::Invalid, error.to_string()))
}

fn not_found(what: &str, name: &str) -> ServiceError {
    let text = format!("there is no {what} `{name}`; give the message one");
    ServiceError::new(ServiceErrorCode::NotFound, text)
}

fn failure(error: ServiceError) -> ServiceFailure {
    match error.code {
        ServiceErrorCode::Unsupported => ServiceFailure::Unsupported,
        ServiceErrorCode::Cancelled => ServiceFailure::Cancelled,
        code => ServiceFailure::failed(code, error.message),
    }
}

fn run_answer(outcome: SubagentOutcome) -> AgentsRunAnswer {
    let status = if outcome.stopped {
        "stopped"
    } else {
        "finished"
    };
    AgentsRunAnswer {
        content: outcome.content.clone(),
        status: status.to_owned(),
        outcome: OutcomeData {
            content: outcome.content,
            token_count: outcome.token_count,
            ..OutcomeData::default()
        },
    }
}

fn page(history: &[HistoryTurn], query: &HistoryQuery) -> HistoryPage {
    let end = match query.before {
        Some(before) => history.partition_point(|turn| turn.turn < before),
        None => history.len(),
    };
    let limit = match query.limit {
        0 => PAGE,
        limit => limit as usize,
    };
    let start = end.saturating_sub(limit);
    let turns = history[start..end].to_vec();
    HistoryPage {
        before: turns.first().map(|turn| turn.turn),
        more: start > 0,
        turns,
    }
}

fn put(state: &mut State, put: StatePut) -> Result<u64, ServiceError> {
    if put.value.to_string().len() > MAX_BYTES {
        let text = "a value has at most 1 MiB as JSON";
        return Err(ServiceError::new(ServiceErrorCode::TooLarge, text));
    }
    let now = state.get(&put.key).map_or(0, |(_, version)| *version);
    if put.expected_version.is_some_and(|expected| expected != now) {
        let text = format!("the value is at version {now}");
        return Err(ServiceError::new(ServiceErrorCode::Conflict, text));
    }
    state.insert(put.key, (put.value, now + 1));
    Ok(now + 1)
}

/// What the library's side calls.
struct TestHost;

impl TestHost {
    fn scope(id: u64) -> Option<Arc<Scope>> {
        scopes().get(&id).cloned()
    }
}

impl HostLibrary for TestHost {
    fn emit(&self, scope: u64, event: EventRef<'_>) -> Answer {
        Self::scope(scope).map_or(Answer::Stop, |scope| scope.emit(event))
    }

    fn complete(&self, scope: u64, completion: Completion) -> Answer {
        let Some(scope) = scopes().remove(&scope) else {
            return Answer::Stop;
        };
        scope.seen().completion = Some(completion);
        scope.changed.notify_waiters();
        Answer::Ok
    }

    fn request(&self, scope: u64, _id: u64, method: &str, params: &str, sink: Sink) {
        match Self::scope(scope) {
            Some(scope) => scope.request(method, params, sink),
            // Of an instance there is one request: its tools are others now.
            None if method == service::TOOLS_CHANGED => sink.done(Ok("{}")),
            None => sink.done(Err(ServiceFailure::Cancelled)),
        }
    }

    fn cancel(&self, _scope: u64, _id: u64) -> Answer {
        Answer::Ok
    }

    fn image(&self, scope: u64, handle: u64) -> Option<Arc<[u8]>> {
        let scope = Self::scope(scope)?;
        let images = &scope.seen().script.images;
        images.get(usize::try_from(handle).ok()?).cloned()
    }

    fn log(&self, _line: LogLine<'_>) {
        // Tests have a subscriber of their own, or none.
    }
}
