//! The documents: whole, valid, and as checked in.

use std::collections::HashSet;
use std::path::Path;

use super::*;
use crate::protocol::schema::schema_text;
use crate::server::documents;

/// `UPDATE_SCHEMAS=1 cargo test` writes the files anew.
#[test]
fn the_checked_in_documents_are_fresh() {
    for (name, document) in [
        ("openapi", documents::openapi()),
        ("asyncapi", documents::asyncapi()),
    ] {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/schema/{name}.json"));
        let fresh = schema_text(&document);
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(&path, &fresh).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            stored == fresh,
            "docs/schema/{name}.json is stale; run the tests once with UPDATE_SCHEMAS=1"
        );
    }
}

/// Calls `visit` for every object in a document.
fn walk(node: &Value, visit: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match node {
        Value::Object(members) => {
            visit(members);
            members.values().for_each(|member| walk(member, visit));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    for document in [documents::openapi(), documents::asyncapi()] {
        let mut references = HashSet::new();
        walk(&document, &mut |object| {
            if let Some(Value::String(target)) = object.get("$ref") {
                let found = target
                    .strip_prefix('#')
                    .and_then(|pointer| document.pointer(pointer));
                assert!(found.is_some(), "{target}");
                references.insert(target.clone());
            }
        });
        for kind in ["schemas", "messages"] {
            for name in document["components"][kind]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name)
            {
                assert!(
                    references.contains(&format!("#/components/{kind}/{name}")),
                    "{name} is not used"
                );
            }
        }
    }
}

#[test]
fn every_schema_is_one() {
    for document in [documents::openapi(), documents::asyncapi()] {
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let mut schema = schema.clone();
            schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
            jsonschema::meta::validate(&schema).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        }
    }
}

#[test]
fn components_are_described_and_mean_the_same_in_requests_and_answers() {
    for (name, schema) in OPENAPI["components"]["schemas"].as_object().unwrap() {
        assert!(
            schema["description"].is_string(),
            "{name} has no description"
        );
        let mut formats = Vec::new();
        walk(schema, &mut |object| {
            formats.extend(object.get("format").cloned())
        });
        let known = ["uuid", "uri", "uri-reference"].map(Value::from);
        assert!(
            formats.iter().all(|format| known.contains(format)),
            "{name}: {formats:?}"
        );
    }
    let requests: HashSet<&str> =
        HashSet::from(["NewSession", "SessionChanges", "StopRequest", "UploadForm"]);
    let mut in_requests = HashSet::new();
    for (_, item) in OPENAPI["paths"].as_object().unwrap() {
        for (_, operation) in item.as_object().unwrap() {
            walk(&operation["requestBody"], &mut |object| {
                in_requests.extend(object.get("$ref").cloned())
            });
        }
    }
    let expected = requests
        .iter()
        .map(|name| Value::from(format!("#/components/schemas/{name}")))
        .collect();
    assert_eq!(
        in_requests, expected,
        "a type of requests must not share its name with one of answers"
    );
}

#[test]
fn every_operation_is_complete() {
    let document = &*OPENAPI;
    let tags: HashSet<&Value> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| &tag["name"])
        .collect();
    let mut ids = HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let in_path = path.matches('{').count();
        assert_eq!(
            item["parameters"].as_array().map_or(0, Vec::len),
            in_path,
            "{path}"
        );
        for parameter in item["parameters"].as_array().into_iter().flatten() {
            assert!(
                path.contains(&format!("{{{}}}", parameter["name"].as_str().unwrap())),
                "{path}"
            );
            assert_ne!(parameter["description"], "", "{path}");
        }
        for (method, operation) in item.as_object().unwrap() {
            if method == "parameters" {
                continue;
            }
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap()),
                "{path}"
            );
            assert!(
                tags.contains(&operation["tags"][0]),
                "{path}: {}",
                operation["tags"]
            );
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].is_string(), "{path}: {parameter}");
                assert_eq!(parameter["required"], false, "{path}: {parameter}");
            }
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{path}"
            );
            assert!(
                responses
                    .values()
                    .all(|response| response["description"].is_string()),
                "{path}"
            );
        }
    }
    assert_eq!(ids.len(), super::super::endpoints().len());
}

#[test]
fn the_socket_is_described_with_every_message() {
    let document = documents::asyncapi();
    let operations = &document["operations"];
    let messages = |name: &str| operations[name]["messages"].as_array().unwrap().len();
    assert_eq!(
        messages("receiveMessage"),
        crate::protocol::kinds::CLIENT_TYPES.len()
    );
    assert_eq!(
        messages("sendEvent"),
        crate::protocol::kinds::SERVER_TYPES.len() + 1
    );
    for (name, message) in document["components"]["messages"].as_object().unwrap() {
        let pointer = message["payload"]["$ref"].as_str().unwrap();
        let mut schema = document
            .pointer(pointer.strip_prefix('#').unwrap())
            .unwrap()
            .clone();
        schema["components"] = document["components"].clone();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let examples = message["examples"].as_array().unwrap();
        assert!(
            !examples.is_empty() && message["summary"].is_string(),
            "{name}"
        );
        for example in examples {
            assert!(validator.is_valid(&example["payload"]), "{name}: {example}");
        }
    }
    let text = document["info"]["description"].as_str().unwrap();
    for code in ["1009", "1012", "1013", "4004", "4008", "4401", "4403"] {
        assert!(text.contains(code), "{code}");
    }
}
