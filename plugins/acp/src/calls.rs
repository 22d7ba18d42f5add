//! The tool calls of an agent, as far as it has told of them.

use std::path::Path;

use agent_client_protocol_schema::v1::{
    ContentBlock, Diff, EmbeddedResourceResource, ToolCall, ToolCallContent, ToolCallStatus,
    ToolCallUpdate,
};
use plugin_api::Event;
use plugin_api::serde_json::{Map, Value, json};

use crate::permissions::kind_name;

/// The longest result that is shown whole.
const RESULT_BYTES: usize = 256 * 1024;
/// The largest text of a difference that is shown.
const DIFF_BYTES: usize = 128 * 1024;
/// How many calls may be open at a time.
const OPEN: usize = 1000;

/// Calls that have begun and not ended, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    open: Vec<ToolCall>,
}

impl Calls {
    /// A call begins; one that is known already goes on instead.
    pub(crate) fn begin(&mut self, call: ToolCall) -> Vec<Event> {
        if self.find(&call.tool_call_id.0).is_some() {
            return self.update(call.into());
        }
        let mut events = Vec::new();
        if self.open.len() >= OPEN {
            let oldest = self.open.remove(0);
            events.push(ended(
                &oldest,
                false,
                Some("The agent has told nothing more of it."),
            ));
        }
        events.push(started(&call));
        match is_over(&call) {
            Some(success) => events.push(ended(&call, success, None)),
            None => self.open.push(call),
        }
        events
    }

    /// A call goes on or ends. One of which nothing was told begins.
    pub(crate) fn update(&mut self, update: ToolCallUpdate) -> Vec<Event> {
        let Some(at) = self
            .open
            .iter()
            .position(|call| call.tool_call_id == update.tool_call_id)
        else {
            // Of a call that has ended agents tell again now and then; it has no title any more.
            return ToolCall::try_from(update).map_or_else(|_| Vec::new(), |call| self.begin(call));
        };
        let call = &mut self.open[at];
        let before = (call.status, call.title.clone());
        let has_content = update.fields.content.is_some() || update.fields.raw_output.is_some();
        call.update(update.fields);
        if let Some(success) = is_over(call) {
            let call = self.open.remove(at);
            return vec![ended(&call, success, None)];
        }
        match has_content || before != (call.status, call.title.clone()) {
            true => vec![progress(call)],
            false => Vec::new(),
        }
    }

    pub(crate) fn find(&self, id: &str) -> Option<&ToolCall> {
        self.open.iter().find(|call| &*call.tool_call_id.0 == id)
    }

    /// The turn is over, and with it what is still open.
    pub(crate) fn end(&mut self, why: &str) -> Vec<Event> {
        let open = std::mem::take(&mut self.open);
        open.iter()
            .map(|call| ended(call, false, Some(why)))
            .collect()
    }
}

fn is_over(call: &ToolCall) -> Option<bool> {
    match call.status {
        ToolCallStatus::Completed => Some(true),
        ToolCallStatus::Failed => Some(false),
        _ => None,
    }
}

/// The name of the tool; the kind where the agent does not tell it.
pub(crate) fn name(call: &ToolCall) -> String {
    match &call.name {
        Some(name) if !name.is_empty() => name.clone(),
        _ => kind_name(call.kind).to_owned(),
    }
}

/// What it is called with; without that, what it is about.
fn args(call: &ToolCall) -> Value {
    match &call.raw_input {
        Some(input) if !input.is_null() => input.clone(),
        _ => json!({"title": call.title}),
    }
}

fn started(call: &ToolCall) -> Event {
    Event::tool_started(&*call.tool_call_id.0, name(call), args(call))
}

fn ended(call: &ToolCall, success: bool, result: Option<&str>) -> Event {
    let result = result.map_or_else(|| result_text(call), str::to_owned);
    Event::tool_call(&*call.tool_call_id.0, name(call))
        .args(args(call))
        .result(result)
        .success(success)
        .metadata(metadata(call))
        .into()
}

/// The same with nothing in it that could be too much.
pub(crate) fn short(event: &Event) -> Option<Event> {
    let cut = |text: &str| text[..text.floor_char_boundary(4096)].to_owned();
    Some(match event {
        Event::ToolStarted(event) => {
            let mut event = event.clone();
            event.tool = cut(&event.tool);
            event.call_id = cut(&event.call_id);
            event.args = json!({});
            event.into()
        }
        Event::ToolCall(event) => {
            let mut event = event.clone();
            event.tool = cut(&event.tool);
            event.call_id = cut(&event.call_id);
            event.args = json!({});
            event.result = cut(&event.result);
            event.metadata = Some(Map::from_iter([("cut".to_owned(), Value::from(true))]));
            event.into()
        }
        _ => return None,
    })
}

/// An event of the agent's own: how far a call is.
fn progress(call: &ToolCall) -> Event {
    let fields = [
        ("call_id".to_owned(), Value::from(&*call.tool_call_id.0)),
        ("tool".to_owned(), Value::from(name(call))),
        ("title".to_owned(), Value::from(call.title.clone())),
        ("status".to_owned(), json!(call.status)),
        (
            "content".to_owned(),
            Value::from(content_text(&call.content)),
        ),
    ];
    Event::custom("tool_update", Map::from_iter(fields))
}

fn metadata(call: &ToolCall) -> Map<String, Value> {
    let mut facts = Map::new();
    facts.insert("title".to_owned(), Value::from(call.title.clone()));
    facts.insert("kind".to_owned(), Value::from(kind_name(call.kind)));
    if !call.locations.is_empty() {
        facts.insert("locations".to_owned(), json!(call.locations));
    }
    let diffs = call.content.iter().filter_map(|content| match content {
        ToolCallContent::Diff(diff) => Some(difference(diff)),
        _ => None,
    });
    let diffs: Vec<_> = diffs.collect();
    if !diffs.is_empty() {
        facts.insert("diffs".to_owned(), Value::from(diffs));
    }
    // A text is the result already.
    if let Some(output @ (Value::Object(_) | Value::Array(_))) = &call.raw_output {
        facts.insert("raw_output".to_owned(), output.clone());
    }
    facts
}

fn difference(diff: &Diff) -> Value {
    let size = diff.new_text.len() + diff.old_text.as_ref().map_or(0, String::len);
    match size <= DIFF_BYTES {
        true => json!({"path": diff.path, "old_text": diff.old_text, "new_text": diff.new_text}),
        false => json!({"path": diff.path, "bytes": size}),
    }
}

/// What a call has given: its content, otherwise its output as it is.
fn result_text(call: &ToolCall) -> String {
    let text = content_text(&call.content);
    if !text.is_empty() {
        return text;
    }
    match &call.raw_output {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => cut(text.clone()),
        Some(output) => cut(output.to_string()),
    }
}

fn content_text(content: &[ToolCallContent]) -> String {
    let texts = content.iter().map(|content| match content {
        ToolCallContent::Content(content) => block_text(&content.content),
        ToolCallContent::Diff(diff) => changed(&diff.path, diff.old_text.is_none()),
        _ => String::new(),
    });
    let texts: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
    cut(texts.join("\n"))
}

fn changed(path: &Path, is_new: bool) -> String {
    match is_new {
        true => format!("Written: {}", path.display()),
        false => format!("Changed: {}", path.display()),
    }
}

fn cut(mut text: String) -> String {
    if text.len() > RESULT_BYTES {
        text.truncate(text.floor_char_boundary(RESULT_BYTES));
        text += "\n[cut]";
    }
    text
}

/// A piece of content as text: what is none is named.
pub(crate) fn block_text(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => format!("[image: {}]", image.mime_type),
        ContentBlock::Audio(audio) => format!("[audio: {}]", audio.mime_type),
        ContentBlock::ResourceLink(link) => format!("[{}]({})", link.name, link.uri),
        ContentBlock::Resource(resource) => match &resource.resource {
            EmbeddedResourceResource::TextResourceContents(text) => text.text.clone(),
            EmbeddedResourceResource::BlobResourceContents(blob) => format!("[{}]", blob.uri),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::from_value;

    use super::*;

    fn call(json: Value) -> ToolCall {
        from_value(json).unwrap()
    }

    fn update(json: Value) -> ToolCallUpdate {
        from_value(json).unwrap()
    }

    fn wire(events: &[Event]) -> Vec<Value> {
        events
            .iter()
            .map(|event| Value::Object(event.to_wire()))
            .collect()
    }

    #[test]
    fn a_call_begins_goes_on_and_ends() {
        let mut calls = Calls::default();
        let begun = calls.begin(call(
            json!({"toolCallId": "c1", "title": "Look", "kind": "read",
            "rawInput": {"path": "a"}}),
        ));
        assert_eq!(
            wire(&begun),
            [
                json!({"type": "tool_started", "call_id": "c1", "tool": "read", "args": {"path": "a"},
                "is_subagent": false})
            ]
        );
        assert!(calls.update(update(json!({"toolCallId": "c1"}))).is_empty());
        let going = calls.update(update(json!({"toolCallId": "c1", "status": "in_progress"})));
        assert_eq!(wire(&going)[0]["status"], "in_progress");
        let over = calls.update(update(
            json!({"toolCallId": "c1", "status": "completed", "content": [
            {"type": "content", "content": {"type": "text", "text": "one"}},
            {"type": "diff", "path": "/a", "oldText": "x", "newText": "y"}],
            "rawOutput": {"lines": 1}}),
        ));
        let over = &wire(&over)[0];
        assert_eq!(over["result"], "one\nChanged: /a");
        assert_eq!(over["success"], true);
        let facts = json!({"title": "Look", "kind": "read",
            "diffs": [{"path": "/a", "old_text": "x", "new_text": "y"}], "raw_output": {"lines": 1}});
        assert_eq!(over["metadata"], facts);
        // Told once more.
        assert!(
            calls
                .update(update(json!({"toolCallId": "c1", "status": "completed"})))
                .is_empty()
        );
        assert!(calls.end("x").is_empty());
    }

    #[test]
    fn a_call_that_is_told_of_once_is_whole() {
        let mut calls = Calls::default();
        let all = calls.begin(call(
            json!({"toolCallId": "c", "title": "t", "name": "grep",
            "status": "failed", "rawOutput": "no such file"}),
        ));
        let all = wire(&all);
        assert_eq!(all.len(), 2);
        assert_eq!(
            (&all[0]["tool"], &all[0]["args"]),
            (&json!("grep"), &json!({"title": "t"}))
        );
        assert_eq!(
            (&all[1]["result"], &all[1]["success"]),
            (&json!("no such file"), &json!(false))
        );
    }

    #[test]
    fn open_calls_end_with_the_turn_and_are_bounded() {
        let mut calls = Calls::default();
        for number in 0..=OPEN {
            let begun = calls.begin(call(
                json!({"toolCallId": number.to_string(), "title": "t"}),
            ));
            assert_eq!(begun.len(), 1 + usize::from(number == OPEN));
        }
        let ended = calls.end("Stopped.");
        assert_eq!(ended.len(), OPEN);
        assert_eq!(wire(&ended[..1])[0]["result"], "Stopped.");
    }
}
