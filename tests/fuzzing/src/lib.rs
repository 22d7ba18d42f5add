//! What the fuzz targets do with their input: one function for each. Each takes any bytes at all, and panics, or worse,
//! when something does not hold that must.
//!
//! - [`client_frame`]: what a client sends, up to what is stored of it
//! - [`boundary`]: what a hostile library hands to the host, as far as lengths and pointers are right
//! - [`worker_frames`]: what a worker process sends
//!
//! `fuzz/` feeds them with what a fuzzer makes up; the tests of this package with `fuzz/corpus/`.

mod boundary;
mod client;
mod input;
mod library;
mod worker;

pub use boundary::boundary;
pub use client::client_frame;
pub use worker::worker_frames;
