//! The event mappers of one run, in their order.

use std::fmt;
use std::sync::Arc;

use plugin_api::Event;
use plugin_api::abi::import::{EventRef, MapperState, Verdict};
use plugin_api::abi::types;
use plugin_api::wire::MapperParams;
use tokio_util::sync::DropGuard;

use super::backing::Backing;
use super::clock::{ChainWatch, Clock, MAP_BUDGET};
use super::gate::Pass;
use super::instances::Mapper;
use super::slot::Entered;

/// Events that a mapper may put in the place of one.
const EVENTS_KEPT: usize = 1024;

/// Bytes of these events together.
const BYTES_KEPT: usize = 16 * 1024 * 1024;

/// A mapper failed, or took too long. The event it was given must not go on, nor the run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mapper {mapper}")]
pub struct MapperFault {
    /// The mapper's component, as `plugin/component`.
    pub mapper: String,
    /// What it did, for the log.
    pub reason: String,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapped {
    /// It goes on as it is; nothing was handed out.
    Passed,
    /// This many events were handed out in its place.
    Replaced(usize),
}

/// A configured mapper of an agent.
pub(crate) struct ChainLink {
    /// The name of its instance.
    pub(crate) instance: String,
    /// `plugin/component`.
    pub(crate) component: String,
    pub(crate) backing: Backing,
}

/// The mappers that a run's events pass through, each with its own state of the run.
///
/// Dropping it closes the mappers, on the thread that drops it; let that be one that may block.
pub struct MapperChain {
    open: Vec<OpenMapper>,
    kinds: u64,
    watch: ChainWatch,
    /// Tells the watch; dropped after the mappers.
    _closed: DropGuard,
}

/// A mapper of a run before it is opened.
struct Opening {
    component: String,
    clock: Arc<Clock>,
    mapper: Arc<Mapper>,
    pass: Pass,
}

struct OpenMapper {
    component: String,
    kinds: u64,
    clock: Arc<Clock>,
    state: MapperState,
    /// Left after the state was closed: fields are dropped in their order.
    _pass: Pass,
}

/// The bits of a kind in a mapper's mask, any of which admits it: its own, and that of custom events for a
/// kind that this host carries as one.
fn bits(kind: u32) -> u64 {
    let own = 1u64.checked_shl(kind).unwrap_or(1);
    if kind > types::EVENT_ERROR {
        own | 1
    } else {
        own
    }
}

/// What an event takes, in bytes.
#[must_use]
pub fn event_size(event: &EventRef<'_>) -> usize {
    event.text.len() + event.json.len() + event.name.len() + event.id.len() + event.parent.len()
}

/// An event of the host's own, whose text a mapper may rewrite and nothing else.
pub(crate) fn is_hosts_own(kind: u32) -> bool {
    matches!(
        kind,
        types::EVENT_STREAM_STOPPED | types::EVENT_STREAM_END | types::EVENT_ERROR
    )
}

impl MapperChain {
    /// A chain that passes everything.
    #[must_use]
    pub fn empty() -> Self {
        Self::watched(ChainWatch::new(std::iter::empty()))
    }

    fn watched(watch: ChainWatch) -> Self {
        Self {
            open: Vec::new(),
            kinds: 0,
            _closed: watch.token(),
            watch,
        }
    }

    /// Whether it passes everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Its mappers' components, for people.
    #[must_use]
    pub fn names(&self) -> String {
        let names: Vec<_> = self
            .open
            .iter()
            .map(|mapper| mapper.component.as_str())
            .collect();
        names.join(", ")
    }

    /// Sees when one of them takes too long.
    #[must_use]
    pub fn watch(&self) -> ChainWatch {
        self.watch.clone()
    }

    pub(crate) async fn open(
        links: &[ChainLink],
        params: &MapperParams,
    ) -> Result<Self, MapperFault> {
        if links.is_empty() {
            return Ok(Self::empty());
        }
        let fault = |link: &ChainLink, reason: String| MapperFault {
            mapper: link.component.clone(),
            reason,
        };
        let params =
            serde_json::to_string(params).map_err(|error| fault(&links[0], error.to_string()))?;
        let mut openings = Vec::with_capacity(links.len());
        for link in links {
            let slot = link
                .backing
                .slot()
                .map_err(|reason| fault(link, reason.to_owned()))?;
            let entering = slot.enter(|instances| instances.mappers.get(&link.instance));
            let Entered {
                instance: mapper,
                pass,
                copy,
            } = entering
                .await
                .map_err(|error| fault(link, error.to_string()))?;
            openings.push(Opening {
                component: link.component.clone(),
                clock: Clock::new(&link.component, copy),
                mapper,
                pass,
            });
        }
        let watch = ChainWatch::new(openings.iter().map(|opening| Arc::clone(&opening.clock)));
        let opened = watch.clone();
        watch
            .on_thread(move || Self::open_now(openings, &params, opened))
            .await?
    }

    fn open_now(
        openings: Vec<Opening>,
        params: &str,
        watch: ChainWatch,
    ) -> Result<Self, MapperFault> {
        let mut chain = Self::watched(watch);
        for opening in openings {
            let state = {
                let _call = opening.clock.begin();
                opening.mapper.instance.handle.open(params)
            };
            let state = state.ok_or_else(|| MapperFault {
                mapper: opening.component.clone(),
                reason: "it could not be opened for the run".to_owned(),
            })?;
            let kinds = opening.mapper.kinds.bits();
            chain.kinds |= kinds;
            chain.open.push(OpenMapper {
                component: opening.component,
                kinds,
                clock: opening.clock,
                state,
                _pass: opening.pass,
            });
        }
        Ok(chain)
    }

    /// Whether any mapper wants events of this kind. Where none does, `map` need not be called.
    #[must_use]
    pub fn wants(&self, kind: u32) -> bool {
        self.kinds & bits(kind) != 0
    }

    /// Maps one event. Unless it passes, what takes its place is handed to `out` in order, after all mappers
    /// are done with it; none of that may be larger than `event_bytes`, or than what was given and a quarter more.
    ///
    /// # Errors
    ///
    /// [`MapperFault`] when a mapper failed, overran [`MAP_BUDGET`] or broke a rule. Nothing was handed out
    /// then, and no further event may be mapped.
    pub fn map(
        &mut self,
        event: EventRef<'_>,
        event_bytes: usize,
        out: &mut dyn FnMut(EventRef<'_>),
    ) -> Result<Mapped, MapperFault> {
        // `None` as long as every mapper passed: then nothing is copied.
        let mut replaced: Option<Vec<Event>> = None;
        for mapper in &mut self.open {
            match &mut replaced {
                None => {
                    let mut produced = Vec::new();
                    if let Became::Others = mapper.map_one(event, event_bytes, &mut produced)? {
                        replaced = Some(produced);
                    }
                }
                Some(events) => {
                    let mut produced = Vec::with_capacity(events.len());
                    for event in events.drain(..) {
                        let became = event.with_parts(|parts| {
                            mapper.map_one(parts, event_bytes, &mut produced)
                        })?;
                        if let Became::Itself = became {
                            produced.push(event);
                        }
                    }
                    *events = produced;
                }
            }
        }
        let Some(events) = replaced else {
            return Ok(Mapped::Passed);
        };
        for event in &events {
            event.with_parts(&mut *out);
        }
        Ok(Mapped::Replaced(events.len()))
    }
}

impl Drop for MapperChain {
    fn drop(&mut self) {
        for mapper in self.open.drain(..) {
            let clock = Arc::clone(&mapper.clock);
            let _call = clock.begin();
            drop(mapper);
        }
    }
}

impl fmt::Debug for MapperChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.open.iter().map(|mapper| &mapper.component))
            .finish()
    }
}

enum Became {
    Itself,
    Others,
}

impl OpenMapper {
    /// Appends to `produced` what the event became, unless it passed.
    fn map_one(
        &mut self,
        event: EventRef<'_>,
        event_bytes: usize,
        produced: &mut Vec<Event>,
    ) -> Result<Became, MapperFault> {
        if self.kinds & bits(event.kind) == 0 {
            return Ok(Became::Itself);
        }
        let fault = |reason: String| {
            self.clock.failed();
            MapperFault {
                mapper: self.component.clone(),
                reason,
            }
        };
        // What it was given may be at the limit, and what masks a secret is longer than some secrets are.
        let given = event_size(&event);
        let mut received = Received {
            events: Vec::new(),
            bytes: 0,
            event_bytes: event_bytes.max(given + given / 4),
            broken: None,
        };
        let call = self.clock.begin();
        let verdict = self.state.map(event, &mut |event| received.push(event));
        let took = call.elapsed();
        drop(call);
        let verdict = verdict.map_err(|error| fault(error.to_string()))?;
        if took > MAP_BUDGET {
            return Err(fault(format!(
                "it took {} ms over one event, and {} are allowed",
                took.as_millis(),
                MAP_BUDGET.as_millis()
            )));
        }
        if let Some(reason) = received.broken {
            return Err(fault(reason));
        }
        let mut events = match verdict {
            Verdict::Pass => return Ok(Became::Itself),
            Verdict::Drop => Vec::new(),
            Verdict::Replace => received.events,
        };
        if is_hosts_own(event.kind) {
            keep_only_text(event, &mut events).map_err(fault)?;
        } else if let Some(forged) = events.iter().find(|event| is_hosts_own(event.kind())) {
            return Err(fault(format!(
                "it made an event `{}`, which is the host's own",
                forged.name()
            )));
        }
        produced.append(&mut events);
        Ok(Became::Others)
    }
}

/// Of the host's own event a mapper may rewrite the text; what else it changed is undone.
fn keep_only_text(original: EventRef<'_>, events: &mut [Event]) -> Result<(), String> {
    let [event] = events else {
        return Err(format!(
            "it dropped or multiplied `{}`, which is the host's own",
            original.name
        ));
    };
    if event.kind() != original.kind {
        return Err(format!(
            "it turned `{}`, which is the host's own, into another",
            original.name
        ));
    }
    let rewritten = event.with_parts(|parts| {
        Event::from_parts(EventRef {
            text: parts.text,
            ..original
        })
    });
    *event = rewritten.map_err(|error| error.to_string())?;
    Ok(())
}

/// What a mapper pushed in one call.
struct Received {
    events: Vec<Event>,
    bytes: usize,
    /// What one of them may have.
    event_bytes: usize,
    broken: Option<String>,
}

impl Received {
    fn push(&mut self, event: EventRef<'_>) {
        if self.broken.is_some() {
            return;
        }
        let bytes = event_size(&event);
        if bytes > self.event_bytes {
            self.broken = Some(format!(
                "it made an event of {bytes} bytes, and {} are allowed",
                self.event_bytes
            ));
            return;
        }
        self.bytes += bytes;
        if self.events.len() >= EVENTS_KEPT || self.bytes > BYTES_KEPT {
            self.broken = Some(format!(
                "it put more than {EVENTS_KEPT} events or {BYTES_KEPT} bytes in the place of one event"
            ));
            return;
        }
        match Event::from_parts(event) {
            Ok(event) => self.events.push(event),
            Err(error) => self.broken = Some(format!("it made an event that is none: {error}")),
        }
    }
}
