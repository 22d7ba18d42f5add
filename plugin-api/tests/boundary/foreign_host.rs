//! The plugin's functions, called by a host that does it wrong.

use std::ffi::c_void;
use std::mem::offset_of;
use std::ptr::{from_ref, null, null_mut, without_provenance_mut};

use plugin_api::abi::import::FailureKind;
use plugin_api::abi::types::*;

use crate::host::{PLUGIN, Scope, host, run_json};

const BAD_UTF8: RhStr = RhStr {
    ptr: b"\xff\xfe".as_ptr(),
    len: 2,
};
const NULL: RhStr = RhStr {
    ptr: null(),
    len: 3,
};
const ENDLESS: RhStr = RhStr {
    ptr: b"x".as_ptr(),
    len: usize::MAX,
};
const EMPTY: RhStr = RhStr {
    ptr: null(),
    len: 0,
};
const BAD_STRINGS: [RhStr; 3] = [BAD_UTF8, NULL, ENDLESS];

fn lend(text: &str) -> RhStr {
    RhStr {
        ptr: text.as_ptr(),
        len: text.len(),
    }
}

fn plugin() -> &'static RhPlugin {
    // Connects it, if no other test has yet.
    let _ = &*PLUGIN;
    // SAFETY: the static descriptor of this program.
    unsafe { &*crate::fixture::entry() }
}

fn component(at: usize) -> &'static RhComponent {
    // SAFETY: the descriptor's own array, which is longer than `at`.
    let component = unsafe { plugin().components.add(at) };
    // SAFETY: as above.
    let component = unsafe { *component };
    // SAFETY: a static of this program.
    unsafe { &*component }
}

fn worker() -> &'static RhAgent {
    // SAFETY: the first component is an agent.
    unsafe { &*component(0).vtable.cast() }
}

fn tool_box() -> &'static RhToolset {
    // SAFETY: the third component is a toolset.
    unsafe { &*component(2).vtable.cast() }
}

fn edit() -> &'static RhMapper {
    // SAFETY: the last component is a mapper.
    unsafe { &*component(4).vtable.cast() }
}

async fn created(create: unsafe extern "C" fn(u64, RhStr, RhStr)) -> *mut c_void {
    let mut scope = host().scope();
    // SAFETY: strings of this program.
    unsafe { create(scope.id, lend("{}"), lend("{}")) };
    let pointer = scope.created().await;
    // SAFETY: one pointer without anything else.
    unsafe { std::mem::transmute::<plugin_api::abi::import::InstancePtr, *mut c_void>(pointer) }
}

#[test]
fn init_refuses_what_is_no_host() {
    let init = plugin().init.unwrap();
    // SAFETY: null is what it must refuse.
    assert_eq!(unsafe { init(null()) }, ERR_INVALID);
    for size in [0, 7, offset_of!(RhHost, emit), usize::MAX / 2 + 1] {
        let table = RhHost {
            size,
            abi_minor: 0,
            reserved: 0,
            ctx: null_mut(),
            emit: None,
            complete: None,
            request: None,
            cancel: None,
            image: None,
            log: None,
            child_guard: EMPTY,
            set_health: None,
        };
        // SAFETY: a table that says less than it has, or has no functions.
        assert_eq!(unsafe { init(&raw const table) }, ERR_INVALID, "{size}");
    }
    let odd = without_provenance_mut::<RhHost>(12_345);
    // SAFETY: misaligned, which it must refuse before it reads.
    assert_eq!(unsafe { init(odd) }, ERR_INVALID);
}

#[test]
fn init_refuses_a_second_host() {
    unsafe extern "C" fn emit(_: *mut c_void, _: u64, _: *const RhEvent) -> i32 {
        OK
    }
    unsafe extern "C" fn complete(_: *mut c_void, _: u64, _: *const RhCompletion) -> i32 {
        OK
    }
    let init = plugin().init.unwrap();
    let table = RhHost {
        size: size_of::<RhHost>(),
        abi_minor: 0,
        reserved: 0,
        ctx: without_provenance_mut(1),
        emit: Some(emit),
        complete: Some(complete),
        request: None,
        cancel: None,
        image: None,
        log: None,
        child_guard: EMPTY,
        set_health: None,
    };
    // SAFETY: a table that the plugin has no reason to keep.
    assert_eq!(unsafe { init(&raw const table) }, ERR_INVALID);
}

#[tokio::test]
async fn garbage_in_strings_fails_what_was_started() {
    let instance = created(worker().create.unwrap()).await;
    let tools = created(tool_box().create.unwrap()).await;
    for bad in BAD_STRINGS {
        let failed = async |mut scope: Scope| {
            let (kind, text) = scope.failed().await;
            assert_eq!(kind, FailureKind::Internal, "{text}");
            scope.nothing_more();
        };
        let scope = host().scope();
        // SAFETY: what is wrong with the string is found without reading past it.
        unsafe { worker().create.unwrap()(scope.id, bad, lend("{}")) };
        failed(scope).await;
        let scope = host().scope();
        // SAFETY: as above.
        unsafe { worker().create.unwrap()(scope.id, lend("{}"), bad) };
        failed(scope).await;
        let scope = host().scope();
        // SAFETY: as above.
        unsafe { worker().run.unwrap()(instance, scope.id, bad) };
        failed(scope).await;
        for (name, args, params) in [
            (bad, EMPTY, EMPTY),
            (EMPTY, bad, EMPTY),
            (EMPTY, EMPTY, bad),
        ] {
            let scope = host().scope();
            // SAFETY: as above.
            unsafe { tool_box().call.unwrap()(tools, scope.id, name, args, params) };
            failed(scope).await;
        }
        // SAFETY: as above.
        unsafe { worker().session_ended.unwrap()(instance, bad) };
    }
}

#[tokio::test]
async fn an_instance_that_is_none_is_found_to_be() {
    let tools = created(tool_box().create.unwrap()).await;
    for instance in [null_mut(), without_provenance_mut(usize::MAX), tools] {
        let mut scope = host().scope();
        // SAFETY: an instance is a number to the plugin; this is none of an agent's.
        unsafe { worker().run.unwrap()(instance, scope.id, lend(&run_json("echo x"))) };
        assert_eq!(scope.failed().await.1, "there is no such instance");
        // SAFETY: as above.
        unsafe { worker().session_ended.unwrap()(instance, lend("s")) };
        // SAFETY: as above.
        unsafe { worker().stop.unwrap()(instance, 1) };
        // SAFETY: as above.
        unsafe { worker().resume.unwrap()(instance, 1) };
        let mut scope = host().scope();
        // SAFETY: as above.
        unsafe { worker().shutdown.unwrap()(instance, scope.id) };
        scope.completion().await;
        // SAFETY: as above.
        assert_eq!(unsafe { edit().kinds.unwrap()(instance) }, u64::MAX);
        // SAFETY: as above.
        assert!(unsafe { edit().open.unwrap()(instance, lend("{}")) }.is_null());
    }
    // The toolset took no harm from it.
    let mut scope = host().scope();
    // SAFETY: an instance that is still there.
    unsafe { tool_box().list.unwrap()(tools, scope.id) };
    scope.completion().await;
    for _ in 0..2 {
        let mut scope = host().scope();
        // SAFETY: the second time it is one that is gone.
        unsafe { tool_box().shutdown.unwrap()(tools, scope.id) };
        scope.completion().await;
    }
    let mut scope = host().scope();
    // SAFETY: as above.
    unsafe { tool_box().list.unwrap()(tools, scope.id) };
    assert_eq!(scope.failed().await.1, "there is no such instance");
}

fn delta(size: usize) -> RhEvent {
    let (name, text) = (lend("stream_delta"), lend("twice"));
    RhEvent {
        size,
        kind: EVENT_STREAM_DELTA,
        flags: !0,
        name,
        id: EMPTY,
        parent: EMPTY,
        text,
        json: EMPTY,
    }
}

#[tokio::test]
async fn a_mapper_takes_no_garbage() {
    unsafe extern "C" fn refuse(_: *mut c_void, _: *const RhEvent) -> i32 {
        -77
    }
    let instance = created(edit().create.unwrap()).await;
    let map = edit().map.unwrap();
    let out = RhEventSink {
        ctx: null_mut(),
        push: refuse,
    };
    // SAFETY: an instance of this very mapper.
    let state = unsafe { edit().open.unwrap()(instance, EMPTY) };
    assert!(!state.is_null());
    let good = delta(size_of::<RhEvent>());
    assert_eq!(
        // SAFETY: null is what it must refuse.
        unsafe { map(null_mut(), from_ref(&good), out) },
        ERR_INVALID
    );
    // SAFETY: as above.
    assert_eq!(unsafe { map(state, null(), out) }, ERR_INVALID);
    for bad in BAD_STRINGS {
        let event = RhEvent { text: bad, ..good };
        // SAFETY: what is wrong with the string is found without reading past it.
        assert_eq!(unsafe { map(state, from_ref(&event), out) }, ERR_INVALID);
    }
    for size in [0, 7] {
        assert_eq!(
            // SAFETY: an event that says less than it has.
            unsafe { map(state, from_ref(&delta(size)), out) },
            ERR_INVALID
        );
    }
    // An older host's event ends earlier: this one before its text.
    let older = delta(offset_of!(RhEvent, text));
    // SAFETY: as above.
    assert_eq!(unsafe { map(state, from_ref(&older), out) }, MAP_PASS);
    // What the host answers to a push is the answer.
    // SAFETY: a whole event.
    assert_eq!(unsafe { map(state, from_ref(&good), out) }, -77);
    // SAFETY: what `open` gave, once.
    unsafe { edit().close.unwrap()(state) };
    // SAFETY: null is harmless.
    unsafe { edit().close.unwrap()(null_mut()) };
}

#[test]
fn a_writer_that_refuses_ends_the_description() {
    unsafe extern "C" fn refuse(_: *mut c_void, _: RhStr) -> i32 {
        ERR_TOO_LARGE
    }
    let out = RhWriter {
        ctx: null_mut(),
        write: refuse,
    };
    assert_eq!(
        // SAFETY: a writer that needs no `ctx`.
        unsafe { component(0).describe.unwrap()(out) },
        ERR_TOO_LARGE
    );
}
