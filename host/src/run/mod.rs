//! Runs: what an agent does for one message, and who watches.
//!
//! In reading order:
//!
//! - [`record`], [`window`], [`log`], [`cursor`] (`replay`, `reader`): the event log of a session and its readers. Pure but for
//!   waiting; nothing in it knows of plugins or sockets.
//! - [`budget`]: the bound on all logs together.
//! - [`registry`], `handle` and `slot`: which session has which run.
//! - `driver`, `finish`, `ending`, [`supervise`], [`control`]: one run's task.
//! - [`live`], `incoming`, `mappers`: the way of an event from a plugin into the log.
//! - `scope`, `services`, `tools`, `subagent`, `history`, `state`, `items`, `params`: what an agent asks of the
//!   host.
//! - [`recorder`], `stored`: saving what is streamed while it is streamed.

pub mod budget;
pub mod control;
pub mod cursor;
mod driver;
mod encode;
mod ending;
mod finish;
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod history;
mod inbox;
mod incoming;
mod items;
pub mod live;
pub mod log;
mod mappers;
mod memory;
mod params;
mod queued;
mod reader;
pub mod record;
pub mod recorder;
pub mod registry;
mod replay;
mod resume;
mod scope;
mod services;
mod slot;
mod state;
mod stored;
mod subagent;
pub mod supervise;
mod tools;
pub mod window;

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::plugin::Catalog;
use crate::session::{FileRef, ImageData, NewUserTurn};

pub use budget::LogBudget;
pub use cursor::{Attachment, Cursor, Progress, ReadCounts, Resumed, Trimmed};
pub use handle::SessionHandle;
pub use inbox::{Submission, Submitted};
pub(crate) use incoming::fault as event_fault;
pub use registry::{RunHostParts, RunRegistry, StartError};
pub use replay::Replay;
pub use resume::Greeting;

/// The limits that a run keeps; it has those that were in force when it began.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// Records in a session's replay.
    pub replay_records: usize,
    /// Bytes of them.
    pub replay_bytes: usize,
    /// How long the events of a run that has ended are kept in memory.
    pub replay_keep: Duration,
    /// Bytes of encoded frames kept for those who watch a run.
    pub window_bytes: usize,
    /// Bytes of events that a saved turn keeps.
    pub history_bytes: usize,
    /// Bytes of one event.
    pub event_bytes: usize,
    /// Nesting of JSON in an event.
    pub json_depth: usize,
    /// How long a run may take.
    pub run_time: Duration,
    /// Messages that may wait in a session.
    pub queue: usize,
    /// How long the run's own agent may take to end after a stop; see [`RunSettings::grace_at`].
    pub grace: Duration,
    /// How long an `emit` waits for lagging watchers at a time; zero for not at all.
    pub slow_wait: Duration,
    /// How deep agents may be nested.
    pub subagent_depth: u32,
}

/// Bytes of encoded frames that a log keeps for its live readers. Half of it is how far they may all be behind
/// before an agent is slowed; a few milliseconds of the fastest stream fill it.
const WINDOW_BYTES: usize = 1024 * 1024;

impl RunSettings {
    /// The limits of a configuration.
    pub fn of(config: &Config) -> Self {
        let limits = &config.limits;
        Self {
            replay_records: limits.replay_records,
            replay_bytes: limits.replay_bytes,
            replay_keep: limits.replay_keep,
            window_bytes: WINDOW_BYTES,
            history_bytes: limits.history_bytes,
            event_bytes: limits.event_bytes,
            json_depth: limits.json_depth,
            run_time: limits.run_time,
            queue: limits.queue,
            grace: config.stop.grace,
            slow_wait: limits.slow_wait,
            subagent_depth: limits.subagent_depth,
        }
    }

    /// How long an agent that is nested `depth` deep may take to end after a stop. The stop reaches all agents of a
    /// run at once, and one whose subagent has to be given up needs some time of its own after that.
    pub fn grace_at(&self, depth: u32) -> Duration {
        (0..depth).fold(self.grace, |grace, _| grace * 3 / 4)
    }
}

/// Where new runs find what is in force.
pub trait SettingsSource: Send + Sync + 'static {
    /// The plugins and the limits, both of one configuration.
    fn both(&self) -> (Arc<Catalog>, Arc<RunSettings>);
    /// The limits alone.
    fn settings(&self) -> Arc<RunSettings>;
}

/// A message that passed every guard.
#[derive(Clone, Debug, Default)]
pub struct UserMessage {
    /// What the agent receives: the text with the notes.
    pub content: String,
    /// The client's own text.
    pub user_text: String,
    /// Its images.
    pub images: Vec<ImageData>,
    /// Its files.
    pub files: Vec<FileRef>,
}

impl From<UserMessage> for NewUserTurn {
    fn from(message: UserMessage) -> Self {
        Self {
            content: message.content,
            user_text: message.user_text,
            images: message.images,
            files: message.files,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_calls_an_agent_has_longer_to_end_than_that() {
        let config = Config::from_toml("stop.grace = \"16s\"", ".").unwrap();
        let settings = RunSettings::of(&config);
        let graces = [0, 1, 2, 40].map(|depth| settings.grace_at(depth));
        assert_eq!(graces[..3], [16, 12, 9].map(Duration::from_secs));
        assert!(graces[3] < Duration::from_millis(1));
    }
}
