//! Events that are emitted many times, with the index and the time filled in.

use std::time::{SystemTime, UNIX_EPOCH};

use plugin_api::Event;
use plugin_api::serde_json::Value;

const INDEX: &str = "{i}";
const TIME: &str = "{t}";

/// An event whose text may have `{i}` and `{t}` in it. What can be done once is done when it is made: an event
/// without them is only cloned, a delta with them only put together.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    event: Event,
    fill: Fill,
    has_time: bool,
}

#[derive(Clone, Debug)]
enum Fill {
    Nothing,
    StreamDelta(Pattern),
    ThinkingDelta(Pattern),
    EveryString,
}

impl Template {
    pub(crate) fn new(mut event: Event) -> Self {
        let (mut has_index, mut has_time) = (false, false);
        for_each_string(&mut event, &mut |text| {
            has_index |= text.contains(INDEX);
            has_time |= text.contains(TIME);
        });
        let fill = match &event {
            _ if !has_index && !has_time => Fill::Nothing,
            Event::StreamDelta(event) => Fill::StreamDelta(Pattern::new(&event.delta)),
            Event::ThinkingDelta(event) => Fill::ThinkingDelta(Pattern::new(&event.delta)),
            _ => Fill::EveryString,
        };
        Self {
            event,
            fill,
            has_time,
        }
    }

    /// The wire type of its events.
    pub(crate) fn name(&self) -> &str {
        self.event.name()
    }

    /// The event of this index, counted from 0. All `{t}` in it are one moment.
    pub(crate) fn event(&self, index: u64) -> Event {
        let nanos = if self.has_time { unix_nanos() } else { 0 };
        self.filled(index, nanos)
    }

    fn filled(&self, index: u64, nanos: u64) -> Event {
        match &self.fill {
            Fill::Nothing => self.event.clone(),
            Fill::StreamDelta(pattern) => Event::stream_delta(pattern.fill(index, nanos)),
            Fill::ThinkingDelta(pattern) => Event::thinking_delta(pattern.fill(index, nanos)),
            Fill::EveryString => {
                let mut event = self.event.clone();
                for_each_string(&mut event, &mut |text| {
                    if text.contains(INDEX) || text.contains(TIME) {
                        *text = Pattern::new(text).fill(index, nanos);
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

/// A text cut at its placeholders.
#[derive(Clone, Debug)]
struct Pattern {
    parts: Vec<Part>,
    /// Bytes of the text between the placeholders and of the longest that a usual filling takes.
    len: usize,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Index,
    Time,
}

impl Pattern {
    fn new(mut text: &str) -> Self {
        let mut parts = Vec::new();
        while let Some(at) = text
            .match_indices('{')
            .map(|(at, _)| at)
            .find(|&at| text[at..].starts_with(INDEX) || text[at..].starts_with(TIME))
        {
            let (before, rest) = text.split_at(at);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(if rest.starts_with(INDEX) {
                Part::Index
            } else {
                Part::Time
            });
            text = &rest[INDEX.len()..];
        }
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        let len = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Index | Part::Time => 20,
        };
        let len = parts.iter().map(len).sum();
        Self { parts, len }
    }

    fn fill(&self, index: u64, nanos: u64) -> String {
        use std::fmt::Write;
        let mut text = String::with_capacity(self.len);
        for part in &self.parts {
            // Writing to a string cannot fail.
            let _ = match part {
                Part::Text(part) => {
                    text.push_str(part);
                    Ok(())
                }
                Part::Index => write!(text, "{index}"),
                Part::Time => write!(text, "{nanos}"),
            };
        }
        text
    }
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
        assert!(matches!(template(same).fill, Fill::Nothing));
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
        let Event::StreamDelta(event) =
            template(json!({"type": "stream_delta", "delta": "{t}"})).event(0)
        else {
            panic!("another event");
        };
        let time: u64 = event.delta.parse().unwrap();
        assert!((before..=unix_nanos()).contains(&time));
    }
}
