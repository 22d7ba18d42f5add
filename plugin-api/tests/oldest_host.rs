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
    let size = offset_of!(RhHost, request);
    let content = by_hand::run(RhHost {
        size,
        log: Some(beyond),
        ..by_hand::LEAST
    });
    assert_eq!(content, "Err(Unsupported) Some(Err(Unavailable(1)))");
}
