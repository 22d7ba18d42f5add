//! Checks a table against a JSON Schema and words every fault for a person.
//!
//! The texts are made here from the schema alone. The validator's own would print the
//! offending value, which may be a secret.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use super::fault::Fault;
use super::located::{Located, step};

/// Something in which a value breaks a schema. Its texts never hold the value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// JSON pointer to the value at fault, or to where one is missing.
    pub pointer: String,
    /// What is wrong.
    pub problem: String,
    /// What would be right; empty when the problem already says so.
    pub expected: String,
}

impl Breach {
    /// The fault that it is in a table of the configuration.
    #[must_use]
    pub fn fault(&self, table: &Located) -> Fault {
        table.fault(&self.pointer, &self.problem, &self.expected)
    }
}

/// Everything in which `value` breaks `schema`, of which `validator` was made: one breach for
/// each part of the value, with what would be right.
#[must_use]
pub fn breaches(validator: &Validator, schema: &Value, value: &Value) -> Vec<Breach> {
    let mut found: Vec<Breach> = Vec::new();
    for error in validator.iter_errors(value) {
        for one in describe(&error, schema) {
            // A value of the wrong type breaks several rules; the first says enough.
            if found.iter().all(|other| other.pointer != one.pointer) {
                found.push(one);
            }
        }
    }
    found
}

fn describe(error: &ValidationError<'_>, schema: &Value) -> Vec<Breach> {
    let pointer = error.instance_path().as_str();
    let rule = error.schema_path().as_str();
    // The node whose keyword was broken.
    let node = rule
        .rfind('/')
        .and_then(|cut| schema.pointer(&rule[..cut]))
        .unwrap_or(&Value::Null);
    let found = |pointer: String, problem: &str, expected: String| Breach {
        pointer,
        problem: problem.to_owned(),
        expected,
    };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => unexpected
            .iter()
            .map(|key| {
                let known = known_keys(node, key, error.instance().get(key));
                found(step(pointer, key), "unknown key", known)
            })
            .collect(),
        ValidationErrorKind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            let missing = node.get("properties").and_then(|p| p.get(key));
            let expected = missing
                .map(|child| expected(follow(schema, child), child))
                .unwrap_or_default();
            vec![found(step(pointer, key), "is missing", expected)]
        }
        ValidationErrorKind::PropertyNames { error } => {
            let name = error.instance().as_str().unwrap_or_default();
            let rule = node.get("propertyNames").unwrap_or(node);
            let expected = expected(follow(schema, rule), rule);
            vec![found(step(pointer, name), "is not a valid name", expected)]
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }
            if let Some(errors) = meant(context, pointer) =>
        {
            let breaches = errors.iter().flat_map(|error| describe(error, schema));
            breaches.collect()
        }
        kind => {
            let problem = problem(kind, error.instance());
            let expected = match expected(node, node) {
                nothing if nothing.is_empty() => expected_forms(schema, node),
                expected => expected,
            };
            vec![found(pointer.to_owned(), &problem, expected)]
        }
    }
}

/// What would be right where a node lists several forms.
fn expected_forms(schema: &Value, node: &Value) -> String {
    let forms = node.get("anyOf").or_else(|| node.get("oneOf"));
    let forms = forms.and_then(Value::as_array).into_iter().flatten();
    let mut texts: Vec<String> = Vec::new();
    for form in forms {
        let text = expected(follow(schema, form), form);
        match text.strip_prefix("expected ") {
            Some(text) if texts.iter().any(|other| other == text) => {}
            Some(text) => texts.push(text.to_owned()),
            // Half a list would mislead.
            None => return String::new(),
        }
    }
    if texts.is_empty() {
        return String::new();
    }
    format!("expected {}", texts.join(" or "))
}

/// Of several forms the one that was meant, if all others want another type or another tag.
fn meant<'a, 'b>(
    forms: &'a [Vec<ValidationError<'b>>],
    pointer: &str,
) -> Option<&'a [ValidationError<'b>]> {
    let is_another = |errors: &Vec<ValidationError<'_>>| {
        errors.iter().any(|error| {
            let at = error.instance_path().as_str();
            match error.kind() {
                ValidationErrorKind::Type { .. } | ValidationErrorKind::Enum { .. } => {
                    at == pointer
                }
                // The tag of a tagged form is one level down.
                ValidationErrorKind::Constant { .. } => {
                    at == pointer || at.rfind('/').is_some_and(|cut| at[..cut] == *pointer)
                }
                _ => false,
            }
        })
    };
    let mut fitting = forms.iter().filter(|errors| !is_another(errors));
    match (fitting.next(), fitting.next()) {
        (Some(errors), None) => Some(errors),
        _ => None,
    }
}

/// What is wrong, without the value.
fn problem(kind: &ValidationErrorKind, instance: &Value) -> String {
    match kind {
        ValidationErrorKind::Type {
            kind: TypeKind::Single(_) | TypeKind::Multiple(_),
        } => format!("is {}", type_name(instance)),
        ValidationErrorKind::Minimum { .. } | ValidationErrorKind::ExclusiveMinimum { .. } => {
            "is too small".to_owned()
        }
        ValidationErrorKind::Maximum { .. } | ValidationErrorKind::ExclusiveMaximum { .. } => {
            "is too large".to_owned()
        }
        ValidationErrorKind::MinLength { limit: 1 } => "is empty".to_owned(),
        ValidationErrorKind::MinLength { .. } => "is too short".to_owned(),
        ValidationErrorKind::MaxLength { .. } => "is too long".to_owned(),
        ValidationErrorKind::MinItems { .. } => "has too few items".to_owned(),
        ValidationErrorKind::MaxItems { .. } => "has too many items".to_owned(),
        ValidationErrorKind::UniqueItems => "has an item twice".to_owned(),
        ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. } => {
            "is not a value that this key takes".to_owned()
        }
        ValidationErrorKind::Pattern { .. } | ValidationErrorKind::Format { .. } => {
            "does not have the right form".to_owned()
        }
        ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
            "fits none of the forms that this key takes".to_owned()
        }
        ValidationErrorKind::OneOfMultipleValid { .. } => {
            "fits more than one of the forms that this key takes".to_owned()
        }
        ValidationErrorKind::FalseSchema => "must not be there".to_owned(),
        other => format!("breaks the schema's rule `{}`", other.keyword()),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

/// What would be right, in the words of `node`, or of `outer`, which refers to it.
fn expected(node: &Value, outer: &Value) -> String {
    let title = outer.get("title").or_else(|| node.get("title"));
    if let Some(title) = title.and_then(Value::as_str) {
        return format!("expected {title}");
    }
    if let Some(options) = options(node) {
        return format!("expected {}", options.join(" or "));
    }
    let kinds: Vec<&str> = match node.get("type") {
        Some(Value::String(kind)) => vec![kind.as_str()],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if kinds.is_empty() {
        return String::new();
    }
    let kinds: Vec<&str> = kinds.into_iter().map(kind_name).collect();
    format!("expected {}{}", kinds.join(" or "), bounds(node))
}

fn kind_name(kind: &str) -> &str {
    match kind {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a table",
        "null" => "nothing",
        other => other,
    }
}

/// The values that a node lists, quoted as they are written.
fn options(node: &Value) -> Option<Vec<String>> {
    let listed = match (node.get("enum"), node.get("const"), node.get("oneOf")) {
        (Some(Value::Array(options)), _, _) => options.iter().collect(),
        (_, Some(only), _) => vec![only],
        // How schemars writes an enum whose variants have descriptions.
        (_, _, Some(Value::Array(forms))) => forms
            .iter()
            .map(|form| form.get("const"))
            .collect::<Option<Vec<_>>>()?,
        _ => return None,
    };
    Some(listed.into_iter().map(Value::to_string).collect())
}

fn bounds(node: &Value) -> String {
    let number = |key| node.get(key).filter(|v| v.is_number());
    match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(" of at least {least}"),
        (None, Some(most)) => format!(" of at most {most}"),
        (None, None) => match node.get("minLength").and_then(Value::as_u64) {
            Some(1) => " that is not empty".to_owned(),
            Some(least) => format!(" of at least {least} characters"),
            None => String::new(),
        },
    }
}

/// The known key that `key` was probably meant to be, or all of them.
fn known_keys(node: &Value, key: &str, value: Option<&Value>) -> String {
    let properties = node.get("properties").and_then(Value::as_object);
    let properties = || properties.into_iter().flatten();
    let known: Vec<&str> = properties().map(|(name, _)| name.as_str()).collect();
    // A table where only one key takes tables under names of the operator's choice was
    // probably meant to be one of those.
    let mut maps = properties().filter(|(_, child)| {
        child
            .get("additionalProperties")
            .is_some_and(Value::is_object)
    });
    let only_map = maps.next().filter(|_| maps.next().is_none());
    match (nearest(key, &known), only_map) {
        (None, Some((map, _))) if value.is_some_and(Value::is_object) => {
            format!("did you mean `{map}.{key}`?")
        }
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, _) if known.is_empty() => "no keys are known here".to_owned(),
        (None, _) => format!("known keys here: {}", known.join(", ")),
    }
}

/// The one of `known` that `name` is a slip of the pen away from.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase().replace('-', "_");
    if let Some(longer) = known
        .iter()
        .find(|k| name.len() > 2 && k.starts_with(&name))
    {
        return Some(longer);
    }
    known
        .iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&name, &candidate.to_lowercase()),
                *candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.len() / 3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// The node that a `$ref` points to; the node itself without one.
fn follow<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    node.get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| schema.pointer(reference.strip_prefix('#')?))
        .unwrap_or(node)
}
