//! The JSON Schemas that components publish, of their configuration and of tools' arguments.

use jsonschema::{Draft, Validator};
use serde_json::Value;

use crate::config::{Breach, breaches};

/// A compiled JSON Schema (2020-12).
#[derive(Debug)]
pub(crate) struct Schema {
    validator: Validator,
    source: Value,
}

/// A component published something that is no JSON Schema.
#[derive(Debug, thiserror::Error)]
#[error("not a valid JSON Schema (2020-12): at `{pointer}`: {reason}")]
pub(crate) struct SchemaError {
    pointer: String,
    reason: String,
}

impl Schema {
    /// Compiles a schema. Null stands for one that admits anything. References to other documents are
    /// refused, not fetched.
    pub(crate) fn compile(schema: &Value) -> Result<Self, SchemaError> {
        let source = if schema.is_null() {
            Value::Bool(true)
        } else {
            schema.clone()
        };
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .build(&source)
            .map_err(|error| SchemaError {
                pointer: error.instance_path().to_string(),
                reason: error.masked().to_string(),
            })?;
        Ok(Self { validator, source })
    }

    /// The schema as published; `true` where there was none.
    pub(crate) fn source(&self) -> &Value {
        &self.source
    }

    /// Everything that is wrong with `value`; empty when it is right. No text holds a value.
    pub(crate) fn breaches(&self, value: &Value) -> Vec<Breach> {
        breaches(&self.validator, &self.source, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn only(schema: Value, value: Value) -> (String, String, String) {
        let mut found = Schema::compile(&schema).unwrap().breaches(&value);
        assert_eq!(found.len(), 1, "{found:?}");
        let Breach {
            pointer,
            problem,
            expected,
        } = found.remove(0);
        (pointer, problem, expected)
    }

    fn strings(a: &str, b: &str, c: &str) -> (String, String, String) {
        (a.to_owned(), b.to_owned(), c.to_owned())
    }

    #[test]
    fn the_path_of_each_fault_is_named() {
        let schema = json!({
            "type": "object",
            "properties": {
                "delay_ms": {"type": "integer"},
                "models": {"type": "array", "items": {"$ref": "#/$defs/Model"}}
            },
            "required": ["delay_ms"],
            "additionalProperties": false,
            "$defs": {"Model": {
                "type": "object", "properties": {"name": {"type": "string"}}, "additionalProperties": false
            }}
        });
        assert_eq!(
            only(schema.clone(), json!({"delay_ms": "secret"})),
            strings("/delay_ms", "is a text", "expected a whole number")
        );
        assert_eq!(
            only(schema.clone(), json!({})),
            strings("/delay_ms", "is missing", "expected a whole number")
        );
        assert_eq!(
            only(schema.clone(), json!({"delay_ms": 1, "dellay": 2})),
            strings(
                "/dellay",
                "unknown key",
                "known keys here: delay_ms, models"
            )
        );
        assert_eq!(
            only(
                schema,
                json!({"delay_ms": 1, "models": [{}, {"name": "a", "nam": 1}]})
            ),
            strings("/models/1/nam", "unknown key", "did you mean `name`?")
        );
    }

    #[test]
    fn of_several_forms_the_one_that_was_meant_is_explained() {
        let optional = json!({"properties": {"model": {"anyOf": [
            {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            {"type": "null"}
        ]}}});
        assert_eq!(
            only(optional.clone(), json!({"model": {"name": 3}})),
            strings("/model/name", "is a number", "expected a text")
        );
        assert_eq!(
            only(optional, json!({"model": 3})),
            strings(
                "/model",
                "fits none of the forms that this key takes",
                "expected a table or nothing"
            )
        );
        let tagged = json!({"oneOf": [
            {"type": "object", "properties": {"kind": {"const": "a"}, "size": {"type": "integer"}}},
            {"type": "object", "properties": {"kind": {"const": "b"}}}
        ]});
        assert_eq!(
            only(tagged, json!({"kind": "a", "size": "big"})),
            strings("/size", "is a text", "expected a whole number")
        );
    }

    #[test]
    fn no_text_repeats_a_value() {
        let secret = "hunter2";
        let schemas = [
            json!({"type": "integer"}),
            json!({"enum": ["a", "b"]}),
            json!({"const": "a"}),
            json!({"minLength": 100}),
            json!({"pattern": "^[0-9]+$"}),
            json!({"not": {"type": "string"}}),
            json!({"anyOf": [{"type": "integer"}, {"minLength": 50}]}),
            json!({"oneOf": [{"type": "string"}, {"minLength": 1}]}),
            json!(false),
            json!({"$ref": "#/$defs/x", "$defs": {"x": {"maxLength": 2}}}),
        ];
        for schema in schemas {
            let problems = Schema::compile(&schema).unwrap().breaches(&json!(secret));
            assert!(!problems.is_empty(), "{schema}");
            assert!(!format!("{problems:?}").contains(secret), "{problems:?}");
        }
        let nested = json!({"properties": {"list": {"uniqueItems": true}}});
        let problems = Schema::compile(&nested)
            .unwrap()
            .breaches(&json!({"list": [secret, secret]}));
        assert!(
            !problems.is_empty() && !format!("{problems:?}").contains(secret),
            "{problems:?}"
        );
    }

    #[test]
    fn what_is_no_schema_is_said_to_be_none() {
        let text = Schema::compile(&json!({"type": "nonsense"}))
            .unwrap_err()
            .to_string();
        assert!(text.contains("/type"), "{text}");
        // Nothing is fetched from anywhere.
        assert!(Schema::compile(&json!({"$ref": "https://example.com/schema.json"})).is_err());
        assert!(
            Schema::compile(&Value::Null)
                .unwrap()
                .breaches(&json!({"a": 1}))
                .is_empty()
        );
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        for schema in [
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
            json!({"$dynamicRef": "#me", "$dynamicAnchor": "me"}),
            json!({"not": {"$ref": "#"}}),
            json!({"if": {"$ref": "#"}}),
        ] {
            let compiled = Schema::compile(&schema);
            if let Ok(compiled) = compiled {
                let _ = compiled.breaches(&json!({"a": 1}));
            }
        }
    }
}
