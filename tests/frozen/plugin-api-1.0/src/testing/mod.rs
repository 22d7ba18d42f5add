//! Drive an agent, a toolset or a mapper in a unit test, without a host (feature `testing`).
//!
//! ```toml
//! [dev-dependencies]
//! roundhouse-plugin-api = { path = "…", features = ["testing"] }
//! ```
//!
//! The feature belongs under `[dev-dependencies]` and nowhere else: then the library that is built has nothing of
//! this.
//!
//! ```
//! use std::time::Duration;
//!
//! use plugin_api::serde_json::json;
//! use plugin_api::testing::{Message, TestAgent, block_on};
//! use plugin_api::{
//!     AgentBackend, CreateError, Event, InstanceContext, NoConfig, Outcome, RunContext, RunError, RunRequest,
//!     ToolOutput, async_trait, tokio,
//! };
//!
//! /// Asks a tool for the weather, and is slow.
//! struct Reporter;
//!
//! #[async_trait]
//! impl AgentBackend for Reporter {
//!     type Config = NoConfig;
//!
//!     async fn create(_: NoConfig, _: InstanceContext) -> Result<Self, CreateError> {
//!         Ok(Self)
//!     }
//!
//!     async fn run(&self, request: RunRequest, ctx: RunContext) -> Result<Outcome, RunError> {
//!         let weather = ctx.call_tool("weather", json!({ "place": request.user_text })).await?.text;
//!         ctx.emit(Event::stream_delta("It is ")).await?;
//!         tokio::select! {
//!             () = ctx.stopped() => return Ok(Outcome::stopped("It is ")),
//!             () = tokio::time::sleep(Duration::from_secs(60)) => {}
//!         }
//!         ctx.emit(Event::stream_delta(weather.clone())).await?;
//!         Ok(Outcome::finished(format!("It is {weather}")))
//!     }
//! }
//!
//! # fn the_weather_is_asked_for() {
//! // In a plugin this is a `#[test]`.
//! block_on(async {
//!     let agent = TestAgent::<Reporter>::create(json!({})).await.unwrap();
//!     let question = || Message::new("Bath").tool("weather", |_| ToolOutput::text("wet"));
//!
//!     let ended = agent.run(question()).await;
//!     assert_eq!(ended.text(), "It is wet");
//!     assert_eq!(ended.tool_calls()[0].args, json!({ "place": "Bath" }));
//!     // A minute of the test's clock, and none of yours.
//!     assert_eq!(ended.elapsed(), Duration::from_secs(60));
//!
//!     let stopped = agent.run(question().stop_after_events(1)).await;
//!     assert!(stopped.outcome().is_stopped());
//!     assert_eq!(stopped.text(), "It is ");
//! });
//! # }
//! # the_weather_is_asked_for();
//! ```
//!
//! # The way it takes
//!
//! Runs and calls go through the same functions as in a library that a host has opened, JSON and C structs
//! included, and end like there: a panic fails the run, a run that ignores a stop is dropped after its grace time.
//! What a host does besides is left out: it checks configurations and arguments against their schemas, has
//! mappers look at events, and makes clients wait.
//!
//! # The clock
//!
//! [`block_on`] runs a test on tokio's paused clock: time passes only when everything waits for it, and then at
//! once, so that a test with hours in it takes none. That concerns [`tokio::time`](crate::tokio::time) and nothing
//! else: a test that waits for the outside world, a socket or a process, wants [`block_on_real_time`].

mod agent;
mod clock;
mod ended;
mod host;
mod mapper;
mod message;
mod tools;

pub use agent::{Running, TestAgent};
pub use clock::{block_on, block_on_real_time};
pub use ended::Ended;
pub use mapper::{OpenMapper, TestMapper};
pub use message::Message;
pub use tools::{Called, RunningCall, TestTool, TestTools};
