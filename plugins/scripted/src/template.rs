//! Events that are emitted many times, with the index and the time filled in.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use plugin_api::Event;
use plugin_api::serde_json::Value;

const INDEX: &str = "{i}";
const TIME: &str = "{t}";

/// An event whose text may have `{i}` and `{t}` in it. One that has neither is lent as it is.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    event: Event,
    has_placeholders: bool,
    has_time: bool,
}

impl Template {
    pub(crate) fn new(mut event: Event) -> Self {
        let (mut has_index, mut has_time) = (false, false);
        for_each_string(&mut event, &mut |text| {
            has_index |= text.contains(INDEX);
            has_time |= text.contains(TIME);
        });
        Self {
            event,
            has_placeholders: has_index || has_time,
            has_time,
        }
    }

    /// The wire type of its events.
    pub(crate) fn name(&self) -> &str {
        self.event.name()
    }

    /// The event of this index, counted from 0. All `{t}` in it are one moment.
    pub(crate) fn event(&self, index: u64) -> Cow<'_, Event> {
        if !self.has_placeholders {
            return Cow::Borrowed(&self.event);
        }
        let nanos = if self.has_time { unix_nanos() } else { 0 };
        Cow::Owned(self.filled(index, nanos))
    }

    fn filled(&self, index: u64, nanos: u64) -> Event {
        match &self.event {
            // The same as below, without copying the text first.
            Event::StreamDelta(event) => Event::stream_delta(fill(&event.delta, index, nanos)),
            Event::ThinkingDelta(event) => Event::thinking_delta(fill(&event.delta, index, nanos)),
            event => {
                let mut event = event.clone();
                for_each_string(&mut event, &mut |text| {
                    if text.contains('{') {
                        *text = fill(text, index, nanos);
                    }
                });
                event
            }
        }
    }
}

fn unix_nanos() -> u64 {
    // A clock before 1970 or after 2554 is nobody's; zero is as good as any time then.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_nanos()).ok())
        .unwrap_or_default()
}

/// Decimal digits of the largest number.
const MOST_DIGITS: usize = 20;

/// The text with the numbers in the places of `{i}` and `{t}`.
fn fill(mut text: &str, index: u64, nanos: u64) -> String {
    let mut filled = String::with_capacity(text.len() + MOST_DIGITS);
    while let Some(at) = text.find('{') {
        let (before, rest) = text.split_at(at);
        filled.push_str(before);
        // Writing to a string cannot fail.
        text = if let Some(rest) = rest.strip_prefix(INDEX) {
            let _ = write!(filled, "{index}");
            rest
        } else if let Some(rest) = rest.strip_prefix(TIME) {
            let _ = write!(filled, "{nanos}");
            rest
        } else {
            filled.push('{');
            &rest[1..]
        };
    }
    filled.push_str(text);
    filled
}

/// Visits the text of an event at any depth. Names (of the event, of keys) are not text.
fn for_each_string(event: &mut Event, visit: &mut dyn FnMut(&mut String)) {
    match event {
        Event::StreamDelta(event) => visit(&mut event.delta),
        Event::ThinkingDelta(event) => visit(&mut event.delta),
        Event::TurnThinking(event) => visit(&mut event.thinking),
        Event::PlanningStatus(event) => {
            visit(&mut event.phase);
            visit(&mut event.label);
        }
        Event::PlanReady(event) => strings_of(&mut event.plan, visit),
        Event::ToolStarted(event) => {
            visit(&mut event.call_id);
            visit(&mut event.parent);
            visit(&mut event.tool);
            strings_of(&mut event.args, visit);
        }
        Event::ToolCall(event) => {
            visit(&mut event.call_id);
            visit(&mut event.parent);
            visit(&mut event.tool);
            visit(&mut event.result);
            strings_of(&mut event.args, visit);
            for value in event.metadata.iter_mut().flat_map(|map| map.values_mut()) {
                strings_of(value, visit);
            }
        }
        Event::ProfileSwitched(event) => {
            visit(&mut event.profile_id);
            visit(&mut event.profile_name);
        }
        Event::ContextCompressed(event) => visit(&mut event.summary),
        Event::StreamEnd(event) => visit(&mut event.content),
        Event::Custom(event) => {
            for value in event.fields.values_mut() {
                strings_of(value, visit);
            }
        }
        // The others have no text, or are the host's own, which it refuses whatever they say.
        _ => {}
    }
}

fn strings_of(value: &mut Value, visit: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter_mut().for_each(|item| strings_of(item, visit)),
        Value::Object(map) => map.values_mut().for_each(|item| strings_of(item, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::json;

    use super::*;

    fn template(message: Value) -> Template {
        Template::new(Event::from_wire_value(message).unwrap())
    }

    fn filled(message: Value) -> Value {
        Value::Object(template(message).filled(7, 99).to_wire())
    }

    #[test]
    fn placeholders_in_deltas_are_filled() {
        assert_eq!(
            filled(json!({"type": "stream_delta", "delta": "{i}: {t}{i} {x}{{i}"})),
            json!({"type": "stream_delta", "delta": "7: 997 {x}{7"})
        );
        assert_eq!(
            filled(json!({"type": "thinking_delta", "delta": "é{i}"})),
            json!({"type": "thinking_delta", "delta": "é7"})
        );
    }

    #[test]
    fn an_event_without_placeholders_stays_as_it_is() {
        let same = json!({"type": "stream_delta", "delta": "{} {j} i t {"});
        assert_eq!(filled(same.clone()), same);
        assert!(!template(same).has_placeholders);
    }

    #[test]
    fn text_is_filled_at_any_depth_and_names_are_not() {
        assert_eq!(
            filled(
                json!({"type": "tool_call", "tool": "t{i}", "args": {"{i}": ["{i}", {"a": "{t}"}, 1]},
                "result": "r{i}", "metadata": {"m": "{t}"}})
            ),
            json!({"type": "tool_call", "tool": "t7", "args": {"{i}": ["7", {"a": "99"}, 1]},
                "result": "r7", "success": false, "is_subagent": false, "metadata": {"m": "99"}})
        );
        assert_eq!(
            filled(json!({"type": "my{i}", "list": ["{i}"]})),
            json!({"type": "my{i}", "list": ["7"]})
        );
        assert_eq!(
            filled(json!({"type": "stream_end", "content": "{i} of them"}))["content"],
            "7 of them"
        );
    }

    #[test]
    fn the_time_is_the_present_one() {
        let before = unix_nanos();
        let template = template(json!({"type": "stream_delta", "delta": "{t}"}));
        let Event::StreamDelta(event) = template.event(0).into_owned() else {
            panic!("another event");
        };
        let time: u64 = event.delta.parse().unwrap();
        assert!((before..=unix_nanos()).contains(&time));
    }
}
