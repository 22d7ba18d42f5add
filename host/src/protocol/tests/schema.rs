use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::protocol::schema::{client_schema, schema_text, server_schema};
use crate::protocol::{ParseLimits, Version, kinds, parse_client_frame};

pub(super) static CLIENT: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(&client_schema()).unwrap());
static SERVER: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(&server_schema()).unwrap());

pub(super) fn assert_valid_server_frame(frame: &str) {
    let message: Value = serde_json::from_str(frame).unwrap();
    if let Err(fault) = SERVER.validate(&message) {
        panic!("{frame}: {fault}");
    }
}

fn examples(schema: &Value) -> Vec<Value> {
    let alternatives = schema["oneOf"].as_array().unwrap().iter();
    alternatives
        .flat_map(|alternative| alternative["examples"].as_array().unwrap().clone())
        .collect()
}

fn assert_fresh(name: &str, schema: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/schema")
        .join(format!("{name}.json"));
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == schema_text(schema),
        "docs/schema/{name}.json is stale; run: cargo run -q -- schema {name} > docs/schema/{name}.json"
    );
}

#[test]
fn the_checked_in_schemas_are_fresh() {
    assert_fresh("client", &client_schema());
    assert_fresh("server", &server_schema());
}

#[test]
fn the_schemas_are_schemas() {
    for schema in [client_schema(), server_schema()] {
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        jsonschema::meta::validate(&schema).unwrap();
    }
}

#[test]
fn a_custom_event_has_neither_types_nor_keys_of_the_protocol() {
    let schema = jsonschema::validator_for(&server_schema()).unwrap();
    assert!(schema.is_valid(&json!({"type": "own", "sequence": 1, "inner": {"seq": 1}})));
    assert!(
        schema.is_valid(&json!({"type": "own", "seq": 4})),
        "the host's"
    );
    assert!(!schema.is_valid(&json!({"type": "own", "seq": "4"})));
    for key in ["run_id", "epoch"] {
        assert!(!schema.is_valid(&json!({"type": "own", key: 1})), "{key}");
    }
    for name in [kinds::CLIENT_TYPES[0], kinds::CLIENT_TYPES[1], ""] {
        assert!(!schema.is_valid(&json!({ "type": name })), "{name}");
    }
}

#[test]
fn every_type_is_described_once_and_has_an_example() {
    let schema = server_schema();
    let alternatives = schema["oneOf"].as_array().unwrap();
    let types: Vec<_> = alternatives
        .iter()
        .filter_map(|one| one["properties"]["type"]["const"].as_str())
        .collect();
    assert_eq!(types, kinds::SERVER_TYPES);
    assert_eq!(alternatives.len(), types.len() + 1, "and custom events");
    for alternative in alternatives {
        assert!(alternative["description"].is_string(), "{alternative}");
        assert!(
            !alternative["examples"].as_array().unwrap().is_empty(),
            "{alternative}"
        );
    }
}

#[test]
fn the_examples_are_valid() {
    for example in examples(&server_schema()) {
        assert_valid_server_frame(&example.to_string());
    }
    for example in examples(&client_schema()) {
        CLIENT.validate(&example).unwrap();
        parse_client_frame(
            &example.to_string(),
            ParseLimits {
                depth: 9,
                images: 9,
            },
            Version::V2,
        )
        .unwrap();
    }
}

#[test]
fn messages_may_gain_fields_and_may_not_lose_any() {
    let schema = server_schema();
    for example in examples(&schema) {
        let mut more = example.clone();
        more["later"] = json!(7);
        assert!(SERVER.is_valid(&more), "{more}");
        if example["type"] == "citation" {
            continue;
        }
        more["seq"] = json!(7);
        assert!(SERVER.is_valid(&more), "{more}");
        let kind = &example["type"];
        let alternatives = schema["oneOf"].as_array().unwrap();
        let own = alternatives
            .iter()
            .find(|one| one["properties"]["type"]["const"] == *kind)
            .unwrap();
        for key in own["required"].as_array().unwrap() {
            let key = key.as_str().unwrap();
            let mut less = example.clone();
            less.as_object_mut().unwrap().remove(key);
            assert!(!SERVER.is_valid(&less), "{less}");
        }
    }
}

#[test]
fn what_is_no_message_is_refused() {
    for wrong in [
        json!(null),
        json!([]),
        json!({}),
        json!({"type": 1}),
        json!({"type": ""}),
        json!({"type": "message"}),
        json!({"type": "message_ack"}),
        json!({"type": "stream_delta", "delta": 1}),
        json!({"type": "replay_start", "count": -1}),
        json!({"type": "tool_call", "tool": "t", "args": 1, "result": "", "success": true, "is_subagent": false,
               "metadata": []}),
    ] {
        assert!(!SERVER.is_valid(&wrong), "{wrong}");
    }
}
