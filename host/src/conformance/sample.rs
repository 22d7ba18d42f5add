//! Makes values that fit a JSON Schema, as far as that is easy.

use serde_json::{Map, Value, json};

use crate::plugin::Schema;

/// The deepest nesting that is gone into.
const DEPTH: usize = 8;

/// A value that fits the schema; none if none was found.
pub(super) fn fitting(schema: &Value) -> Option<Value> {
    let made = value(schema, schema, DEPTH);
    let schema = Schema::compile(schema).ok()?;
    schema.breaches(&made).is_empty().then_some(made)
}

fn value(root: &Value, schema: &Value, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else {
        return Value::Null;
    };
    let of = |key: &str| schema.get(key);
    if let Some(given) = of("const").or_else(|| of("default")) {
        return given.clone();
    }
    for list in ["examples", "enum"] {
        if let Some(first) = of(list).and_then(|list| list.get(0)) {
            return first.clone();
        }
    }
    let target = of("$ref").and_then(Value::as_str);
    if let Some(inner) = target.and_then(|at| root.pointer(at.strip_prefix('#')?)) {
        return value(root, inner, depth);
    }
    for list in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = of(list).and_then(|list| list.get(0)) {
            return value(root, first, depth);
        }
    }
    let kind = match of("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        kind => kind.and_then(Value::as_str),
    };
    match kind {
        Some("string") => {
            let least = of("minLength").and_then(Value::as_u64).unwrap_or(0);
            let least = usize::try_from(least).unwrap_or(0).min(1 << 16);
            match of("format").and_then(Value::as_str) {
                Some("date-time") => json!("2026-01-02T03:04:05Z"),
                Some("date") => json!("2026-01-02"),
                Some("uri") => json!("http://127.0.0.1:9/"),
                Some("uuid") => json!("00000000-0000-4000-8000-000000000000"),
                _ => json!(format!("{:x<least$}", "test")),
            }
        }
        Some("integer" | "number") => of("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("boolean") => json!(false),
        Some("null") => Value::Null,
        Some("array") => {
            let least = of("minItems").and_then(Value::as_u64).unwrap_or(0).min(16);
            let items = of("items").unwrap_or(&Value::Null);
            (0..least).map(|_| value(root, items, depth)).collect()
        }
        _ => {
            let required = of("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            let field = |name: &Value| {
                let name = name.as_str()?;
                let schema = of("properties").and_then(|properties| properties.get(name));
                let made = value(root, schema.unwrap_or(&Value::Null), depth);
                Some((name.to_owned(), made))
            };
            Value::Object(required.filter_map(field).collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_fits() {
        for schema in [
            json!({}),
            json!({"type": "object", "properties": {"a": {"type": "string", "minLength": 9}}, "required": ["a"]}),
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"],
                   "$defs": {"A": {"enum": ["x", "y"]}}}),
            json!({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer", "minimum": 5},
                   "minItems": 2}}, "required": ["a"]}),
            json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ] {
            assert!(fitting(&schema).is_some(), "{schema}");
        }
        assert_eq!(
            fitting(&json!({"type": "string", "pattern": "^[0-9]+$"})),
            None
        );
        let endless =
            json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]});
        assert_eq!(fitting(&endless), None);
    }
}
