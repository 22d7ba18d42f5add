//! Event mappers: what changes events on their way to the clients.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::wire::MapperParams;
use crate::{CreateError, Event, EventKinds, RunId, SessionId};

/// A mapper of events: an operator's configuration, from which each run opens a state.
///
/// Mappers work while an event is on its way and hold up its run: be quick, never block. One that panics, fails or
/// takes longer than a second over one event ends the run; the event that it got is not let through.
pub trait EventMapper: Send + Sync + Sized + 'static {
    /// What the operator can configure. Its schema is checked by the host before `create`.
    type Config: DeserializeOwned + JsonSchema + Send;

    /// One sentence for people.
    const SUMMARY: &'static str = "";

    /// Makes an instance.
    ///
    /// # Errors
    ///
    /// The configuration does not do.
    fn create(config: Self::Config) -> Result<Self, CreateError>;

    /// The events it wants to see; the others pass without cost. Asked once, after `create`.
    fn kinds(&self) -> EventKinds {
        EventKinds::ALL
    }

    /// Opens the state for one run.
    fn open(&self, run: &MapperRun) -> Box<dyn MapEvents>;
}

/// A mapper at work in one run. Any `FnMut(Event) -> Mapped` is one.
pub trait MapEvents: Send {
    /// Decides on one event. Events come in their order, one at a time.
    fn map(&mut self, event: Event) -> Mapped;
}

impl<F: FnMut(Event) -> Mapped + Send> MapEvents for F {
    fn map(&mut self, event: Event) -> Mapped {
        self(event)
    }
}

/// What a mapper makes of an event.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Mapped {
    /// It goes on as it is. Cheapest.
    Pass,
    /// It is dropped. The host's own events (`stream_end` and its like) cannot be.
    Drop,
    /// These take its place. A host's own event can only be replaced by one of the same kind.
    Replace(Vec<Event>),
    /// The mapper cannot do its work: the run ends. The text goes to the host's log.
    Fail(String),
}

impl Mapped {
    /// This event takes its place.
    pub fn replace(event: impl Into<Event>) -> Self {
        Self::Replace(vec![event.into()])
    }
}

/// The run that a mapper's state is opened for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MapperRun {
    /// The run.
    pub run_id: RunId,
    /// Its session.
    pub session_id: SessionId,
    /// The configured name of the agent.
    pub agent: String,
}

impl MapperRun {
    /// A run, for tests of a mapper.
    pub fn new(
        run_id: impl Into<RunId>,
        session_id: impl Into<SessionId>,
        agent: impl Into<String>,
    ) -> Self {
        Self {
            run_id: run_id.into(),
            session_id: session_id.into(),
            agent: agent.into(),
        }
    }
}

impl From<MapperParams> for MapperRun {
    fn from(params: MapperParams) -> Self {
        Self::new(params.run_id, params.session_id, params.agent)
    }
}
