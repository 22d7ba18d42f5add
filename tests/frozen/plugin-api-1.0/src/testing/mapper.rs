//! A mapper under test.

use std::fmt;

use serde_json::Value;

use crate::abi::export::in_memory;
use crate::{CreateError, Event, EventKinds, EventMapper, MapEvents, Mapped, MapperRun};

/// An instance of a mapper, without a host around it.
#[derive(Debug)]
pub struct TestMapper<M> {
    mapper: M,
    kinds: EventKinds,
}

impl<M: EventMapper> TestMapper<M> {
    /// Makes an instance as a host does, of the configuration that an operator would write, as JSON. A host checks
    /// it against its schema before.
    ///
    /// # Errors
    ///
    /// The configuration does not fit, or `create` fails.
    pub fn create(config: impl Into<Value>) -> Result<Self, CreateError> {
        let mapper = M::create(in_memory::config(&config.into().to_string())?)?;
        let kinds = mapper.kinds();
        Ok(Self { mapper, kinds })
    }

    /// Opens it for a run of an agent called `agent`.
    pub fn open(&self) -> OpenMapper {
        self.open_for(&MapperRun::new("run", "session", "agent"))
    }

    /// Opens it for a run.
    pub fn open_for(&self, run: &MapperRun) -> OpenMapper {
        OpenMapper {
            events: self.mapper.open(run),
            kinds: self.kinds,
        }
    }
}

/// A mapper at work in one run.
pub struct OpenMapper {
    events: Box<dyn MapEvents>,
    kinds: EventKinds,
}

impl OpenMapper {
    /// Maps one event as a host does; what goes on in its place: the event itself if the mapper does not want its
    /// kind or lets it pass, nothing if it drops it.
    ///
    /// # Errors
    ///
    /// The mapper fails, or treats one of the host's own events as it may not.
    pub fn map(&mut self, event: impl Into<Event>) -> Result<Vec<Event>, String> {
        let event = event.into();
        if !self.kinds.contains(&event) {
            return Ok(vec![event]);
        }
        let (name, kind) = (event.name().to_owned(), event.kind());
        let is_hosts = matches!(
            event,
            Event::StreamStopped(_) | Event::StreamEnd(_) | Event::Error(_)
        );
        match self.events.map(event.clone()) {
            Mapped::Pass => Ok(vec![event]),
            Mapped::Drop if is_hosts => Err(format!("`{name}` is the host's own: it stays")),
            Mapped::Drop => Ok(Vec::new()),
            Mapped::Replace(events)
                if is_hosts && !matches!(&events[..], [one] if one.kind() == kind) =>
            {
                Err(format!(
                    "`{name}` is the host's own: one of its kind takes its place"
                ))
            }
            Mapped::Replace(events) => Ok(events),
            Mapped::Fail(problem) => Err(problem),
        }
    }

    /// Maps events in their order.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map), with the first that fails.
    pub fn map_all<E: Into<Event>>(
        &mut self,
        events: impl IntoIterator<Item = E>,
    ) -> Result<Vec<Event>, String> {
        let mut all = Vec::new();
        for event in events {
            all.extend(self.map(event)?);
        }
        Ok(all)
    }
}

impl fmt::Debug for OpenMapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenMapper").finish_non_exhaustive()
    }
}
