//! The shipped plugins on something else: a model's server, an agent that is a program, servers of tools.
//!
//! They are apart from the other tests that load libraries, for a process has room for only so many: each that is opened
//! takes a key for thread-local values, of which the C library has 1,024, and keeps it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod acp;
mod mcp;
mod openai;
mod swap_the_agent;
