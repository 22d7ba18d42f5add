//! Checks values against the JSON Schemas that components publish, and says what is wrong without ever
//! repeating a value, since any of them may be a secret.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, ValidationError, Validator};
use serde_json::Value;

/// A wrong value has few causes; a list of hundreds helps nobody.
const PROBLEMS_KEPT: usize = 20;

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

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// JSON pointer to the value at fault, or to where one is missing.
    pub(crate) pointer: String,
    /// What is wrong.
    pub(crate) problem: String,
    /// What would be right.
    pub(crate) expected: String,
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

    /// Everything that is wrong with `value`; empty when it is right.
    pub(crate) fn problems(&self, value: &Value) -> Vec<Problem> {
        let mut problems = Vec::new();
        for error in self.validator.iter_errors(value) {
            self.explain(&error, &mut problems);
            if problems.len() >= PROBLEMS_KEPT {
                break;
            }
        }
        problems
    }

    fn explain(&self, error: &ValidationError<'_>, problems: &mut Vec<Problem>) {
        use ValidationErrorKind as Kind;
        let at = error.instance_path().as_str();
        let mut add = |pointer: String, problem: &str, expected: String| {
            problems.push(Problem {
                pointer,
                problem: problem.to_owned(),
                expected,
            });
        };
        match error.kind() {
            Kind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                add(
                    child(at, name),
                    "is missing",
                    self.expected_of_missing(error, name),
                );
            }
            Kind::AdditionalProperties { unexpected }
            | Kind::UnevaluatedProperties { unexpected } => {
                for name in unexpected {
                    add(
                        child(at, name),
                        "is not a known key",
                        self.known_keys(error),
                    );
                }
            }
            Kind::Type { kind } => {
                add(
                    at.to_owned(),
                    "has the wrong type",
                    format!("expected {}", types(kind)),
                );
            }
            Kind::Enum { options } => {
                add(
                    at.to_owned(),
                    "is not one of the values allowed",
                    one_of(options),
                );
            }
            Kind::Constant { expected_value } => {
                let expected = format!("expected {expected_value}");
                add(at.to_owned(), "is not the value allowed", expected);
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                // Only one branch can have been meant when all others want another type altogether.
                let mut meant = context
                    .iter()
                    .filter(|errors| !wants_another_type(errors, at));
                match (meant.next(), meant.next()) {
                    (Some(errors), None) => {
                        for error in errors {
                            self.explain(error, problems);
                        }
                    }
                    _ => add(
                        at.to_owned(),
                        "has none of the forms allowed",
                        one_of_types(context),
                    ),
                }
            }
            // This one's text names the key, and the key alone.
            Kind::PropertyNames { .. } => add(
                at.to_owned(),
                "has a key that is not allowed",
                String::new(),
            ),
            _ => {
                let problem = error.masked_with("the value").to_string();
                add(
                    at.to_owned(),
                    &format!("is not allowed: {problem}"),
                    String::new(),
                );
            }
        }
    }

    /// The schema object around the keyword that failed.
    fn around(&self, error: &ValidationError<'_>) -> Option<&Value> {
        let (around, _keyword) = error.schema_path().as_str().rsplit_once('/')?;
        self.source.pointer(around)
    }

    fn known_keys(&self, error: &ValidationError<'_>) -> String {
        let properties = self
            .around(error)
            .and_then(|schema| schema.get("properties"));
        match properties.and_then(Value::as_object) {
            Some(known) if !known.is_empty() => {
                let names: Vec<String> = known.keys().map(|name| format!("`{name}`")).collect();
                format!("expected one of {}", names.join(", "))
            }
            _ => "no key is expected here".to_owned(),
        }
    }

    fn expected_of_missing(&self, error: &ValidationError<'_>, name: &str) -> String {
        let property = self
            .around(error)
            .and_then(|schema| schema.get("properties")?.get(name));
        match property.and_then(|property| property.get("type")) {
            Some(Value::String(name)) => format!("expected {}", with_article(name)),
            _ => "it has no default and must be set".to_owned(),
        }
    }
}

/// One step further down a JSON pointer.
pub(crate) fn child(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn wants_another_type(errors: &[ValidationError<'_>], at: &str) -> bool {
    errors.iter().any(|error| {
        let discriminates = matches!(
            error.kind(),
            ValidationErrorKind::Type { .. }
                | ValidationErrorKind::Constant { .. }
                | ValidationErrorKind::Enum { .. }
        );
        // A tagged enum's branch says with a `const` one level down which tag is its own.
        let tag = matches!(error.kind(), ValidationErrorKind::Constant { .. })
            && error
                .instance_path()
                .as_str()
                .rsplit_once('/')
                .is_some_and(|(above, _)| above == at);
        (discriminates && error.instance_path().as_str() == at) || tag
    })
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(single) => with_article(single.as_str()),
        TypeKind::Multiple(several) => several
            .iter()
            .map(|one| with_article(one.as_str()))
            .collect::<Vec<_>>()
            .join(" or "),
    }
}

fn with_article(name: &str) -> String {
    match name {
        "null" => "nothing".to_owned(),
        "object" => "a table".to_owned(),
        "array" => "a list".to_owned(),
        "integer" => "an integer".to_owned(),
        other => format!("a {other}"),
    }
}

fn one_of(options: &Value) -> String {
    match options.as_array() {
        Some(options) => {
            let texts: Vec<String> = options.iter().map(Value::to_string).collect();
            format!("expected one of {}", texts.join(", "))
        }
        None => format!("expected {options}"),
    }
}

fn one_of_types(branches: &[Vec<ValidationError<'_>>]) -> String {
    let mut wanted: Vec<String> = Vec::new();
    for error in branches.iter().flatten() {
        let text = match error.kind() {
            ValidationErrorKind::Type { kind } => types(kind),
            ValidationErrorKind::Constant { expected_value } => expected_value.to_string(),
            _ => continue,
        };
        if !wanted.contains(&text) {
            wanted.push(text);
        }
    }
    if wanted.is_empty() {
        String::new()
    } else {
        format!("expected {}", wanted.join(" or "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn only(schema: Value, value: Value) -> (String, String, String) {
        let problems = Schema::compile(&schema).unwrap().problems(&value);
        assert_eq!(problems.len(), 1, "{problems:?}");
        let Problem {
            pointer,
            problem,
            expected,
        } = problems[0].clone();
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
            strings("/delay_ms", "has the wrong type", "expected an integer")
        );
        assert_eq!(
            only(schema.clone(), json!({})),
            strings("/delay_ms", "is missing", "expected an integer")
        );
        assert_eq!(
            only(schema.clone(), json!({"delay_ms": 1, "dellay": 2})),
            strings(
                "/dellay",
                "is not a known key",
                "expected one of `delay_ms`, `models`"
            )
        );
        assert_eq!(
            only(
                schema,
                json!({"delay_ms": 1, "models": [{}, {"name": "a", "nam": 1}]})
            ),
            strings(
                "/models/1/nam",
                "is not a known key",
                "expected one of `name`"
            )
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
            strings("/model/name", "has the wrong type", "expected a string")
        );
        assert_eq!(
            only(optional, json!({"model": 3})),
            strings(
                "/model",
                "has none of the forms allowed",
                "expected a table or nothing"
            )
        );
        let tagged = json!({"oneOf": [
            {"type": "object", "properties": {"kind": {"const": "a"}, "size": {"type": "integer"}}},
            {"type": "object", "properties": {"kind": {"const": "b"}}}
        ]});
        assert_eq!(
            only(tagged, json!({"kind": "a", "size": "big"})),
            strings("/size", "has the wrong type", "expected an integer")
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
            let problems = Schema::compile(&schema).unwrap().problems(&json!(secret));
            assert!(!problems.is_empty(), "{schema}");
            assert!(!format!("{problems:?}").contains(secret), "{problems:?}");
        }
        let nested = json!({"properties": {"list": {"uniqueItems": true}}});
        let problems = Schema::compile(&nested)
            .unwrap()
            .problems(&json!({"list": [secret, secret]}));
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
                .problems(&json!({"a": 1}))
                .is_empty()
        );
    }
}
