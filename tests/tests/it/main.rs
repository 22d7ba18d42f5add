//! Everything that needs real dynamic libraries or a whole host, in one test program.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod acp;
mod architecture;
mod client;
mod events;
mod header;
mod health;
mod http_inside;
mod mcp;
mod metrics;
mod openai;
mod plugins;
mod protocol_v1;
mod protocol_v2;
mod reload;
mod symbols;
