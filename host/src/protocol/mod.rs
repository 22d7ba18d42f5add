//! The wire protocol as types: what a client may send, what it gets, in which bytes and with which
//! words. Pure: nothing here does I/O, waits, or knows of sockets, tasks or clocks.
//!
//! In reading order:
//!
//! - [`event`]: what a run emits, [`RunEvent`], and its encoding for clients
//! - [`server`]: the frames around a run's events (heartbeat, replay brackets, answers)
//! - [`client`]: what a client sends, [`parse_client_frame`]
//! - [`errors`]: every code and every text of an error
//! - [`close`]: the close codes and whether a client should come back
//! - [`notes`]: what is added to a message's content for images and files
//! - [`kinds`]: the names and keys that belong to the protocol itself
//! - [`v1`]: the messages of version 1, from which frames and schema are both made
//! - [`schema`]: the published JSON Schemas
//! - [`json`]: JSON that is passed on as text

pub mod client;
pub mod close;
pub mod errors;
pub mod event;
mod full;
pub mod json;
pub mod kinds;
pub mod notes;
pub mod schema;
pub mod server;
pub mod v1;

#[cfg(test)]
mod tests;

pub use client::{ClientFault, ClientMessage, ParseLimits, parse_client_frame};
pub use close::CloseCode;
pub use errors::ErrorCode;
pub use event::{RunEvent, RunFailure, StreamEnd, ToolCall, ToolStarted};
pub use json::{Json, JsonFault};
