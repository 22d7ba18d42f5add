//! Plugin API.

pub mod abi;
