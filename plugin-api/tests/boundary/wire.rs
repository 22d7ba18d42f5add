//! The JSON that crosses: every reader takes what a newer writer adds, and what an older one leaves out.

use plugin_api::serde_json::{self, Map, Value, json};
use plugin_api::wire::service::{
    AgentsRun, AgentsRunAnswer, HistoryImage, MemoryDelete, MemoryDeleteAnswer, MemoryGet,
    MemoryGetAnswer, MemoryPut, MemoryPutAnswer, MemorySearch, MemorySearchAnswer, StateGet,
    StateGetAnswer, StatePut, StatePutAnswer, ToolsCall,
};
use plugin_api::wire::*;
use plugin_api::{Event, schemars::Schema};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fixture::all_events;

/// A value with every field set, as the host or a plugin of this release writes it.
fn full<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Adds unknown fields to every object that a struct of ours reads.
fn with_extras(value: Value, free: &[&str]) -> Value {
    match value {
        Value::Object(fields) => {
            let known = |(key, value): (String, Value)| {
                let value = if free.contains(&key.as_str()) {
                    value
                } else {
                    with_extras(value, free)
                };
                (key, value)
            };
            let mut fields: Map<_, _> = fields.into_iter().map(known).collect();
            fields.insert("a_later_field".to_owned(), json!({ "deep": [1, null] }));
            Value::Object(fields)
        }
        Value::Array(items) => items
            .into_iter()
            .map(|item| with_extras(item, free))
            .collect(),
        other => other,
    }
}

fn reads<T: DeserializeOwned + Serialize + Default + PartialEq + std::fmt::Debug>(value: Value) {
    // What is free-form belongs to its author and comes back untouched.
    let free = [
        "config_schema",
        "input_schema",
        "outcome_data",
        "data",
        "metadata",
        "args",
        "value",
        "events",
    ];
    let read: T = full(value.clone());
    let written = serde_json::to_value(&read).unwrap();
    assert_eq!(
        written, value,
        "a field is missing in the test or in the type"
    );
    assert_eq!(full::<T>(with_extras(value.clone(), &free)), read);
    assert_eq!(full::<T>(json!({})), T::default());
    for key in value.as_object().unwrap().keys() {
        let mut without = value.clone();
        without.as_object_mut().unwrap().remove(key);
        full::<T>(without);
    }
}

#[test]
fn readers_take_extras_and_do_without_anything() {
    let tool = json!({ "name": "t", "description": "d", "input_schema": { "type": "object" } });
    let image = json!({ "handle": 1, "media_type": "image/png", "bytes": 2 });
    let file = json!({ "name": "f", "path": "/f" });
    let outcome = json!({
        "content": "c", "context_tokens": 1, "max_context_tokens": 2, "token_count": 3, "data": [1]
    });
    reads::<ComponentDescription>(json!({ "summary": "s", "config_schema": {} }));
    reads::<InstanceParams>(
        json!({ "name": "n", "generation": 1, "plugin": "p", "deadline_ms": 5 }),
    );
    reads::<MapperParams>(json!({ "run_id": "r", "session_id": "s", "agent": "a" }));
    reads::<RunParams>(json!({
        "run_id": "r", "session_id": "s", "agent": "a", "content": "c", "user_text": "u", "images": [image],
        "files": [file], "tools": [tool], "subagents": [{ "name": "n", "summary": "s" }], "depth": 1,
        "outcome_data": 1, "metadata": {}, "profile": "p", "grace_ms": 9
    }));
    reads::<OutcomeData>(outcome.clone());
    reads::<ToolList>(json!({ "tools": [tool] }));
    reads::<ToolCallParams>(json!({
        "call_id": "c", "run_id": "r", "session_id": "s", "agent": "a", "timeout_ms": 1
    }));
    reads::<ToolOutputData>(json!({
        "text": "t", "success": false, "metadata": { "m": 1 },
        "parts": [{ "type": "image", "media_type": "image/png", "data": "AA==" }, { "type": "json", "value": 1 }]
    }));
    reads::<ServiceErrorData>(json!({ "code": "c", "message": "m" }));
    reads::<ToolsCall>(json!({ "tool": "t", "args": {} }));
    reads::<AgentsRun>(json!({ "agent": "a", "content": "c" }));
    reads::<AgentsRunAnswer>(json!({ "content": "c", "status": "finished", "outcome": outcome }));
    reads::<HistoryQuery>(json!({ "before": 1, "limit": 2 }));
    reads::<HistoryImage>(json!({ "turn": 1, "image": 0 }));
    reads::<HistoryPage>(json!({
        "turns": [{
            "turn": 1, "role": "user", "content": "c", "user_text": "u", "status": "completed", "images": [image],
            "files": [file], "events": [{ "type": "x" }], "data": null
        }],
        "more": true, "before": 1
    }));
    reads::<StateGet>(json!({ "key": "k" }));
    reads::<StateGetAnswer>(json!({ "value": 1, "version": 2 }));
    reads::<StatePut>(json!({ "key": "k", "value": 1, "expected_version": 2 }));
    reads::<StatePutAnswer>(json!({ "version": 2 }));
    let entry = json!({ "key": "k", "text": "t", "updated_at_ms": 3 });
    reads::<MemoryPut>(json!({ "key": "k", "text": "t" }));
    reads::<MemoryPutAnswer>(json!({ "is_new": true }));
    reads::<MemoryGet>(json!({ "key": "k" }));
    reads::<MemoryGetAnswer>(json!({ "entry": entry }));
    reads::<MemorySearch>(json!({ "query": "q", "limit": 4 }));
    reads::<MemorySearchAnswer>(json!({ "entries": [entry] }));
    reads::<MemoryDelete>(json!({ "key": "k" }));
    reads::<MemoryDeleteAnswer>(json!({ "deleted": true }));
}

#[test]
fn an_unknown_part_is_kept_as_it_came() {
    let parts = json!([{ "type": "video", "data": 1 }, { "no": "type" }, 7, { "type": "json" }]);
    let output: ToolOutputData = full(json!({ "parts": parts }));
    assert!(matches!(&output.parts[0], Part::Unknown(value) if value == &parts[0]));
    assert!(matches!(
        &output.parts[1..3],
        [Part::Unknown(_), Part::Unknown(_)]
    ));
    assert_eq!(output.parts[3], Part::json(Value::Null));
    assert_eq!(serde_json::to_value(&output.parts[0]).unwrap(), parts[0]);
    assert!(output.success);
}

#[test]
fn every_schema_is_of_an_object_and_requires_nothing() {
    let schemas = schemas();
    for (name, schema) in &schemas {
        let schema: &Schema = schema;
        assert_eq!(schema.get("type"), Some(&json!("object")), "{name}");
        assert_eq!(schema.get("required"), None, "{name}");
    }
    let mut names: Vec<_> = schemas.iter().map(|(name, _)| name).collect();
    names.dedup();
    assert_eq!(names.len(), schemas.len());
}

#[test]
fn events_have_the_wire_form_of_the_protocol() {
    let wire: Vec<_> = all_events()
        .iter()
        .map(|event| Value::Object(event.to_wire()).to_string())
        .collect();
    assert_eq!(wire[0], r#"{"type":"stream_delta","delta":"a"}"#);
    assert_eq!(
        wire[3],
        r#"{"type":"turn_thinking","thinking":"c","is_subagent":true}"#
    );
    assert_eq!(wire[11], r#"{"type":"own","n":1}"#);
    let tool_call = Event::tool_call("", "tool").result("r");
    assert_eq!(
        Value::Object(Event::from(tool_call).to_wire()).to_string(),
        r#"{"type":"tool_call","tool":"tool","args":null,"result":"r","success":true,"is_subagent":false,"metadata":null}"#
    );
}

#[test]
fn a_wire_message_is_read_leniently_but_not_wrongly() {
    let read = |value| Event::from_wire_value(value);
    assert_eq!(
        read(json!({ "type": "stream_delta", "news": 1 })).unwrap(),
        Event::stream_delta("")
    );
    assert_eq!(
        read(json!({ "type": "whatever" })).unwrap(),
        Event::custom("whatever", Map::new())
    );
    let problem = |value| read(value).unwrap_err().to_string();
    assert!(
        problem(json!({ "type": "stream_delta", "delta": 1 }))
            .starts_with("event `stream_delta`: invalid type")
    );
    assert!(problem(json!({ "type": "" })).contains("must not be empty"));
    assert!(problem(json!({ "delta": "x" })).contains("`type` must be a string"));
    assert!(problem(json!([])).contains("a JSON object"));
}

fn events() -> impl Strategy<Value = Event> {
    let json = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        proptest::collection::vec(".*", 0..3).prop_map(Value::from),
    ];
    let texts = (".*", ".*", ".*");
    (0..12_usize, texts, json, any::<u64>(), any::<bool>()).prop_map(
        |(kind, (a, b, c), json, n, subagent)| {
            let fields = Map::from_iter([(format!("f{b}"), json.clone())]);
            let event = match kind {
                0 => Event::stream_delta(a),
                1 => Event::thinking_delta(a),
                2 => Event::thinking_end(),
                3 => Event::turn_thinking(a),
                4 => Event::planning_status(a, b),
                5 => Event::plan_ready(json),
                6 => Event::tool_started(a, b, json),
                7 => Event::tool_call(a, b).args(json).result(c).into(),
                8 => Event::tool_call(a, b)
                    .metadata(fields)
                    .success(false)
                    .into(),
                9 => Event::profile_switched(a, b),
                10 => Event::context_compressed(n, n / 2, a),
                _ => Event::custom(format!("custom{a}"), fields),
            };
            event.subagent(subagent)
        },
    )
}

proptest! {
    #[test]
    fn any_event_comes_back_from_its_parts_and_from_its_wire_form(event in events()) {
        let from_parts = event.with_parts(Event::from_parts).unwrap();
        prop_assert_eq!(&from_parts, &event);
        let from_wire = Event::from_wire_value(Value::Object(event.to_wire())).unwrap();
        prop_assert_eq!(from_wire, event);
    }

    #[test]
    fn parts_of_any_text_are_an_event_or_an_error(kind in 0..20_u32, text in ".*", json in ".*") {
        let parts = plugin_api::EventRef { kind, name: "n", text: &text, json: &json, ..Default::default() };
        let _ = Event::from_parts(parts);
    }
}
