//! Both sides of the boundary in one program: a plugin made with `export!`'s parts, linked statically, and the
//! host's side driving it.

#![expect(unsafe_code, reason = "the entry function is called as the host does")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod descriptors;
mod fixture;
mod fixture_mappers;
mod foreign_host;
mod foreign_mapper;
mod foreign_plugin;
mod host;
mod instances;
mod layout;
mod logs;
mod mappers;
mod runs;
mod services;
mod tools;
mod wire;
