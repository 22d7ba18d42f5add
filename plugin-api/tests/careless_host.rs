//! A plugin under a host that uses its sinks too often, and lends what is no string.

#![expect(unsafe_code, reason = "a host written by hand")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod by_hand;

use std::ffi::c_void;
use std::ptr::{null, without_provenance_mut};

use by_hand::lend;
use plugin_api::abi::types::*;

unsafe extern "C" fn request(
    _: *mut c_void,
    _: u64,
    _: u64,
    _: RhStr,
    _: RhStr,
    sink: *const RhSink,
) -> i32 {
    // SAFETY: the plugin lends a sink.
    let sink = unsafe { *sink };
    let (item, done) = (sink.item.unwrap(), sink.done.unwrap());
    // Before `request` has returned, twice, and with an item after the end.
    for _ in 0..2 {
        // SAFETY: a request is a number to the plugin, which sees that the string is none.
        unsafe {
            item(
                sink.ctx,
                RhStr {
                    ptr: null(),
                    len: 9,
                },
            )
        };
        // SAFETY: as above. The status is one of a later release, and no error.
        unsafe { done(sink.ctx, 17, lend("{\"text\":\"early\"}")) };
    }
    // SAFETY: as above; this request never was.
    unsafe {
        done(
            without_provenance_mut(usize::MAX),
            OK,
            RhStr {
                ptr: b"\xff".as_ptr(),
                len: 1,
            },
        )
    };
    OK
}

unsafe extern "C" fn image(_: *mut c_void, _: u64, _: u64, out: RhWriter) -> i32 {
    assert_eq!(
        // SAFETY: the writer of this call, which sees that there are no bytes.
        unsafe {
            (out.write)(
                out.ctx,
                RhStr {
                    ptr: null(),
                    len: 1,
                },
            )
        },
        ERR_INVALID
    );
    // SAFETY: as above; in pieces.
    unsafe { (out.write)(out.ctx, lend("a")) };
    // SAFETY: as above.
    unsafe { (out.write)(out.ctx, lend("b")) }
}

#[test]
fn a_plugin_takes_no_harm() {
    let content = by_hand::run(RhHost {
        request: Some(request),
        image: Some(image),
        ..by_hand::LEAST
    });
    assert_eq!(content, "Ok(\"early\") Some(Ok([97, 98]))");
}
