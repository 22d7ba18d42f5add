//! A run while it lives: the way of its events through checks and mappers into the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plugin_api::EventRef;
use plugin_api::abi::import::Answer;
use tokio::sync::Notify;

use super::RunSettings;
use super::control::RunControl;
use super::incoming;
use super::log::{Appended, EventLog, RunSpan};
use super::mappers::Mappers;
use super::record::{Form, Incoming, Record};
use crate::plugin::{Mapped, MapperChain, MapperFault, event_size};
use crate::protocol::{RunEvent, errors};

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
    mappers: Option<Arc<Mappers>>,
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
        let mappers = mappers.map(|chain| Arc::new(Mappers::new(chain)));
        Self {
            control,
            log,
            span,
            settings,
            mappers,
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

    /// All mappers, for a fault of which it is not known whose it is.
    fn mapper_names(&self) -> &str {
        self.mappers.as_ref().map_or("", |mappers| mappers.names())
    }

    /// Does the run's work. A mapper that takes too long meanwhile ends the run, though it never return: whoever
    /// waits for it on a thread of a plugin goes on, and is told that the run is over.
    pub async fn watched<T>(&self, work: impl Future<Output = T>) -> T {
        let watch = async {
            if let Some(mappers) = &self.mappers {
                let fault = mappers.overrun().await;
                self.fail(&fault.mapper, &fault.reason);
                mappers.give_up();
            }
            std::future::pending().await
        };
        tokio::select! {
            biased;
            done = work => done,
            never = watch => never,
        }
    }

    /// Closes the mappers; no event passes them any more.
    pub async fn close_mappers(&self) {
        if let Some(mappers) = &self.mappers
            && let Err(fault) = mappers.close().await
        {
            tracing::error!(run = %self.control.id, mapper = fault.mapper, reason = fault.reason, "mapper not closed");
        }
    }

    /// Whether an event that a plugin emits is as small as it has to be.
    pub fn has_room_for(&self, event: &EventRef<'_>) -> bool {
        let (bytes, limit) = (event_size(event), self.settings.event_bytes);
        if bytes > limit {
            self.note_refused(format_args!(
                "`{}` of {bytes} bytes is over limits.event_bytes, {limit}",
                event.name
            ));
        }
        bytes <= limit
    }

    /// Takes an event that a plugin emits, for which there is room; `agent` names the subagent whose it is. `slow`
    /// is told when the answer is SLOW.
    pub fn emit(&self, event: EventRef<'_>, agent: Option<&str>, slow: &Notify) -> Answer {
        // Nearly all events; the others are far larger, and moving them about shows.
        if self.mappers.is_none()
            && let Some((kind, text)) = incoming::delta(&event)
        {
            let delta = Incoming::Delta(kind, text);
            return self.answer(self.log.append(&self.span, delta, Form::AsEmitted), slow);
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
        let Some(mappers) = &self.mappers else {
            self.append(Incoming::Event(event), Form::AsEmitted);
            return;
        };
        let live = Arc::clone(self);
        tokio::select! {
            biased;
            mapped = mappers.on_thread(move || live.map_own(event)) => if let Err(fault) = mapped {
                self.fail(&fault.mapper, &fault.reason);
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
        let Some(mappers) = &self.mappers else {
            return Ok(event.clone());
        };
        let (live, with, event) = (Arc::clone(self), Arc::clone(mappers), event.clone());
        mappers
            .on_thread(move || live.map_last_now(&with, &event))
            .await?
    }

    fn no_answer(&self) -> MapperFault {
        MapperFault {
            mapper: self.mapper_names().to_owned(),
            reason: "one of them failed before".to_owned(),
        }
    }

    fn map_last_now(&self, mappers: &Mappers, event: &RunEvent) -> Result<RunEvent, MapperFault> {
        let mapped = incoming::with_parts(event, |parts| {
            let mapped = mappers.with(|chain| {
                let mut text = None;
                if chain.wants(parts.kind) {
                    let limit = self.settings.event_bytes;
                    chain.map(parts, limit, &mut |mapped: EventRef<'_>| {
                        text = Some(mapped.text.to_owned())
                    })?;
                }
                Ok(text)
            });
            mapped.unwrap_or_else(|| Err(self.no_answer()))
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
        mappers: &Mappers,
        event: EventRef<'_>,
        read: Incoming<'_>,
        agent: Option<&str>,
    ) -> Appended {
        let mapped = mappers.with(|chain| self.map_with(chain, event, read, agent));
        mapped.unwrap_or(Appended::Over)
    }

    fn map_with(
        &self,
        chain: &mut MapperChain,
        event: EventRef<'_>,
        read: Incoming<'_>,
        agent: Option<&str>,
    ) -> Appended {
        if self.control.kill.is_cancelled() {
            return Appended::Over;
        }
        if !chain.wants(event.kind) {
            return self.append(read, Form::AsEmitted);
        }
        let mut result = Appended::Accepted;
        let mut refused = None;
        let mut outputs = 0_u32;
        let limit = self.settings.event_bytes;
        let outcome = chain.map(event, limit, &mut |mapped: EventRef<'_>| {
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
            return self.fail(self.mapper_names(), &refused);
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
