//! The layout of what crosses, in numbers: a change here is a change of the ABI.
//!
//! Rows are only ever added at the end of a struct's list.

#![cfg(target_pointer_width = "64")]

use std::mem::{align_of, offset_of, size_of};

use plugin_api::abi::types::*;

macro_rules! layout {
    ($($name:ident: $size:literal { $($field:ident: $offset:literal),* $(,)? })*) => {
        #[test]
        #[allow(non_snake_case)]
        fn structs_have_the_layout_that_was_published() {
            $(
                assert_eq!(size_of::<$name>(), $size, concat!("size of ", stringify!($name)));
                assert_eq!(align_of::<$name>(), 8, concat!("alignment of ", stringify!($name)));
                $(assert_eq!(
                    offset_of!($name, $field),
                    $offset,
                    concat!("offset of ", stringify!($name), ".", stringify!($field))
                );)*
            )*
        }
    };
}

layout! {
    RhStr: 16 { ptr: 0, len: 8 }
    RhWriter: 16 { ctx: 0, write: 8 }
    RhEventSink: 16 { ctx: 0, push: 8 }
    RhPlugin: 96 {
        size: 0, abi_minor: 8, min_host_minor: 12, flags: 16, component_count: 20, components: 24, name: 32,
        version: 48, built_with: 64, init: 80, set_log_level: 88,
    }
    RhComponent: 48 { size: 0, kind: 8, reserved: 12, name: 16, describe: 32, vtable: 40 }
    RhAgent: 56 { size: 0, create: 8, shutdown: 16, session_ended: 24, run: 32, stop: 40, resume: 48 }
    RhToolset: 56 { size: 0, create: 8, shutdown: 16, session_ended: 24, list: 32, call: 40, cancel: 48 }
    RhMapper: 56 { size: 0, create: 8, shutdown: 16, kinds: 24, open: 32, map: 40, close: 48 }
    RhEvent: 96 { size: 0, kind: 8, flags: 12, name: 16, id: 32, parent: 48, text: 64, json: 80 }
    RhCompletion: 56 { size: 0, status: 8, kind: 12, value: 16, text: 24, json: 40 }
    RhSink: 32 { size: 0, ctx: 8, item: 16, done: 24 }
    RhLog: 72 { size: 0, scope: 8, level: 16, reserved: 20, target: 24, message: 40, fields: 56 }
    RhHost: 96 {
        size: 0, abi_minor: 8, reserved: 12, ctx: 16, emit: 24, complete: 32, request: 40, cancel: 48, image: 56,
        log: 64, child_guard: 72, set_health: 88,
    }
}

#[test]
fn constants_have_the_values_that_were_published() {
    assert_eq!(ENTRY_SYMBOL, "rh_plugin_v1");
    assert_eq!(ABI_MINOR, 1);
    assert_eq!(PLUGIN_PANIC_ABORT, 1);
    assert_eq!(
        [COMPONENT_AGENT, COMPONENT_TOOLSET, COMPONENT_MAPPER],
        [1, 2, 3]
    );
    assert_eq!([MAP_PASS, MAP_DROP, MAP_REPLACE], [0, 1, 2]);
    let events = [
        EVENT_CUSTOM,
        EVENT_STREAM_DELTA,
        EVENT_THINKING_DELTA,
        EVENT_THINKING_END,
        EVENT_TURN_THINKING,
        EVENT_PLANNING_STATUS,
        EVENT_PLAN_READY,
        EVENT_TOOL_STARTED,
        EVENT_TOOL_CALL,
        EVENT_PROFILE_SWITCHED,
        EVENT_CONTEXT_COMPRESSED,
        EVENT_STREAM_STOPPED,
        EVENT_STREAM_END,
        EVENT_ERROR,
    ];
    assert!(events.iter().copied().eq(0..14));
    assert_eq!(EVENT_SUBAGENT, 1);
    assert_eq!([STATUS_FINISHED, STATUS_STOPPED, STATUS_FAILED], [0, 1, 2]);
    let failures = [
        FAILED_AGENT,
        FAILED_SESSION_NOT_FOUND,
        FAILED_MAX_ITERATIONS,
        FAILED_INTERNAL,
        FAILED_CONFIG,
    ];
    assert!(failures.iter().copied().eq(0..5));
    assert_eq!([OK, SLOW, STOP], [0, 1, 2]);
    assert_eq!([ERR_INVALID, ERR_TOO_LARGE, ERR_UNSUPPORTED], [-1, -2, -3]);
    assert_eq!([ERR_INTERNAL, ERR_FAILED, ERR_CANCELLED], [-4, -5, -6]);
    assert_eq!([HEALTH_OK, HEALTH_DEGRADED, HEALTH_FAILING], [0, 1, 2]);
    assert_eq!(
        [LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE],
        [1, 2, 3, 4, 5]
    );
}
