//! `roundhouse schema`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::output;
use crate::server::documents;

#[derive(Args, Debug)]
pub(super) struct SchemaArgs {
    /// Which one.
    which: Which,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    /// JSON Schema of what clients send.
    Client,
    /// JSON Schema of what clients get.
    Server,
    /// JSON Schema of the configuration.
    Config,
    /// OpenAPI document of the HTTP interface.
    Openapi,
    /// AsyncAPI document of the WebSocket.
    Asyncapi,
}

pub(super) fn run(args: &SchemaArgs) -> anyhow::Result<ExitCode> {
    let document: Value = match args.which {
        Which::Client => documents::client(),
        Which::Server => documents::server(),
        Which::Config => documents::config(),
        Which::Openapi => documents::openapi(),
        Which::Asyncapi => documents::asyncapi(),
    };
    let text = crate::protocol::schema::schema_text(&document);
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
