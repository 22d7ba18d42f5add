//! The host's side: a library's functions, each behind a safe one.
//!
//! In the order of use:
//!
//! 1. [`read_descriptor`] copies and checks what the library's entry function gave;
//! 2. [`PluginDescriptor::init`] connects the library to a [`HostLibrary`], by which it calls the host;
//! 3. [`AgentFns`], [`ToolsetFns`] and [`MapperFns`] make instances: `create` starts it, and the
//!    [`Completion`] of its scope carries an [`InstancePtr`], which [`AgentFns::instance`] and its like make
//!    an [`AgentInstance`], [`ToolsetInstance`] or [`MapperInstance`] of;
//! 4. [`Library`] sets the log level.
//!
//! What a library can do wrong with a pointer C cannot check; short of that nothing that comes from it is
//! trusted: strings are checked, structs are read no further than their `size`, absent functions are refused,
//! panics of the host's own callbacks are caught.

mod callbacks;
mod component;
mod descriptor;
mod instance;
mod mapper;
mod sink;

use std::fmt;
use std::sync::Arc;

pub use super::BorrowError;
pub use super::types::RhPlugin;
pub use crate::event::EventRef;
pub use component::{AgentFns, Component, ComponentKind, DescribeError, MapperFns, ToolsetFns};
pub use descriptor::{DescriptorError, InitError, Library, PluginDescriptor, read_descriptor};
pub use instance::{AgentInstance, InstancePtr, ToolsetInstance};
pub use mapper::{MapFault, MapperInstance, MapperState, Verdict};
pub use sink::{Answers, ServiceFailure, Sink};

use super::types;
use crate::Health;

/// What the host is for one copy of a library. The library calls it from any thread, several at a time.
///
/// Every function returns at once, without waiting. Strings are borrowed for the call and checked to be
/// UTF-8. JSON in them is not yet parsed. A panic is caught and answered as internal.
pub trait HostLibrary: Send + Sync + 'static {
    /// An event of a run, or progress of a tool call (a custom event called `progress`). The hot path.
    ///
    /// An event of a kind that this release knows has that kind's own name, whatever the library wrote.
    fn emit(&self, scope: u64, event: EventRef<'_>) -> Answer;

    /// Something that was started with `scope` has ended. Answers [`Answer::Stop`] if it is not awaited (any
    /// more); a library that had made an instance then frees it.
    ///
    /// Called perhaps before the function that started it has returned.
    fn complete(&self, scope: u64, completion: Completion) -> Answer;

    /// The library asks for a service. Answer, or refuse, through `sink`; dropping it answers as cancelled.
    fn request(&self, scope: u64, id: u64, method: &str, params: &str, sink: Sink);

    /// The library no longer wants the answer to its request `id` of `scope`.
    fn cancel(&self, scope: u64, id: u64) -> Answer;

    /// The bytes of an image of a run.
    fn image(&self, scope: u64, handle: u64) -> Option<Arc<[u8]>>;

    /// A line of the library's log.
    fn log(&self, line: LogLine<'_>);

    /// The path of the program by which the library starts processes that end with this one, as
    /// [`RhHost::child_guard`](types::RhHost::child_guard) says. Asked once.
    fn child_guard(&self) -> Option<&str> {
        None
    }

    /// How an instance is, by its own account.
    fn set_health(&self, scope: u64, health: Health) -> Answer {
        let _ = (scope, health);
        Answer::Ok
    }
}

/// The C functions by which a library calls `host`, for ever.
#[cfg(feature = "testing")]
pub(crate) fn table(host: Arc<dyn HostLibrary>) -> &'static types::RhHost {
    callbacks::table(host)
}

/// What the host answers to a library.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Accepted.
    Ok,
    /// Accepted, and the library should wait for `resume`.
    Slow,
    /// The scope is over, or was never this library's. Nothing was changed.
    Stop,
    /// An argument is not what it must be.
    Invalid,
    /// Over a limit.
    TooLarge,
    /// A fault of the host's.
    Internal,
}

impl Answer {
    /// As it crosses.
    pub const fn code(self) -> i32 {
        match self {
            Self::Ok => types::OK,
            Self::Slow => types::SLOW,
            Self::Stop => types::STOP,
            Self::Invalid => types::ERR_INVALID,
            Self::TooLarge => types::ERR_TOO_LARGE,
            Self::Internal => types::ERR_INTERNAL,
        }
    }
}

/// How something that the host started with a scope has ended.
#[derive(Debug)]
pub enum Completion {
    /// It is done.
    Finished {
        /// The instance, after `create`.
        value: Option<InstancePtr>,
        /// The result, or empty. Not yet parsed.
        json: String,
    },
    /// It saw the stop and ended for it.
    Stopped {
        /// The result, or empty. Not yet parsed.
        json: String,
    },
    /// It failed.
    Failed {
        /// How.
        kind: FailureKind,
        /// For people.
        text: String,
    },
}

/// How something has failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FailureKind {
    /// What the component itself reports as gone wrong, and what this release does not know.
    Agent,
    /// The backend knows no such session.
    SessionNotFound,
    /// The agent's own limit of iterations.
    MaxIterations,
    /// A fault that the author did not foresee; a panic too.
    Internal,
    /// The configuration does not do.
    Config,
}

impl FailureKind {
    /// From how it crosses.
    pub fn from_code(kind: u32) -> Self {
        match kind {
            types::FAILED_SESSION_NOT_FOUND => Self::SessionNotFound,
            types::FAILED_MAX_ITERATIONS => Self::MaxIterations,
            types::FAILED_INTERNAL => Self::Internal,
            types::FAILED_CONFIG => Self::Config,
            _ => Self::Agent,
        }
    }

    /// As it crosses.
    pub const fn code(self) -> u32 {
        match self {
            Self::Agent => types::FAILED_AGENT,
            Self::SessionNotFound => types::FAILED_SESSION_NOT_FOUND,
            Self::MaxIterations => types::FAILED_MAX_ITERATIONS,
            Self::Internal => types::FAILED_INTERNAL,
            Self::Config => types::FAILED_CONFIG,
        }
    }
}

/// A line of a library's log.
#[derive(Clone, Copy, Debug)]
pub struct LogLine<'a> {
    /// The scope that it belongs to, or 0.
    pub scope: u64,
    /// Its level; a level that this release does not know counts as the nearest that it does.
    pub level: tracing::Level,
    /// Where in the library, by convention the module's path.
    pub target: &'a str,
    /// The message.
    pub message: &'a str,
    /// The fields as a JSON object, or empty. Not yet parsed.
    pub fields: &'a str,
}

/// The wire type of a kind of event that this release knows, except custom.
pub fn event_name(kind: u32) -> Option<&'static str> {
    crate::event::known_name(kind)
}

/// A version of the boundary, for texts: `1.3` is the third addition to the major 1.
struct AbiVersion(u32);

impl fmt::Display for AbiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let major = types::ENTRY_SYMBOL.trim_start_matches("rh_plugin_v");
        write!(f, "{major}.{}", self.0)
    }
}
