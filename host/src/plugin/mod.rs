//! Plugins: from a configured file to agents that run, tools that are called and mappers that map.
//!
//! In reading order:
//!
//! - `search` and `staging`: where a library is found, and the copy of it that is opened; `elf` tells one
//!   that was cut short; `library` opens it;
//! - `opening`: how long that is waited for;
//! - `loader`: its descriptor (`descriptor`), and each use of its components against their own schemas (`schema`,
//!   `secrets`, `component`);
//! - `maker`: the instances made in one opened copy (`lifecycle`), `instances` and who uses them (`gate`), together
//!   a `library_copy`; `slot`: which copy of a plugin serves, and a fresh one when that is stuck;
//! - `load`: all of a configuration's plugins together, of which `plan` tells which have to be opened; `assemble`: a
//!   [`Catalog`] of them; `changes`: what is different from the one before;
//! - `generation`: what is told of an opened copy; `generations`: all of a host, and the end of those that nobody uses;
//! - [`Agent`] starts runs ([`RunHandle`]), `tools` calls tools (`listing`, `patterns`), `chain` maps events, and `clock`
//!   sees when that takes too long;
//! - `library_host`: what a library may ask of the host, by its scopes (`scopes`, `latest`), and what those stand for (`entry`); `logs`: its log lines; `health`: how its instances are;
//!   `signals`: what it is told;
//! - [`inspect`]: a look at a library that makes no instance; `probe`: one that is opened to be examined.

mod agent;
mod assemble;
mod backing;
mod catalog;
mod chain;
mod changes;
mod clock;
mod component;
mod descriptor;
mod elf;
mod entry;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod generation;
mod generations;
mod handle;
mod health;
mod inspect;
mod instances;
mod latest;
mod library;
mod library_copy;
mod library_host;
mod lifecycle;
mod listing;
mod load;
mod loader;
mod logs;
mod maker;
mod opening;
mod patterns;
mod plan;
mod probe;
mod run_handle;
mod schema;
mod scopes;
mod search;
mod secrets;
mod signals;
mod slot;
mod staging;
mod tools;
#[doc(hidden)]
pub mod worker;

pub use agent::{Agent, StartError};
pub use catalog::{Catalog, PluginState, PluginStatus};
pub use chain::{Mapped, MapperChain, MapperFault, event_size};
pub use changes::{ChangeKind, PluginChange};
pub use clock::{ChainWatch, MAP_BUDGET};
pub use component::ComponentKind;
pub use generation::{GenerationState, GenerationStatus};
pub use generations::GenerationCount;
pub use inspect::{InspectError, Inspection, inspect};
pub use library::OpenError;
pub(crate) use library::hex;
pub use library_host::RunHost;
pub use lifecycle::INSTANCE_DEADLINE;
pub use load::{CatalogError, load, reload};
pub use loader::{ComponentInfo, LoadError};
pub use plugin_api::abi::import::{Answer, EventRef, FailureKind, ServiceFailure, Sink};
pub(crate) use probe::{Configured, Probe, Probed, configuration};
pub use run_handle::{RunEnd, RunHandle};
pub(crate) use schema::Schema;
pub use search::{SearchError, SearchPath};
pub use slot::{COPIES_OPENED, STUCK_WORKERS, WorkerStatus};
pub use staging::{StageError, StagingError};
pub use tools::{ToolEntry, ToolRequest, ToolsetStatus};
