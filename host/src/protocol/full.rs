//! The form in which events are stored: what version 1 sends, and the fields that it leaves out.

use super::event::RunEvent;

/// Appends `event` to `out` as one JSON object, `type` its first key.
pub(super) fn encode(event: &RunEvent, out: &mut Vec<u8>) {
    event.encode_v1(out);
    let (call_id, agent) = match event {
        RunEvent::ToolStarted(call) => (&call.call_id, &call.agent),
        RunEvent::ToolCall(call) => (&call.call_id, &call.agent),
        _ => return,
    };
    // The object is opened again at its closing brace.
    out.pop();
    if !call_id.is_empty() {
        field(out, r#","call_id":"#, call_id);
    }
    if let Some(agent) = agent {
        field(out, r#","agent":"#, agent);
    }
    out.push(b'}');
}

fn field(out: &mut Vec<u8>, key: &str, value: &str) {
    out.extend_from_slice(key.as_bytes());
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "writing a string to memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::super::{Json, ToolStarted};
    use super::*;

    #[test]
    fn a_call_keeps_its_id_and_its_agent() {
        let started = |agent: Option<&str>| {
            let mut out = Vec::new();
            let call = ToolStarted {
                call_id: "c\"1".to_owned(),
                agent: agent.map(str::to_owned),
                tool: "t".to_owned(),
                args: Json::empty_object(),
                is_subagent: agent.is_some(),
            };
            encode(&RunEvent::ToolStarted(call), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            started(None),
            r#"{"type":"tool_started","tool":"t","args":{},"is_subagent":false,"call_id":"c\"1"}"#
        );
        assert_eq!(
            started(Some("a")),
            r#"{"type":"tool_started","tool":"t","args":{},"is_subagent":true,"call_id":"c\"1","agent":"a"}"#
        );
    }
}
