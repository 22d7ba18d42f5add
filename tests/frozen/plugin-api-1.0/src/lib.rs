//! Write agents, tools and event mappers for the Roundhouse plugin host.
//!
//! A plugin is a dynamic library with any number of components. Which of them are used, under which names and
//! with what configuration, is the operator's choice; an author writes ordinary async Rust. All of a plugin, to
//! begin with `Cargo.toml` (`roundhouse plugin new` makes such a project, with tests and a configuration):
//!
//! ```toml
//! [package]
//! name = "greeter"
//! version = "0.1.0"
//! edition = "2024"
//!
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! roundhouse-plugin-api = { path = "/path/to/roundhouse/plugin-api" }
//! ```
//!
//! and `src/lib.rs`:
//!
//! ```rust,standalone_crate
//! use plugin_api::schemars::JsonSchema;
//! use plugin_api::serde::Deserialize;
//! use plugin_api::{
//!     AgentBackend, CreateError, Event, InstanceContext, Outcome, RunContext, RunError, RunRequest, async_trait,
//!     tracing,
//! };
//!
//! /// Greets, word by word.
//! struct Greeter {
//!     config: Config,
//! }
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(crate = "plugin_api::serde", deny_unknown_fields)]
//! #[schemars(crate = "plugin_api::schemars")]
//! struct Config {
//!     /// What to say first.
//!     greeting: String,
//! }
//!
//! impl Config {
//!     fn answer(&self, name: &str) -> String {
//!         format!("{}, {name}!", self.greeting)
//!     }
//! }
//!
//! #[async_trait]
//! impl AgentBackend for Greeter {
//!     type Config = Config;
//!     const SUMMARY: &'static str = "Greets whoever says their name.";
//!
//!     async fn create(config: Config, ctx: InstanceContext) -> Result<Self, CreateError> {
//!         if config.greeting.is_empty() {
//!             return Err(CreateError::config("greeting: must not be empty"));
//!         }
//!         tracing::info!("{} is ready", ctx.name());
//!         Ok(Self { config })
//!     }
//!
//!     async fn run(&self, request: RunRequest, ctx: RunContext) -> Result<Outcome, RunError> {
//!         let answer = self.config.answer(&request.content);
//!         for word in answer.split_inclusive(' ') {
//!             if ctx.is_stopped() {
//!                 return Ok(Outcome::stopped(answer));
//!             }
//!             ctx.emit(Event::stream_delta(word)).await?;
//!         }
//!         Ok(Outcome::finished(answer))
//!     }
//! }
//!
//! plugin_api::export! {
//!     agents: { "greeter" => Greeter },
//! }
//!
//! # // In a plugin this is `#[test] fn …`.
//! # fn the_answer_has_the_name() {
//! let config = Config { greeting: "Good morning".to_owned() };
//! assert_eq!(config.answer("Alice"), "Good morning, Alice!");
//! # }
//! #
//! # // Below, the whole of it is loaded and run as the host does, where the host's side is compiled in.
//! # fn main() {
//! #     the_answer_has_the_name();
//! #     #[cfg(feature = "host")]
//! #     host::runs_it();
//! # }
//! # #[cfg(feature = "host")]
//! # mod host {
//! #     use plugin_api::abi::import::*;
//! #     use std::sync::{Arc, mpsc};
//! #     unsafe extern "C" {
//! #         fn rh_plugin_v1() -> *const RhPlugin;
//! #     }
//! #     struct Host(mpsc::Sender<Result<String, Completion>>);
//! #     impl HostLibrary for Host {
//! #         fn emit(&self, scope: u64, event: EventRef<'_>) -> Answer {
//! #             assert_eq!((scope, event.name), (2, "stream_delta"));
//! #             self.0.send(Ok(event.text.to_owned())).unwrap();
//! #             Answer::Ok
//! #         }
//! #         fn complete(&self, _: u64, completion: Completion) -> Answer {
//! #             self.0.send(Err(completion)).unwrap();
//! #             Answer::Ok
//! #         }
//! #         fn request(&self, _: u64, _: u64, _: &str, _: &str, _: Sink) {}
//! #         fn cancel(&self, _: u64, _: u64) -> Answer {
//! #             Answer::Ok
//! #         }
//! #         fn image(&self, _: u64, _: u64) -> Option<Arc<[u8]>> {
//! #             None
//! #         }
//! #         fn log(&self, _: LogLine<'_>) {}
//! #     }
//! #     pub fn runs_it() {
//! #         let (sender, receiver) = mpsc::channel();
//! #         let next = || receiver.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
//! #         let plugin = unsafe { read_descriptor(rh_plugin_v1()) }.unwrap();
//! #         plugin.init(Arc::new(Host(sender))).unwrap();
//! #         let ComponentKind::Agent(agent) = plugin.components[0].kind else { panic!() };
//! #         agent.create(1, r#"{"greeting":"Good morning"}"#, "{}");
//! #         let Err(Completion::Finished { value: Some(instance), .. }) = next() else { panic!() };
//! #         let agent = unsafe { agent.instance(instance) };
//! #         agent.run(2, r#"{"content":"Alice"}"#);
//! #         let texts = [next().unwrap(), next().unwrap(), next().unwrap()];
//! #         assert_eq!(texts, ["Good ", "morning, ", "Alice!"]);
//! #         let Err(Completion::Finished { json, .. }) = next() else { panic!() };
//! #         assert!(json.contains("Good morning, Alice!"));
//! #     }
//! # }
//! ```
//!
//! The operator configures it as
//!
//! ```toml
//! [plugins.libraries.greeter]
//! file = "target/release/libgreeter.so"
//!
//! [agents.morning]
//! component = "greeter/greeter"
//! config = { greeting = "Good morning" }
//! ```
//!
//! # What to know
//!
//! - **Components.** An [`AgentBackend`] answers users. A [`Tool`] is called by agents, a [`Toolset`] is any
//!   number of tools. An [`EventMapper`] changes events on their way to the clients. [`export!`] lists them.
//! - **Configuration** is any type that serde reads and schemars describes; [`NoConfig`] is none. The host
//!   checks it against the schema before `create`. A [`Secret`] is printed by nothing.
//! - **Events.** [`RunContext::emit`] shows an [`Event`] to whoever watches; it waits while they cannot keep up.
//!   The first and the last message of a run are the host's; a run returns an [`Outcome`] or a [`RunError`].
//! - **Stop.** [`RunContext::stopped`] resolves when the run should end; `select!` on it around whatever takes
//!   long. A run that goes on after the grace time is dropped where it awaits. `?` on an `emit` ends a run that
//!   is over properly.
//! - **The host's services**: [`RunContext::call_tool`], [`RunContext::run_agent`], [`RunContext::history`],
//!   [`RunContext::state_get`] and [`RunContext::state_put`], and what is remembered for a user:
//!   [`RunContext::memory_put`], [`RunContext::memory_search`].
//! - **Threads.** Futures run on a tokio runtime of the library's own, with at most four workers: the usual
//!   crates work, and what blocks belongs into [`tokio::task::spawn_blocking`]. Tasks of one's own may outlive a
//!   run; what they emit then is refused. They end with the library's last instance.
//! - **Logs** are plain [`tracing`] events; the host adds to which run they belong.
//! - **Panics** fail the one run, call or instance. Do not build with `panic = "abort"`: such a library is
//!   refused.
//! - **Tests.** With the feature `testing`, under `[dev-dependencies]`, the module `testing` drives an agent, a
//!   toolset or a mapper in a unit test.
//! - **Versions.** The library has a C interface ([`abi`]); compiler, allocator and the version of any crate may
//!   differ from the host's.
//!
//! What an author needs of other crates is here too: [`async_trait`](macro@async_trait), [`serde`], [`serde_json`], [`schemars`],
//! [`tokio`] and [`tracing`].

#![warn(missing_docs)]

pub mod abi;
mod agent;
mod error;
mod event;
mod ids;
mod instance;
mod mapper;
mod memory;
mod run_context;
mod secret;
#[cfg(feature = "testing")]
pub mod testing;
mod tool;
pub mod wire;

pub use agent::{AgentBackend, Image, Outcome, RunRequest};
pub use error::{
    CreateError, EmitError, ImageError, RunError, ServiceError, ServiceErrorCode, ToolError,
};
pub use event::{
    ContextCompressed, Custom, Event, EventError, EventKinds, EventRef, PlanReady, PlanningStatus,
    ProfileSwitched, RunFailed, StreamDelta, StreamEnd, StreamStopped, ThinkingDelta, ThinkingEnd,
    ToolCallEvent, ToolStarted, TurnThinking,
};
pub use ids::{CallId, RunId, SessionId};
pub use instance::{InstanceContext, NoConfig};
pub use mapper::{EventMapper, MapEvents, Mapped, MapperRun};
pub use run_context::{History, RunContext, StateEntry, SubagentOutcome};
pub use secret::Secret;
#[doc(hidden)]
pub use tool::SingleTool;
pub use tool::{Tool, ToolCall, ToolContext, ToolOutput, ToolSpec, Toolset};
pub use wire::service::MemoryEntry;
pub use wire::{FileInfo, HistoryTurn, Part, SubagentInfo};

pub use async_trait::async_trait;
pub use {schemars, serde, serde_json, tokio, tracing};
