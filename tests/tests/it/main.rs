//! What needs real dynamic libraries or a whole host, in one test program; the shipped agents have one of their own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod architecture;
mod client;
mod events;
mod header;
mod health;
mod http_inside;
mod metrics;
mod plugins;
mod protocol_v1;
mod protocol_v2;
mod reload;
mod symbols;
