//! The event mappers of one run, in their order; `mapper`: what one of them does with an event.

mod mapper;

use std::fmt;
use std::sync::Arc;

use plugin_api::Event;
use plugin_api::abi::import::EventRef;
use plugin_api::wire::MapperParams;
use tokio_util::sync::DropGuard;

use super::backing::Backing;
use super::clock::{ChainWatch, Clock};
use super::gate::Pass;
use super::instances::Mapper;
use super::slot::Entered;
pub use mapper::event_size;
pub(crate) use mapper::is_hosts_own;
use mapper::{Became, OpenMapper, bits};

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
    /// [`MapperFault`] when a mapper failed, overran [`MAP_BUDGET`](super::clock::MAP_BUDGET) or broke a rule. Nothing was handed out
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
