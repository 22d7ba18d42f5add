//! The published documents, as the command line prints them, the host serves them and `docs/schema` keeps them.

use serde_json::Value;

use super::{asyncapi, rest};
use crate::{config, protocol};

/// JSON Schema of what clients send.
pub fn client() -> Value {
    protocol::schema::client_schema()
}

/// JSON Schema of what clients get.
pub fn server() -> Value {
    protocol::schema::server_schema()
}

/// JSON Schema of the configuration.
pub fn config() -> Value {
    config::schema().clone()
}

/// OpenAPI document of the HTTP interface.
pub fn openapi() -> Value {
    rest::openapi()
}

/// AsyncAPI document of the WebSocket.
pub fn asyncapi() -> Value {
    asyncapi::document()
}
