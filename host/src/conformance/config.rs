//! Configurations that do not do.

use plugin_api::abi::import::FailureKind;
use serde_json::{Value, json};

use super::Verdict;
use super::bench::Bench;
use super::observer::End;
use crate::plugin::Schema;

/// Stands for a secret: no text may repeat it.
const MARK: &str = "hunter2-never-show-this";

/// A key that no component has.
const UNKNOWN: &str = "no_such_key";

/// Creates instances of configurations that do not do: each must end, once, and be refused for what it is.
pub(super) fn bad(bench: &Bench<'_>) -> Result<Verdict, String> {
    let described = bench
        .component
        .describe()
        .map_err(|error| error.to_string())?;
    let schema = Schema::compile(&described.config_schema).map_err(|error| error.to_string())?;
    let good: Value =
        serde_json::from_str(&bench.configured.json).map_err(|error| error.to_string())?;
    let (mut refused, mut accepted) = (0, 0);
    for (what, config) in candidates(schema.source(), &good) {
        // What the schema lets through may well be right.
        let fits =
            serde_json::from_str(&config).is_ok_and(|value| schema.breaches(&value).is_empty());
        if fits {
            continue;
        }
        bench.note(&format!("`create` with {what}"));
        match bench.create(&config)? {
            (End::Finished(_), Some(made)) => {
                accepted += 1;
                bench.end_instance(&made)?;
            }
            (End::Finished(_), None) => {
                return Err(format!("`create` with {what} finished without an instance"));
            }
            (End::Stopped(_), _) => return Err(format!("`create` with {what} ended as stopped")),
            (End::Failed(FailureKind::Internal, text), _) => {
                return Err(format!(
                    "`create` with {what} failed with a fault that nobody foresaw, and not with what is wrong: {text}"
                ));
            }
            (End::Failed(_, text), _) if text.is_empty() => {
                return Err(format!(
                    "`create` with {what} was refused without a word on why"
                ));
            }
            (End::Failed(_, text), _) if text.contains(MARK) => {
                return Err(format!(
                    "`create` with {what} was refused with a text that repeats the value"
                ));
            }
            (End::Failed(..), _) => refused += 1,
        }
    }
    // It must not have left the component unable to do what is right.
    let made = bench.made()?;
    bench.end_instance(&made)?;
    let open = match good {
        Value::Object(_) => schema
            .breaches(&with(&good, UNKNOWN, json!(MARK)))
            .is_empty(),
        _ => false,
    };
    let mut detail = format!("{refused} refused");
    if accepted > 0 {
        detail += &format!(", {accepted} accepted that a host refuses by the schema");
    }
    if open {
        detail += "; its schema allows unknown keys, so a misspelt one goes unnoticed";
    }
    Ok(Verdict::passed(detail))
}

/// What to try: what it is, and the text.
fn candidates(schema: &Value, good: &Value) -> Vec<(String, String)> {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let mut all: Vec<(String, String)> = [
        ("a configuration that is no JSON", "{\"a\":"),
        ("a list for a configuration", "[1,2,3]"),
        ("a number for a configuration", "3"),
        ("a configuration of null", "null"),
    ]
    .into_iter()
    .map(|(what, text)| (what.to_owned(), text.to_owned()))
    .collect();
    all.push((
        "a configuration that is nested 20,000 deep".to_owned(),
        deep,
    ));
    all.push((
        "a configuration with an unknown key".to_owned(),
        with(good, UNKNOWN, json!(MARK)).to_string(),
    ));
    let properties = schema.get("properties").and_then(Value::as_object);
    for key in properties.into_iter().flatten().map(|(key, _)| key) {
        for (what, value) in [
            ("a text", json!(MARK)),
            ("a list", json!([MARK])),
            ("a table", json!({ UNKNOWN: MARK })),
            ("a huge number", json!(1e300)),
            ("a negative number", json!(-1)),
        ] {
            all.push((
                format!("{what} for `{key}`"),
                with(good, key, value).to_string(),
            ));
        }
    }
    all
}

fn with(table: &Value, key: &str, value: Value) -> Value {
    let mut table = table.as_object().cloned().unwrap_or_default();
    table.insert(key.to_owned(), value);
    Value::Object(table)
}
