//! A plugin under a host that knows less than this release.

#![expect(unsafe_code, reason = "a host written by hand")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod by_hand;

use std::ffi::c_void;
use std::mem::offset_of;

use plugin_api::abi::types::*;

#[test]
fn a_plugin_works_with_what_there_is() {
    unsafe extern "C" fn beyond(_: *mut c_void, _: *const RhLog) {
        unreachable!("a function that `size` does not cover is not there");
    }
    unsafe extern "C" fn health(_: *mut c_void, _: u64, _: u32, _: RhStr) -> i32 {
        unreachable!("as above");
    }
    let size = offset_of!(RhHost, request);
    let content = by_hand::run(RhHost {
        size,
        log: Some(beyond),
        child_guard: by_hand::lend("/no/such/guard"),
        set_health: Some(health),
        ..by_hand::LEAST
    });
    assert_eq!(content, "Err(Unsupported) Some(Err(Unavailable(1)))");
}
