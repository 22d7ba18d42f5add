//! A run while it lives: the way of its events through checks and mappers into the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plugin_api::EventRef;
use plugin_api::abi::import::Answer;
use tokio::sync::Notify;

use super::RunSettings;
use super::control::RunControl;
use super::incoming;
use super::log::{Appended, EventLog, RunSpan};
use super::record::{Form, Incoming, Record};
use crate::plugin::{Mapped, MapperChain, MapperFault};
use crate::protocol::{RunEvent, errors};

/// How long the mappers may take over a run's last event. Each is to take far less; this is for one that hangs.
const LAST_TIME: Duration = Duration::from_secs(5);

/// The part of a run that events pass through. It calls nothing of a plugin but the run's mappers, without holding
/// a lock of the log: for what an agent emits on the agent's thread, and for what the host itself emits on a
/// thread of its own, so that a mapper that hangs takes none of the runtime's with it.
#[derive(Debug)]
pub struct LiveRun {
    /// Its levers.
    pub control: Arc<RunControl>,
    /// Where its events go.
    pub log: Arc<EventLog>,
    /// Its place there.
    pub span: Arc<RunSpan>,
    settings: Arc<RunSettings>,
    mappers: Option<Mutex<MapperChain>>,
    /// All mappers, for a fault of which it is not known whose it is.
    mapper_names: String,
    tool_calls: AtomicU64,
    refused: AtomicU64,
}

impl LiveRun {
    /// A run that has begun as `span`.
    pub fn new(
        control: Arc<RunControl>,
        log: Arc<EventLog>,
        span: Arc<RunSpan>,
        settings: Arc<RunSettings>,
        mappers: Option<MapperChain>,
    ) -> Self {
        let mapper_names = mappers.as_ref().map(MapperChain::names).unwrap_or_default();
        let mappers = mappers.map(Mutex::new);
        Self {
            control,
            log,
            span,
            settings,
            mappers,
            mapper_names,
            tool_calls: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Events so far that were refused to whoever emitted them.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// `tool_call` events so far, those of subagents included.
    pub fn tool_calls(&self) -> u64 {
        self.tool_calls.load(Ordering::Relaxed)
    }

    /// Whether events pass mappers.
    pub fn is_mapped(&self) -> bool {
        self.mappers.is_some()
    }

    /// Takes an event that a plugin emits; `agent` names the subagent whose it is. `slow` is told when the
    /// answer is SLOW.
    pub fn emit(&self, event: EventRef<'_>, agent: Option<&str>, slow: &Notify) -> Answer {
        let bytes = event.text.len() + event.json.len() + event.name.len() + event.id.len();
        if bytes > self.settings.event_bytes {
            let limit = self.settings.event_bytes;
            self.note_refused(format_args!(
                "`{}` of {bytes} bytes is over limits.event_bytes, {limit}",
                event.name
            ));
            return Answer::TooLarge;
        }
        let read = match incoming::read(event, agent, self.settings.json_depth) {
            Ok(read) => read,
            Err(fault) => {
                self.note_refused(format_args!("{fault}"));
                return Answer::Invalid;
            }
        };
        let appended = match &self.mappers {
            Some(mappers) => self.map(mappers, event, read, agent),
            None => self.append(read, Form::AsEmitted),
        };
        self.answer(appended, slow)
    }

    /// Tells the log of the first one; the others are counted, for an agent could fill the log with them.
    fn note_refused(&self, fault: std::fmt::Arguments<'_>) {
        if self.refused.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(run = %self.control.id, %fault, "event refused; others of this run will be counted only");
        }
    }

    /// Takes an event that the host itself makes for a run, such as those around a tool call. Returns early when
    /// the run is over.
    pub async fn emit_own(self: &Arc<Self>, event: RunEvent) {
        if !self.is_mapped() {
            self.append(Incoming::Event(event), Form::AsEmitted);
            return;
        }
        let live = Arc::clone(self);
        let mapping = tokio::task::spawn_blocking(move || live.map_own(event));
        tokio::select! {
            biased;
            mapped = mapping => if mapped.is_err() {
                self.fail(&self.mapper_names, "mapping an event failed in the host");
            },
            () = self.control.over.cancelled() => {}
        }
    }

    fn map_own(&self, event: RunEvent) {
        let agent = match &event {
            RunEvent::ToolStarted(call) => call.agent.clone(),
            RunEvent::ToolCall(call) => call.agent.clone(),
            _ => None,
        };
        if let Some(mappers) = &self.mappers {
            let copy = event.clone();
            let mapped = incoming::with_parts(&event, |parts| {
                self.map(mappers, parts, Incoming::Event(copy), agent.as_deref())
            });
            if mapped.is_some() {
                return;
            }
        }
        self.append(Incoming::Event(event), Form::AsEmitted);
    }

    /// The run's last event as clients get it: a mapper may change its text, and nothing else.
    ///
    /// # Errors
    ///
    /// [`MapperFault`]; the original must not get through then.
    pub async fn map_last(self: &Arc<Self>, event: &RunEvent) -> Result<RunEvent, MapperFault> {
        if !self.is_mapped() {
            return Ok(event.clone());
        }
        let (live, event) = (Arc::clone(self), event.clone());
        let mapping = tokio::task::spawn_blocking(move || live.map_last_now(&event));
        match tokio::time::timeout(LAST_TIME, mapping).await {
            Ok(Ok(mapped)) => mapped,
            // One that hangs has the chain to itself, now or since an event before this one.
            Ok(Err(_)) | Err(_) => Err(MapperFault {
                mapper: self.mapper_names.clone(),
                reason: "it did not come back".to_owned(),
            }),
        }
    }

    fn map_last_now(&self, event: &RunEvent) -> Result<RunEvent, MapperFault> {
        let Some(mappers) = &self.mappers else {
            return Ok(event.clone());
        };
        let mapped = incoming::with_parts(event, |parts| {
            let mut chain = mappers.lock().unwrap_or_else(PoisonError::into_inner);
            let mut text = None;
            if chain.wants(parts.kind) {
                chain.map(parts, &mut |mapped: EventRef<'_>| {
                    text = Some(mapped.text.to_owned())
                })?;
            }
            Ok(text)
        });
        let mut event = event.clone();
        if let Some(Some(text)) = mapped.transpose()? {
            match &mut event {
                RunEvent::StreamEnd(end) => end.content = text,
                RunEvent::Error(failure) => failure.message = text,
                _ => {}
            }
        }
        Ok(event)
    }

    fn map(
        &self,
        mappers: &Mutex<MapperChain>,
        event: EventRef<'_>,
        read: Incoming<'_>,
        agent: Option<&str>,
    ) -> Appended {
        let mut chain = mappers.lock().unwrap_or_else(PoisonError::into_inner);
        if !chain.wants(event.kind) {
            return self.append(read, Form::AsEmitted);
        }
        if self.control.kill.is_cancelled() {
            return Appended::Over;
        }
        let mut result = Appended::Accepted;
        let mut refused = None;
        let mut outputs = 0_u32;
        let outcome = chain.map(event, &mut |mapped: EventRef<'_>| {
            if outputs == 0 {
                self.keep_emitted(&event, agent);
            }
            outputs += 1;
            match incoming::read(mapped, agent, self.settings.json_depth) {
                Ok(read) => result = self.append(read, Form::Mapped),
                Err(fault) => refused = Some(fault.to_string()),
            }
        });
        match outcome {
            Ok(Mapped::Passed) => result = self.append(read, Form::AsEmitted),
            Ok(Mapped::Replaced(0)) => self.keep_emitted(&event, agent),
            Ok(Mapped::Replaced(_)) => {}
            Err(fault) => return self.fail(&fault.mapper, &fault.reason),
        }
        if let Some(refused) = refused {
            return self.fail(&self.mapper_names, &refused);
        }
        result
    }

    /// Keeps what was emitted for the agents' history, where clients see something else.
    fn keep_emitted(&self, event: &EventRef<'_>, agent: Option<&str>) {
        if let Ok(read) = incoming::read(*event, agent, self.settings.json_depth) {
            let seq = self.log.last_seq();
            self.log.keep_unsent(
                &self.span,
                Record::new(seq, read.into_event(), Form::Unsent),
            );
        }
    }

    fn fail(&self, mapper: &str, fault: &str) -> Appended {
        tracing::error!(run = %self.control.id, mapper, fault, "mapper failed; the run ends");
        self.control.fail(errors::mapper_failed(mapper));
        Appended::Over
    }

    fn append(&self, event: Incoming<'_>, form: Form) -> Appended {
        let is_call = matches!(event, Incoming::Event(RunEvent::ToolCall(_)));
        let appended = self.log.append(&self.span, event, form);
        if is_call && appended != Appended::Over {
            self.tool_calls.fetch_add(1, Ordering::Relaxed);
        }
        appended
    }

    fn answer(&self, appended: Appended, slow: &Notify) -> Answer {
        match appended {
            Appended::Accepted => Answer::Ok,
            Appended::Slow if self.settings.slow_wait.is_zero() => Answer::Ok,
            Appended::Slow => {
                slow.notify_one();
                Answer::Slow
            }
            Appended::Over => Answer::Stop,
        }
    }
}
