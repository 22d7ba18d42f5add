//! The Roundhouse host.

mod child_guard;
pub mod cli;
pub mod client;
pub mod config;
mod confine;
pub mod conformance;
pub mod connection;
pub mod guard;
pub mod metrics;
pub mod plugin;
pub mod project;
pub mod protocol;
pub mod run;
pub mod server;
pub mod session;
pub mod spans;
