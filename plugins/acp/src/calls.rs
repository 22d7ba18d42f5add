//! The tool calls of an agent, as far as it has told of them.

use agent_client_protocol_schema::v1::{ToolCall, ToolCallContent, ToolCallStatus, ToolCallUpdate};
use plugin_api::Event;
use plugin_api::serde_json::{self, Map, Value, json};

use crate::content::{content_text, difference, result_text};
use crate::permissions::kind_name;

/// How many calls may be open at a time.
const OPEN: usize = 100;
/// How much is kept of one.
const CALL_BYTES: usize = 2 * 1024 * 1024;

/// Calls that have begun and not ended, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    call: ToolCall,
    /// Whether its beginning was shown.
    is_shown: bool,
}

impl Open {
    /// Lets go of what is too much to be shown and to be kept.
    fn trim(&mut self) {
        let size = serde_json::to_string(&self.call).map_or(0, |json| json.len());
        if size > CALL_BYTES {
            let title = std::mem::take(&mut self.call.title);
            let title = title[..title.floor_char_boundary(1024)].to_owned();
            let (kind, status) = (self.call.kind, self.call.status);
            self.call = ToolCall::new(self.call.tool_call_id.clone(), title)
                .kind(kind)
                .status(status)
                .content(vec![format!("[{size} bytes, too much to be shown]").into()]);
        }
    }

    /// The beginning, if it was not shown.
    fn show(&mut self, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.is_shown, true) {
            events.push(started(&self.call));
        }
    }
}

impl Calls {
    /// A call begins; one that is known already goes on instead.
    pub(crate) fn begin(&mut self, call: ToolCall) -> Vec<Event> {
        if self.find(&call.tool_call_id.0).is_some() {
            return self.update(call.into());
        }
        let mut events = Vec::new();
        if self.open.len() >= OPEN {
            let mut oldest = self.open.remove(0);
            oldest.show(&mut events);
            let why = "The agent has told nothing more of it.";
            events.push(ended(&oldest.call, false, Some(why)));
        }
        let mut open = Open {
            call,
            is_shown: false,
        };
        open.trim();
        // Some agents tell of a call while the model is still writing its input, and of the input when it is there.
        if !is_being_written(&open.call) {
            open.show(&mut events);
        }
        match is_over(&open.call) {
            Some(success) => events.push(ended(&open.call, success, None)),
            None => self.open.push(open),
        }
        events
    }

    /// A call goes on or ends. One of which nothing was told begins.
    pub(crate) fn update(&mut self, update: ToolCallUpdate) -> Vec<Event> {
        let id = &update.tool_call_id;
        let Some(at) = self
            .open
            .iter()
            .position(|open| open.call.tool_call_id == *id)
        else {
            // Of a call that has ended agents tell again now and then; it has no title any more.
            return ToolCall::try_from(update).map_or_else(|_| Vec::new(), |call| self.begin(call));
        };
        let open = &mut self.open[at];
        let before = (open.call.status, open.call.title.clone());
        let has_content = update.fields.content.is_some() || update.fields.raw_output.is_some();
        open.call.update(update.fields);
        open.trim();
        let mut events = Vec::new();
        if is_being_written(&open.call) {
            return events;
        }
        let was_shown = open.is_shown;
        open.show(&mut events);
        if let Some(success) = is_over(&open.call) {
            let open = self.open.remove(at);
            events.push(ended(&open.call, success, None));
        } else if was_shown
            && (has_content || before != (open.call.status, open.call.title.clone()))
        {
            events.push(progress(&open.call));
        }
        events
    }

    /// The agent asks leave for a call, which it tells with what it asks.
    pub(crate) fn asked_for(&mut self, update: ToolCallUpdate) -> Vec<Event> {
        let id = update.tool_call_id.clone();
        let mut events = self.update(update);
        if let Some(open) = self
            .open
            .iter_mut()
            .find(|open| open.call.tool_call_id == id)
        {
            open.show(&mut events);
        }
        events
    }

    pub(crate) fn find(&self, id: &str) -> Option<&ToolCall> {
        let mut calls = self.open.iter().map(|open| &open.call);
        calls.find(|call| &*call.tool_call_id.0 == id)
    }

    /// The turn is over, and with it what is still open.
    pub(crate) fn end(&mut self, why: &str) -> Vec<Event> {
        let mut events = Vec::new();
        for mut open in std::mem::take(&mut self.open) {
            open.show(&mut events);
            events.push(ended(&open.call, false, Some(why)));
        }
        events
    }
}

/// Whether its input is there, and empty, and it has not begun to do anything.
fn is_being_written(call: &ToolCall) -> bool {
    call.status == ToolCallStatus::Pending && call.raw_input.as_ref().is_some_and(is_empty)
}

fn is_empty(input: &Value) -> bool {
    input.as_object().is_some_and(Map::is_empty)
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
        Some(input) if !input.is_null() && !is_empty(input) => input.clone(),
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
    fn a_call_whose_input_is_still_being_written_is_shown_with_it() {
        let mut calls = Calls::default();
        let early = json!({"toolCallId": "c", "title": "Write", "kind": "edit", "rawInput": {}});
        assert!(calls.begin(call(early.clone())).is_empty());
        assert!(
            calls
                .update(update(json!({"toolCallId": "c", "title": "Write a"})))
                .is_empty()
        );
        let begun = calls.update(update(
            json!({"toolCallId": "c", "rawInput": {"path": "a"}}),
        ));
        let begun = wire(&begun);
        assert_eq!((begun.len(), &begun[0]["args"]), (1, &json!({"path": "a"})));
        assert_eq!(wire(&calls.end("x"))[0]["type"], "tool_call");
        // At the latest when something comes of it.
        for late in [
            json!({"status": "in_progress"}),
            json!({"status": "completed"}),
        ] {
            calls.begin(call(early.clone()));
            let mut late = late;
            late["toolCallId"] = json!("c");
            let events = wire(&calls.update(update(late)));
            assert_eq!(
                (&events[0]["type"], &events[0]["args"]),
                (&json!("tool_started"), &json!({"title": "Write"}))
            );
            calls.end("x");
        }
        calls.begin(call(early.clone()));
        assert_eq!(
            wire(&calls.asked_for(update(json!({"toolCallId": "c"})))).len(),
            1
        );
        calls.end("x");
        calls.begin(call(early));
        assert_eq!(wire(&calls.end("x")).len(), 2);
    }

    #[test]
    fn what_is_too_much_is_not_kept() {
        let mut calls = Calls::default();
        calls.begin(call(
            json!({"toolCallId": "c", "title": "t", "kind": "edit"}),
        ));
        let much =
            json!({"toolCallId": "c", "status": "completed", "rawOutput": "x".repeat(CALL_BYTES)});
        let over = wire(&calls.update(update(much)));
        let result = over[0]["result"].as_str().unwrap();
        assert!(result.ends_with("bytes, too much to be shown]"), "{result}");
        assert_eq!(
            (&over[0]["success"], &over[0]["tool"]),
            (&json!(true), &json!("edit"))
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
