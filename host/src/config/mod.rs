//! The host's configuration: five layers, merged with figment, lowered once.
//!
//! In reading order:
//!
//! - `checked`: [`Config`], which is all that other rooms see;
//! - `fault`: [`Fault`], what is wrong with a configuration, where, and what would be right;
//! - `located`: [`Located`], a table that remembers who wrote which of its values.

mod checked;
mod fault;
mod located;

pub use checked::{
    Agent, Auth, ComponentName, Config, Heartbeat, Library, LibraryFile, Limits, Log, LogFormat,
    Mapper, Plugins, Server, Stop, Storage, Token, Toolset,
};
pub use fault::{Fault, Faults, Source};
pub use located::{Located, Place};
