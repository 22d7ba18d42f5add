//! Tools on an agent's behalf, and what the stream tells of them.

use std::sync::Arc;

use plugin_api::ServiceErrorCode;
use plugin_api::abi::import::ServiceFailure;
use plugin_api::wire::{self, ToolOutputData, service};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::items::ItemQueue;
use super::scope::Scope;
use super::services::{Answer, write};
use crate::plugin::ToolRequest;
use crate::protocol::{Json, RunEvent, ToolCall, ToolStarted};
use crate::spans;

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
    let event_bytes = services.settings.event_bytes;
    let room = event_bytes.checked_sub(call_id.len() + call.tool.len() + args.size());
    let Some(room) = room else {
        let text = format!("the call takes more than {event_bytes} bytes");
        return Err(ServiceFailure::failed(ServiceErrorCode::TooLarge, text));
    };
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
    let span = spans::execute_tool(&call.tool, &call_id);
    let progress = |item: &str| items.push(item.to_owned());
    let output = services
        .catalog
        .call_tool(scope.agent(), request, progress, cancel)
        .instrument(span.clone())
        .await;
    if !output.success {
        spans::failed(&span, "tool_error");
    }
    drop(span);
    let (result, metadata) = shown(&output, room);
    let ended = RunEvent::ToolCall(ToolCall {
        call_id,
        agent,
        tool: call.tool.clone(),
        args,
        result,
        success: output.success,
        is_subagent,
        metadata,
    });
    services.live.emit_own(ended).await;
    if cancel.is_cancelled() {
        Err(ServiceFailure::Cancelled)
    } else {
        write(&output)
    }
}

/// What ends a result of which the stream shows only the beginning.
const CUT: &str = " […]";

/// What the stream shows of a result: at most `room` bytes, for it is an event like any other. The agent gets all.
fn shown(output: &ToolOutputData, room: usize) -> (String, Option<Json>) {
    let text = if output.text.len() <= room {
        output.text.clone()
    } else {
        let end = output
            .text
            .floor_char_boundary(room.saturating_sub(CUT.len()));
        format!("{}{CUT}", &output.text[..end])
    };
    let metadata = output
        .metadata
        .clone()
        .map(|metadata| Json::from_value(&Value::Object(metadata)))
        .filter(|metadata| text.len() + metadata.size() <= room);
    (text, metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_shows_no_more_of_a_result_than_an_event_may_have() {
        let mut output = ToolOutputData::default();
        output.text = "ä".repeat(50);
        output.metadata = serde_json::json!({"a": 1}).as_object().cloned();
        let (text, metadata) = shown(&output, 200);
        assert_eq!((text.len(), metadata.is_some()), (100, true));
        let (text, metadata) = shown(&output, 102);
        assert_eq!((text.len(), metadata.is_some()), (100, false));
        let (text, _) = shown(&output, 51);
        assert_eq!(text, format!("{}{CUT}", "ä".repeat(22)));
        assert!(text.len() <= 51);
        assert_eq!(shown(&output, 0).0, CUT);
    }
}
