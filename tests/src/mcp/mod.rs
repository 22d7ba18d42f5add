//! Servers that speak the Model Context Protocol: one that is a program and goes wrong in many ways, and one over HTTP
//! on the protocol's own Rust SDK.

mod folder;
mod http;
pub mod program;

pub use folder::Folder;
pub use http::{HttpFault, HttpServer};
