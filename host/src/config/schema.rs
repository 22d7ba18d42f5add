//! The published JSON Schema of the configuration, generated from [`super::raw`].

use std::sync::LazyLock;

use jsonschema::Validator;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::raw::Raw;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator()
        .into_root_schema_for::<Raw>()
        .to_value()
});

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| match Validator::new(&SCHEMA) {
    Ok(validator) => validator,
    Err(e) => unreachable!("the schema is made at build time and tested: {e}"),
});

/// The JSON Schema (2020-12) of a configuration file, with descriptions, defaults and
/// examples.
#[must_use]
pub fn schema() -> &'static Value {
    &SCHEMA
}

/// A validator for [`schema`].
pub(super) fn validator() -> &'static Validator {
    &VALIDATOR
}

/// The part of `schema` that describes the value at a key's path; `None` where it says
/// nothing, as inside a component's own configuration.
pub(super) fn node_of<'a>(schema: &'a Value, path: &[String]) -> Option<&'a Value> {
    let mut node = resolve(schema, schema)?;
    for segment in path {
        let child = match node.pointer("/properties").and_then(|p| p.get(segment)) {
            Some(child) => child,
            None if segment.parse::<usize>().is_ok() && node.get("items").is_some() => {
                node.get("items")?
            }
            None => node.get("additionalProperties").filter(|v| v.is_object())?,
        };
        node = resolve(schema, child)?;
    }
    Some(node)
}

/// Follows a node's `$ref` into `$defs`.
fn resolve<'a>(schema: &'a Value, node: &'a Value) -> Option<&'a Value> {
    match node.get("$ref").and_then(Value::as_str) {
        Some(reference) => schema.pointer(reference.strip_prefix('#')?),
        None => Some(node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn node(path: &str) -> Option<&'static Value> {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        node_of(schema(), &path)
    }

    #[test]
    fn nodes_are_found_through_references_maps_and_lists() {
        let kind = |path| node(path).and_then(|n| n.get("type")).cloned();
        assert_eq!(kind("server.listen"), Some("string".into()));
        assert_eq!(kind("auth.tokens.0.sha256"), Some("string".into()));
        assert_eq!(kind("agents.any.component"), Some("string".into()));
        assert_eq!(kind("agents.any.mappers.3.config"), Some("object".into()));
        assert_eq!(kind("agents.any.config.key"), None);
        assert_eq!(kind("nonsense"), None);
    }

    #[test]
    fn every_key_has_a_description_and_no_key_takes_null() {
        fn walk(node: &Value, at: &str) {
            match node {
                Value::Object(map) => {
                    if let Some(Value::Object(properties)) = map.get("properties") {
                        for (name, property) in properties {
                            assert!(
                                property.get("description").is_some(),
                                "{at}: {name} has no description"
                            );
                        }
                        assert_eq!(
                            map.get("additionalProperties"),
                            Some(&Value::Bool(false)),
                            "{at} takes unknown keys"
                        );
                    }
                    assert!(map.get("type") != Some(&Value::from("null")), "{at}");
                    assert!(map.get("default") != Some(&Value::Null), "{at}");
                    for (key, value) in map {
                        walk(value, &format!("{at}/{key}"));
                    }
                }
                Value::Array(items) => {
                    assert!(!items.contains(&Value::from("null")), "{at}");
                    items.iter().for_each(|item| walk(item, at));
                }
                _ => {}
            }
        }
        walk(schema(), "");
    }

    /// What the schema shows as right is right: its examples and defaults, each where it stands.
    #[test]
    fn examples_and_defaults_fit() {
        fn walk(node: &Value, at: &str, seen: &mut usize) {
            if let Value::Object(map) = node {
                let mut shown: Vec<&Value> = map.get("default").into_iter().collect();
                shown.extend(
                    map.get("examples")
                        .and_then(Value::as_array)
                        .into_iter()
                        .flatten(),
                );
                let mut here = node.clone();
                here["$defs"] = schema()["$defs"].clone();
                for value in shown {
                    assert!(jsonschema::is_valid(&here, value), "{at}: {value}");
                    *seen += 1;
                }
                for (key, value) in map {
                    if key != "examples" && key != "default" {
                        walk(value, &format!("{at}/{key}"), seen);
                    }
                }
            }
        }
        let mut seen = 0;
        walk(schema(), "", &mut seen);
        assert!(seen > 40, "{seen}");
    }

    /// `UPDATE_SCHEMAS=1 cargo test` writes the file anew.
    #[test]
    fn the_checked_in_schema_is_fresh() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema/config.json");
        let fresh = format!(
            "{}\n",
            serde_json::to_string_pretty(schema()).expect("serializes")
        );
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(&path, &fresh).expect("schema file can be written");
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            stored == fresh,
            "docs/schema/config.json is stale; run the tests once with UPDATE_SCHEMAS=1"
        );
    }
}
