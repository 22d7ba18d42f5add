//! The JSON that crosses the boundary, as Rust types.
//!
//! This JSON is part of the ABI. Fields are only ever added and every field is optional, so that either
//! side may be the newer one: a reader ignores fields that it does not know, takes a missing field for its
//! default, and tolerates values that it does not know. To build one outside this crate start from
//! `Default` and set the fields.
//!
//! | where | type |
//! | --- | --- |
//! | `describe` of a component | [`ComponentDescription`] |
//! | `create` | [`InstanceParams`] |
//! | `run` of an agent, and its outcome | [`RunParams`], [`OutcomeData`] |
//! | `list` of a toolset | [`ToolList`] |
//! | `call` of a toolset, and its result | [`ToolCallParams`], [`ToolOutputData`] |
//! | `open` of a mapper | [`MapperParams`] |
//! | `request` | the methods in [`service`] |
//!
//! Events are the exception: they cross as C structs. [`Event`](crate::Event) has their JSON form.

mod instance;
mod run;
pub mod service;
mod tool;

pub use instance::{ComponentDescription, InstanceParams, MapperParams};
pub use run::{FileInfo, ImageInfo, OutcomeData, RunParams, SubagentInfo};
pub use service::{HistoryPage, HistoryQuery, HistoryTurn, ServiceErrorData};
pub use tool::{Part, ToolCallParams, ToolList, ToolOutputData, ToolSpecData};

/// The JSON Schemas (2020-12) of everything in this module, by file name without extension.
pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
    use schemars::schema_for;
    vec![
        ("component-description", schema_for!(ComponentDescription)),
        ("instance-params", schema_for!(InstanceParams)),
        ("mapper-params", schema_for!(MapperParams)),
        ("run-params", schema_for!(RunParams)),
        ("outcome", schema_for!(OutcomeData)),
        ("tool-list", schema_for!(ToolList)),
        ("tool-call-params", schema_for!(ToolCallParams)),
        ("tool-output", schema_for!(ToolOutputData)),
        ("service-error", schema_for!(ServiceErrorData)),
        ("service-tools-call", schema_for!(service::ToolsCall)),
        ("service-agents-run", schema_for!(service::AgentsRun)),
        (
            "service-agents-run-answer",
            schema_for!(service::AgentsRunAnswer),
        ),
        ("service-history-image", schema_for!(service::HistoryImage)),
        ("service-history-list", schema_for!(HistoryQuery)),
        ("service-history-list-answer", schema_for!(HistoryPage)),
        ("service-state-get", schema_for!(service::StateGet)),
        (
            "service-state-get-answer",
            schema_for!(service::StateGetAnswer),
        ),
        ("service-state-put", schema_for!(service::StatePut)),
        (
            "service-state-put-answer",
            schema_for!(service::StatePutAnswer),
        ),
        ("service-memory-put", schema_for!(service::MemoryPut)),
        (
            "service-memory-put-answer",
            schema_for!(service::MemoryPutAnswer),
        ),
        ("service-memory-get", schema_for!(service::MemoryGet)),
        (
            "service-memory-get-answer",
            schema_for!(service::MemoryGetAnswer),
        ),
        ("service-memory-search", schema_for!(service::MemorySearch)),
        (
            "service-memory-search-answer",
            schema_for!(service::MemorySearchAnswer),
        ),
        ("service-memory-delete", schema_for!(service::MemoryDelete)),
        (
            "service-memory-delete-answer",
            schema_for!(service::MemoryDeleteAnswer),
        ),
    ]
}
