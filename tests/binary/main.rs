//! Tests that start the `roundhouse` binary as a process of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod chat;
mod child_guard;
mod cli;
mod faults;
mod frozen;
mod guide;
mod killed;
mod nested;
mod plugin_new;
mod plugin_test;
mod process;
mod reload;
mod signals;
mod swap;
mod telemetry;
mod workers;
