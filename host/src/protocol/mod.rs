//! The wire protocol as types: what a client may send, what it gets, in which bytes and with which
//! words. Pure: nothing here does I/O, waits, or knows of sockets, tasks or clocks.
//!
//! In reading order:
//!
//! - [`event`]: what a run emits, [`RunEvent`], and its encoding for clients
//! - [`version`]: the versions, and how a connection asks for one
//! - [`hello`]: how version 2 greets a client, and what it replays
//! - [`server`]: version 1's frames around a run's events (heartbeat, replay brackets, answers)
//! - [`answers`]: what version 2 answers frames with
//! - [`client`]: what a client sends, [`parse_client_frame`]
//! - [`errors`]: every code and every text of an error
//! - [`close`]: the close codes and whether a client should come back
//! - [`notes`]: what is added to a message's content for images and files
//! - [`kinds`]: the names and keys that belong to the protocol itself
//! - [`messages`]: the messages that a client gets, from which frames and schema are both made
//! - [`encode`]: events as messages
//! - [`frames`]: messages as they go over a WebSocket
//! - `stored`: events as they are stored, read back
//! - [`schema`]: the published JSON Schemas
//! - [`json`]: JSON that is passed on as text

pub mod answers;
pub mod client;
pub mod close;
pub mod encode;
pub mod errors;
pub mod event;
pub mod frames;
pub mod hello;
pub mod json;
pub mod kinds;
pub mod messages;
pub mod notes;
pub mod schema;
pub mod server;
mod stored;
pub mod version;

#[cfg(test)]
mod tests;

pub use client::{
    ClientFault, ClientMessage, ClientRequest, Delivery, OnBusy, ParseLimits, SentId, Unreadable,
    parse_client_frame,
};
pub use close::CloseCode;
pub use encode::Position;
pub use errors::ErrorCode;
pub use event::{RunEvent, RunFailure, StreamEnd, ToolCall, ToolStarted};
pub use json::{Json, JsonFault};
pub use stored::read_stored;
pub use version::Version;
