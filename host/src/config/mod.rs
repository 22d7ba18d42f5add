//! The host's configuration: layers merged with figment, lowered once to a checked form.
//!
//! In reading order:
//!
//! - `loader`: [`Loader`] finds the layers and has them merged and checked;
//! - `layers`: the merge, which keeps for every value the layer that wrote it; `toml_file` and
//!   `environment` read the layers;
//! - `raw`: the configuration as it is written, and so its published [`schema`](schema());
//!   `values` holds the durations and sizes in it;
//! - `validate`: every breach of the schema, in words, at once;
//! - `lower`: from raw to checked, with the checks that a schema cannot make;
//! - `checked`: [`Config`], which is all that other rooms see;
//! - `fault`: [`Fault`], what is wrong, where, and what would be right;
//! - `located`: [`Located`], a table that remembers who wrote which of its values.

mod checked;
mod environment;
mod fault;
mod layers;
mod loader;
mod located;
mod lower;
mod origin;
mod raw;
mod schema;
#[cfg(test)]
mod tests;
mod toml_file;
mod validate;
mod values;

pub use checked::{
    Agent, Auth, ComponentName, Config, Confinement, FileRules, Heartbeat, Isolation, Library,
    LibraryFile, Limits, Log, LogFormat, Mapper, Metrics, Plugins, Reload, Server, Stop, Storage,
    Telemetry, Token, Toolset,
};
pub use fault::{Fault, Faults, Source};
pub use loader::{DEFAULT_FILE, Loader};
pub(crate) use located::step;
pub use located::{Located, Place};
pub use schema::schema;
pub use validate::{Breach, breaches};
