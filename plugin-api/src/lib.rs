//! Write agents, tools and event mappers for the Roundhouse plugin host.

#![warn(missing_docs)]

pub mod abi;
mod agent;
mod error;
mod event;
mod export_macro;
mod ids;
mod instance;
mod mapper;
mod run_context;
mod secret;
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
pub use wire::{FileInfo, HistoryTurn, Part, SubagentInfo};

pub use async_trait::async_trait;
pub use {schemars, serde, serde_json, tokio, tracing};
