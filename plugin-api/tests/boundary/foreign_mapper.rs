//! A mapper that answers what its events say, under the real host's side.

use std::ffi::c_void;
use std::mem::offset_of;
use std::ptr::{from_ref, null, without_provenance_mut};

use plugin_api::abi::import::{ComponentKind, MapFault, Verdict};
use plugin_api::abi::types::*;
use plugin_api::{Event, EventKinds};

use crate::descriptors::{COMPONENT, EMPTY, read_with};
use crate::foreign_plugin::{event, foreign};

unsafe extern "C" fn create(_: u64, _: RhStr, _: RhStr) {}
unsafe extern "C" fn shutdown(_: *mut c_void, _: u64) {}
unsafe extern "C" fn kinds(_: *mut c_void) -> u64 {
    u64::MAX
}
unsafe extern "C" fn open(_: *mut c_void, _: RhStr) -> *mut c_void {
    without_provenance_mut(1)
}
unsafe extern "C" fn close(_: *mut c_void) {}

unsafe extern "C" fn map(_: *mut c_void, got: *const RhEvent, out: RhEventSink) -> i32 {
    // SAFETY: the host lends an event.
    let text = unsafe { (*got).text };
    // SAFETY: as above, with its text.
    let text = unsafe { std::slice::from_raw_parts(text.ptr, text.len) };
    // SAFETY: the sink of this call.
    let push = |event: *const RhEvent| unsafe { (out.push)(out.ctx, event) };
    let good = event(EVENT_CUSTOM, "own");
    match text {
        b"pass after push" => {
            push(from_ref(&good));
            MAP_PASS
        }
        b"unknown" => 7,
        b"null" => push(null()).max(MAP_REPLACE),
        b"no name" => push(from_ref(&RhEvent {
            name: EMPTY,
            ..good
        }))
        .max(MAP_REPLACE),
        b"short" => {
            let short = RhEvent {
                size: offset_of!(RhEvent, text),
                ..good
            };
            push(from_ref(&short));
            MAP_REPLACE
        }
        _ => MAP_PASS,
    }
}

static TABLE: RhMapper = RhMapper {
    size: size_of::<RhMapper>(),
    create: Some(create),
    shutdown: Some(shutdown),
    kinds: Some(kinds),
    open: Some(open),
    map: Some(map),
    close: Some(close),
};

#[tokio::test]
async fn a_mapper_that_does_it_wrong_is_found_out() {
    let vtable = from_ref(&TABLE).cast();
    let component = RhComponent {
        kind: COMPONENT_MAPPER,
        vtable,
        ..COMPONENT
    };
    let plugin = read_with(&[from_ref(&component)]).unwrap();
    let ComponentKind::Mapper(functions) = plugin.components[0].kind else {
        panic!()
    };
    // Any instance will do: this mapper looks at none.
    let (table, host) = foreign();
    let mut scope = host.scope();
    let completion = RhCompletion {
        size: size_of::<RhCompletion>(),
        status: STATUS_FINISHED,
        kind: 0,
        value: without_provenance_mut(1),
        text: EMPTY,
        json: EMPTY,
    };
    // SAFETY: a whole completion.
    unsafe { table.complete.unwrap()(table.ctx, scope.id, from_ref(&completion)) };
    // SAFETY: what this mapper takes for an instance.
    let instance = unsafe { functions.instance(scope.created().await) };
    assert_eq!(instance.kinds(), EventKinds::from_bits(u64::MAX));
    let mut state = instance.open("{}").unwrap();
    let mut map = |text: &str| {
        let mut events = Vec::new();
        let verdict = Event::stream_delta(text).with_parts(|parts| {
            state.map(parts, &mut |event| {
                events.push(Event::from_parts(event).unwrap())
            })
        });
        (verdict, events.len())
    };
    assert_eq!(map("x"), (Ok(Verdict::Pass), 0));
    assert_eq!(
        map("pass after push"),
        (Err(MapFault::Nonsense(MAP_PASS, 1)), 1)
    );
    assert_eq!(map("unknown"), (Err(MapFault::Nonsense(7, 0)), 0));
    assert_eq!(map("null"), (Err(MapFault::BadEvent), 0));
    assert_eq!(map("no name"), (Err(MapFault::BadEvent), 0));
    assert_eq!(map("short"), (Ok(Verdict::Replace), 1));
    let panicking = Event::stream_delta("short")
        .with_parts(|parts| state.map(parts, &mut |_| panic!("the host's own")));
    assert_eq!(panicking, Err(MapFault::BadEvent));
}
