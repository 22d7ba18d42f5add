//! `ROUNDHOUSE_…` variables as configuration values.

use std::ffi::OsString;

use serde_json::Value;

use super::fault::{Fault, Source};
use super::layers::json_number;
use super::schema;

const PREFIX: &str = "ROUNDHOUSE_";

/// What one variable sets.
#[derive(Debug)]
pub(super) struct Setting {
    /// The variable's name as it was given.
    pub(super) name: String,
    /// The key's path, lower case.
    pub(super) path: Vec<String>,
    pub(super) value: Value,
}

/// Picks the host's variables out of `variables`, sorted by name.
pub(super) fn read(
    variables: Vec<(OsString, OsString)>,
    schema: &Value,
) -> (Vec<Setting>, Vec<Fault>) {
    let mut settings: Vec<Setting> = Vec::new();
    let mut faults = Vec::new();
    for (name, text) in variables {
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        if is_service_link(rest) {
            continue;
        }
        let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        let name = format!("{PREFIX}{rest}");
        if path.iter().any(String::is_empty) {
            faults.push(fault(
                name,
                "does not name a key",
                "write the key's levels with two underscores between them, as in \
                 ROUNDHOUSE_SERVER__LISTEN",
            ));
        } else if let Some(text) = text.to_str() {
            let value = value(text, schema::node_of(schema, &path));
            settings.push(Setting { name, path, value });
        } else {
            faults.push(fault(name, "is not UTF-8 text", ""));
        }
    }
    settings.sort_by(|a, b| a.path.cmp(&b.path));
    refuse_covered(&settings, &mut faults);
    (settings, faults)
}

/// A value in the place of a table would silently take away what files put there, if
/// another variable then set a key in it.
fn refuse_covered(settings: &[Setting], faults: &mut Vec<Fault>) {
    for pair in settings.windows(2) {
        let [whole, part] = pair else { continue };
        if part.path.starts_with(&whole.path) && !whole.value.is_object() {
            faults.push(fault(
                whole.name.clone(),
                &format!("stands where {} expects a table", part.name),
                "remove one of the two",
            ));
        }
    }
}

fn fault(name: String, problem: &str, expected: &str) -> Fault {
    Fault {
        source: Source::Env(name),
        line: None,
        key: String::new(),
        problem: problem.to_owned(),
        expected: expected.to_owned(),
    }
}

/// Kubernetes gives every pod variables about each service beside it, and those of a service
/// called `roundhouse` begin like ours: `ROUNDHOUSE_SERVICE_HOST`,
/// `ROUNDHOUSE_PORT_8080_TCP_ADDR`.
fn is_service_link(rest: &str) -> bool {
    if rest.contains("__") {
        return false;
    }
    rest == "SERVICE_HOST"
        || rest == "SERVICE_PORT"
        || rest.starts_with("SERVICE_PORT_")
        || rest == "PORT"
        || rest
            .strip_prefix("PORT_")
            .is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()))
}

/// A text stays as it is where the schema wants a text and nothing else (a token's hash may be
/// all digits). Everywhere else figment's notation tells numbers, `true` and `false`,
/// `[lists]` and `{tables = "…"}` from texts.
fn value(text: &str, node: Option<&Value>) -> Value {
    let text_only = node
        .and_then(|node| node.get("type"))
        .is_some_and(|kind| kind == "string");
    if text_only {
        return Value::String(text.to_owned());
    }
    match text.parse::<figment::value::Value>() {
        Ok(parsed) => json(parsed),
    }
}

fn json(value: figment::value::Value) -> Value {
    use figment::value::Value as Figment;
    match value {
        Figment::String(_, text) => Value::String(text),
        Figment::Char(_, char) => Value::String(char.to_string()),
        Figment::Bool(_, bool) => Value::Bool(bool),
        Figment::Num(_, number) => json_number(number),
        Figment::Empty(..) => Value::Null,
        Figment::Dict(_, dict) => dict.into_iter().map(|(k, v)| (k, json(v))).collect(),
        Figment::Array(_, items) => items.into_iter().map(json).collect(),
    }
}
