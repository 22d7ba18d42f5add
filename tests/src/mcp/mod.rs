//! Servers that speak the Model Context Protocol: the folder of one that is a program (`mcp-server` of `test-programs`) and goes
//! wrong in many ways, and one over HTTP on the protocol's own Rust SDK.

mod folder;
mod http;

pub use folder::Folder;
pub use http::{HttpFault, HttpServer};
