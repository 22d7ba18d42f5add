//! The event mapper `redact`: it masks what matches the operator's patterns in what tools get and give.
//!
//! It sees `tool_started` and `tool_call`, and masks in their arguments, results and metadata, at any depth:
//! strings, keys of objects, and numbers (a number that matches becomes a string). Every other event, the
//! answer's text among them, passes as it is and costs nothing.
//!
//! Each pattern is applied to what the one before it has left. A pattern sees one string at a time, so a
//! secret that a tool gives in two strings is not found.

#![warn(missing_docs)]

mod mask;

use std::sync::Arc;

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{CreateError, Event, EventKinds, EventMapper, MapEvents, Mapped, MapperRun};

use mask::Masker;

plugin_api::export! {
    mappers: { "redact" => Redact },
}

/// The mapper.
#[derive(Debug)]
pub struct Redact {
    masker: Arc<Masker>,
}

/// What can be configured.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct RedactConfig {
    /// Regular expressions for what to mask, in the syntax of the Rust library `regex`: `(?i)` for any case,
    /// no look-around. At least one.
    #[schemars(length(min = 1))]
    pub patterns: Vec<String>,
    /// What stands in the place of each match, as it is.
    #[serde(default = "default_replacement")]
    pub replacement: String,
}

fn default_replacement() -> String {
    "[redacted]".to_owned()
}

impl EventMapper for Redact {
    type Config = RedactConfig;

    const SUMMARY: &'static str = "Masks configured patterns in arguments and results of tools.";

    fn create(config: RedactConfig) -> Result<Self, CreateError> {
        let masker = Masker::new(&config.patterns, config.replacement)?;
        Ok(Self {
            masker: Arc::new(masker),
        })
    }

    fn kinds(&self) -> EventKinds {
        EventKinds::TOOL_STARTED | EventKinds::TOOL_CALL
    }

    fn open(&self, _run: &MapperRun) -> Box<dyn MapEvents> {
        let masker = Arc::clone(&self.masker);
        Box::new(move |event| map(&masker, event))
    }
}

fn map(masker: &Masker, mut event: Event) -> Mapped {
    let changed = match &mut event {
        Event::ToolStarted(started) => masker.mask_value(&mut started.args),
        Event::ToolCall(call) => {
            let args = masker.mask_value(&mut call.args);
            let result = masker.mask_text(&mut call.result);
            let metadata = match &mut call.metadata {
                Some(metadata) => masker.mask_object(metadata),
                None => false,
            };
            args || result || metadata
        }
        _ => false,
    };
    if changed {
        Mapped::replace(event)
    } else {
        Mapped::Pass
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::{self, Value, json};
    use plugin_api::testing::TestMapper;

    use super::*;

    fn mapper(config: Value) -> Result<Redact, String> {
        let config = serde_json::from_value(config).map_err(|error| error.to_string())?;
        Redact::create(config).map_err(|error| error.to_string())
    }

    /// What a client gets to see in the place of an event; the event itself where it passes.
    fn mapped(config: Value, message: Value) -> Value {
        let mapper = mapper(config).unwrap();
        let mut state = mapper.open(&MapperRun::new("run", "session", "agent"));
        let event = Event::from_wire_value(message.clone()).unwrap();
        match state.map(event) {
            Mapped::Pass => message,
            Mapped::Replace(events) if events.len() == 1 => Value::Object(events[0].to_wire()),
            other => panic!("not one event: {other:?}"),
        }
    }

    #[test]
    fn matches_are_masked_wherever_tools_show_them() {
        assert_eq!(
            mapped(
                json!({"patterns": ["sk-[a-z0-9]+"]}),
                json!({"type": "tool_call", "tool": "sk-tool", "args": {"deep": [{"key": "a sk-1 b sk-2"}], "n": 1},
                    "result": "got sk-3", "success": true, "is_subagent": true, "metadata": {"m": ["sk-4"]}})
            ),
            json!({"type": "tool_call", "tool": "sk-tool",
                "args": {"deep": [{"key": "a [redacted] b [redacted]"}], "n": 1},
                "result": "got [redacted]", "success": true, "is_subagent": true, "metadata": {"m": ["[redacted]"]}})
        );
        assert_eq!(
            mapped(
                json!({"patterns": ["(?i)secret", "\\d{4}"], "replacement": "$0"}),
                json!({"type": "tool_started", "tool": "t", "args": "SECRET 1234 12", "is_subagent": false})
            ),
            json!({"type": "tool_started", "tool": "t", "args": "$0 $0 12", "is_subagent": false})
        );
    }

    #[test]
    fn an_event_without_a_match_passes() {
        let redact = mapper(json!({"patterns": ["x"]})).unwrap();
        let mut state = redact.open(&MapperRun::new("run", "session", "agent"));
        let event = Event::tool_started("1", "t", json!({"a": "b"}));
        assert_eq!(state.map(event), Mapped::Pass);
        let event = Event::tool_call("1", "t").result("nothing").into();
        assert_eq!(state.map(event), Mapped::Pass);
    }

    #[test]
    fn only_events_of_tools_are_asked_for() {
        let kinds = mapper(json!({"patterns": ["x"]})).unwrap().kinds();
        assert!(kinds.contains(&Event::tool_started("1", "t", json!({}))));
        assert!(kinds.contains(&Event::tool_call("1", "t").into()));
        assert!(!kinds.contains(&Event::stream_delta("x")));
        assert!(!kinds.contains(&Event::custom("x", serde_json::Map::new())));
    }

    #[test]
    fn patterns_are_required_and_no_other_key_is_taken() {
        assert_eq!(mapper(json!({})).unwrap_err(), "missing field `patterns`");
        assert!(mapper(json!({"patterns": ["x"], "replace": ""})).is_err());
        assert_eq!(
            mapper(json!({"patterns": []})).unwrap_err(),
            "configuration: `patterns` is empty; without it nothing would be masked"
        );
    }

    #[test]
    fn what_an_agent_says_passes_untouched() {
        let mapper = TestMapper::<Redact>::create(json!({ "patterns": ["sk-[a-z0-9]+"] })).unwrap();
        let said = Event::stream_delta("sk-1");
        let shown = |result| Event::from(Event::tool_call("call", "tool").result(result));
        let mapped = mapper
            .open()
            .map_all([said.clone(), shown("sk-2")])
            .unwrap();
        assert_eq!(mapped, [said, shown("[redacted]")]);
    }
}
