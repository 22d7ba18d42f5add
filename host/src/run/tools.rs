//! Tools on an agent's behalf, and what the stream tells of them.

use std::sync::Arc;

use plugin_api::abi::import::ServiceFailure;
use plugin_api::wire::{self, ToolOutputData, service};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::items::ItemQueue;
use super::scope::Scope;
use super::services::{Answer, write};
use crate::plugin::ToolRequest;
use crate::protocol::{Json, RunEvent, ToolCall, ToolStarted};

/// The tools that the agent may call.
pub(super) fn list(scope: &Scope) -> Answer {
    let mut list = wire::ToolList::default();
    list.tools = scope.agent().tools();
    write(&list)
}

/// Calls a tool. The stream gets `tool_started` before and `tool_call` after, whatever comes of it; a tool that
/// is unknown, not allowed or fails is an answer to the agent like any other.
pub(super) async fn call(
    scope: &Arc<Scope>,
    call: &service::ToolsCall,
    items: &Arc<ItemQueue>,
    cancel: &CancellationToken,
) -> Answer {
    let services = scope.services();
    let call_id = Uuid::new_v4().to_string();
    let args = Json::from_value(&call.args);
    let agent = scope.stream_name().map(str::to_owned);
    let is_subagent = agent.is_some();
    let started = RunEvent::ToolStarted(ToolStarted {
        call_id: call_id.clone(),
        agent: agent.clone(),
        tool: call.tool.clone(),
        args: args.clone(),
        is_subagent,
    });
    services.live.emit_own(started).await;
    let (run_id, session_id) = (
        services.live.control.id.to_string(),
        services.session.id.to_string(),
    );
    let request = ToolRequest {
        tool: &call.tool,
        args: &call.args,
        call_id: &call_id,
        run_id: &run_id,
        session_id: &session_id,
    };
    let progress = |item: &str| items.push(item.to_owned());
    let output = services
        .catalog
        .call_tool(scope.agent(), request, progress, cancel)
        .await;
    let ToolOutputData {
        text,
        success,
        metadata,
        ..
    } = &output;
    let ended = RunEvent::ToolCall(ToolCall {
        call_id,
        agent,
        tool: call.tool.clone(),
        args,
        result: text.clone(),
        success: *success,
        is_subagent,
        metadata: metadata
            .clone()
            .map(|metadata| Json::from_value(&Value::Object(metadata))),
    });
    services.live.emit_own(ended).await;
    if cancel.is_cancelled() {
        Err(ServiceFailure::Cancelled)
    } else {
        write(&output)
    }
}
