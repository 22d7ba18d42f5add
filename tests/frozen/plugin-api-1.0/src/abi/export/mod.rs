//! The plugin's side: C functions made from an author's types.
//!
//! What the macro calls is in [`component`]; the rest is how it works:
//!
//! - `host`: the host's functions, each behind a safe one;
//! - `scope`: a run, call or instance as the library sees it; `requests`: the services it asks for;
//! - `runtime`: the library's own threads; `drive`: the author's futures on them, ending in exactly one `complete`;
//! - `instances`: the table by which instances are named across the boundary;
//! - `agent`, `toolset`, `mapper`: the functions of each kind of component;
//! - `logging`: the author's `tracing` events;
//! - `in_memory` (feature `testing`): the author's types without a library around them.

mod agent;
pub mod component;
mod drive;
mod host;
#[cfg(feature = "testing")]
pub(crate) mod in_memory;
mod instances;
mod lifecycle;
mod logging;
mod mapper;
mod requests;
mod runtime;
mod scope;
mod toolset;

pub use scope::Scope;
