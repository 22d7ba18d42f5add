//! What the end-to-end tests are made of: the real host, real plugin libraries, real sockets.
//!
//! - [`host`]: [`TestHost`], the host in this process on a port of its own
//! - [`installed`]: programs that somebody else wrote
//! - [`c`]: the plugin in C
//! - [`client`]: [`Client`], a WebSocket client that checks every frame it sends and gets
//! - [`frame`]: a frame, and what frames add up to
//! - [`model`]: [`ModelServer`], a model behind an OpenAI-compatible API
//! - [`mcp`]: servers that speak the Model Context Protocol
//! - [`order`], [`positions`]: the order in which frames may come, in version 1 and 2, checked in every test
//! - [`schema`]: the published schemas
//! - [`mod@script`]: messages for the agent `scripted`
//! - [`processes`]: other processes, as the system shows them
//! - [`mod@programs`]: the programs that tests start
//! - [`proxy`]: [`Proxy`], a bad network
//! - [`puppet`]: an agent that a test leads by the hand
//! - [`rest`]: the HTTP side
//! - [`sse`]: a session's events over HTTP
//! - [`wait`]: waiting for a state, never for a time

pub mod c;
pub mod client;
pub mod frame;
pub mod host;
pub mod installed;
pub mod mcp;
pub mod model;
pub mod order;
pub mod positions;
pub mod processes;
pub mod programs;
pub mod proxy;
pub mod puppet;
pub mod rest;
pub mod schema;
pub mod script;
pub mod sse;
pub mod wait;

pub use c::compile_c;
pub use client::{Client, Close, Greeting};
pub use frame::{Frame, events, fold, text_of};
pub use host::TestHost;
pub use model::ModelServer;
pub use positions::Position;
pub use processes::is_gone;
pub use programs::programs;
pub use proxy::Proxy;
pub use puppet::{Puppet, Strings};
pub use rest::{Answer, Rest, http_client};
pub use script::script;
pub use wait::{PATIENCE, soon, until};
