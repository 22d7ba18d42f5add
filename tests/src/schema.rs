//! The published schemas, as every frame of every test has to fit them.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonschema::Validator;
use roundhouse_host::server::documents;
use serde_json::Value;

static SERVER: LazyLock<Validator> = LazyLock::new(|| validator(&documents::server()));
static CLIENT: LazyLock<Validator> = LazyLock::new(|| validator(&documents::client()));

/// Version 1 as it was when clients began to rely on it.
static FROZEN: LazyLock<Validator> = LazyLock::new(|| {
    let text = include_str!("../frozen/protocol-v1/server.json");
    match serde_json::from_str(text) {
        Ok(schema) => validator(&schema),
        Err(error) => panic!("the frozen schema is no JSON: {error}"),
    }
});

fn validator(schema: &Value) -> Validator {
    match jsonschema::draft202012::new(schema) {
        Ok(validator) => validator,
        Err(error) => panic!("a published schema is no schema: {error}"),
    }
}

/// What in a frame of the host breaks the schema of server messages; empty when nothing does.
#[must_use]
pub fn server_faults(message: &Value) -> Vec<String> {
    faults(&SERVER, message)
}

/// What in a frame of the host breaks version 1's schema as it was frozen; empty when nothing does.
#[must_use]
pub fn frozen_faults(message: &Value) -> Vec<String> {
    faults(&FROZEN, message)
}

/// What in a frame of a client breaks the schema of client messages; empty when nothing does.
#[must_use]
pub fn client_faults(message: &Value) -> Vec<String> {
    faults(&CLIENT, message)
}

fn faults(validator: &Validator, message: &Value) -> Vec<String> {
    if validator.is_valid(message) {
        return Vec::new();
    }
    validator
        .iter_errors(message)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// The folder of the checked-in schemas.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema")
}
