//! Messages for the agent `scripted`.

use serde_json::{Value, json};

/// The content that has `scripted` take these steps.
#[must_use]
pub fn script(steps: &[Value]) -> String {
    format!("script:{}", Value::from(steps))
}

/// The step that emits an event, given as the wire message.
///
/// # Panics
///
/// When it is not a wire message.
#[must_use]
pub fn emit(message: Value) -> Value {
    json!({ "emit": kind_for_type(message) })
}

/// The step that emits an event `times` times.
///
/// # Panics
///
/// When it is not a wire message.
#[must_use]
pub fn repeat(times: u64, message: Value) -> Value {
    json!({ "repeat": [times, kind_for_type(message)] })
}

/// The step that emits a `stream_delta`.
#[must_use]
pub fn delta(text: &str) -> Value {
    emit(json!({"type": "stream_delta", "delta": text}))
}

/// The step that holds the run until it is stopped; nobody waits for its time.
#[must_use]
pub fn hold() -> Value {
    json!({ "wait_stop": 600 })
}

/// A wire message as scripts have it: `kind` in place of `type`.
fn kind_for_type(message: Value) -> Value {
    let Value::Object(mut fields) = message else {
        panic!("an event is an object, not {message}");
    };
    let Some(kind) = fields.remove("type") else {
        panic!("an event has a `type`");
    };
    fields.insert("kind".to_owned(), kind);
    Value::Object(fields)
}
