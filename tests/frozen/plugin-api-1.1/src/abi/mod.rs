//! The boundary: what crosses, and both of its sides.
//!
//! - [`types`]: the C types, which are also the C header `include/roundhouse_plugin.h`;
//! - `export`: the plugin's side, made by [`export!`](crate::export!) from the author's types;
//! - `import` (feature `host`): the host's side, safe functions over the C types.
//!
//! Rules that both sides keep:
//!
//! - Neither trusts the other further than C forces: strings are checked for null and UTF-8, a struct is
//!   read no further than its `size` says, a function that is not there is not called.
//! - No panic crosses: each `extern "C"` function catches what its side throws.
//! - Every function returns at once. No future, waker or runtime handle crosses.
//! - Nobody frees what the other side allocated.
//!
//! Authors need nothing of this module.

#![expect(unsafe_code, reason = "the boundary speaks C")]

mod borrow;
pub mod export;
mod export_macro;
mod guard;
#[cfg(feature = "host")]
pub mod import;
pub mod types;

pub use borrow::BorrowError;
