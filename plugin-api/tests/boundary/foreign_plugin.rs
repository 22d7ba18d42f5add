//! The host's functions, called by a plugin that does it wrong.

use std::ffi::c_void;
use std::mem::offset_of;
use std::ptr::{from_ref, null, null_mut, without_provenance_mut};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use plugin_api::abi::import::{
    Answer, Completion, EventRef, FailureKind, HostLibrary, LogLine, Sink,
};
use plugin_api::abi::types::*;

use crate::descriptors::{EMPTY, PLUGIN, lend, read};
use crate::host::TestHost;

static HOST: AtomicPtr<RhHost> = AtomicPtr::new(null_mut());

pub(crate) unsafe extern "C" fn init(host: *const RhHost) -> i32 {
    HOST.store(host.cast_mut(), Ordering::Release);
    OK
}

/// The table that a plugin gets, of a host that remembers.
pub(crate) fn foreign() -> (&'static RhHost, &'static Arc<TestHost>) {
    static CONNECTED: OnceLock<(usize, Arc<TestHost>)> = OnceLock::new();
    let (table, host) = CONNECTED.get_or_init(|| {
        let host = TestHost::new();
        read(&PLUGIN)
            .unwrap()
            .init(Arc::clone(&host) as Arc<dyn HostLibrary>)
            .unwrap()
            .set_log_level(None);
        (HOST.load(Ordering::Acquire).expose_provenance(), host)
    });
    // SAFETY: the table that `init` got, which lives for ever.
    (
        unsafe { &*std::ptr::with_exposed_provenance::<RhHost>(*table) },
        host,
    )
}

pub(crate) fn event(kind: u32, name: &str) -> RhEvent {
    RhEvent {
        size: size_of::<RhEvent>(),
        kind,
        flags: EVENT_SUBAGENT | 0xf0,
        name: lend(name),
        id: lend("i"),
        parent: EMPTY,
        text: lend("t"),
        json: lend("{}"),
    }
}

#[tokio::test]
async fn emit_takes_no_garbage() {
    let (table, host) = foreign();
    let scope = host.scope();
    // SAFETY: the table's own `ctx`; the event is whole, or wrong in a way that the host must find.
    let emit = |event: *const RhEvent| unsafe { table.emit.unwrap()(table.ctx, scope.id, event) };
    assert_eq!(
        // SAFETY: null is what it must refuse.
        unsafe { table.emit.unwrap()(null_mut(), scope.id, null()) },
        ERR_INVALID
    );
    assert_eq!(emit(null()), ERR_INVALID);
    assert_eq!(emit(without_provenance_mut(12_345)), ERR_INVALID);
    let good = event(EVENT_CUSTOM, "own");
    let bad_strings = [
        RhStr {
            ptr: b"\xc3".as_ptr(),
            len: 1,
        },
        RhStr {
            ptr: null(),
            len: 1,
        },
        RhStr {
            ptr: b"x".as_ptr(),
            len: usize::MAX,
        },
    ];
    for bad in bad_strings {
        for event in [
            RhEvent { name: bad, ..good },
            RhEvent { id: bad, ..good },
            RhEvent {
                parent: bad,
                ..good
            },
            RhEvent { text: bad, ..good },
            RhEvent { json: bad, ..good },
        ] {
            assert_eq!(emit(from_ref(&event)), ERR_INVALID);
        }
    }
    assert_eq!(
        emit(from_ref(&RhEvent {
            name: EMPTY,
            ..good
        })),
        ERR_INVALID
    );
    for size in [0, 7, offset_of!(RhEvent, name)] {
        assert_eq!(
            emit(from_ref(&RhEvent { size, ..good })),
            ERR_INVALID,
            "{size}"
        );
    }
    assert!(scope.events().is_empty());
    let id = scope.id;
    drop(scope);
    assert_eq!(
        // SAFETY: a whole event.
        unsafe { table.emit.unwrap()(table.ctx, id, from_ref(&good)) },
        STOP
    );
}

#[test]
fn an_event_is_read_as_far_as_it_goes_and_by_its_kind() {
    struct Names(Mutex<Vec<String>>);
    impl HostLibrary for Names {
        fn emit(&self, _: u64, event: EventRef<'_>) -> Answer {
            self.0.lock().unwrap().push(format!("{event:?}"));
            Answer::Ok
        }
        fn complete(&self, _: u64, _: Completion) -> Answer {
            panic!("the host's own")
        }
        fn request(&self, _: u64, _: u64, _: &str, _: &str, _: Sink) {
            panic!("the host's own")
        }
        fn cancel(&self, _: u64, _: u64) -> Answer {
            panic!("the host's own")
        }
        fn image(&self, _: u64, _: u64) -> Option<Arc<[u8]>> {
            panic!("the host's own")
        }
        fn log(&self, _: LogLine<'_>) {
            panic!("the host's own")
        }
    }
    static TABLE: AtomicPtr<RhHost> = AtomicPtr::new(null_mut());
    unsafe extern "C" fn keep(host: *const RhHost) -> i32 {
        TABLE.store(host.cast_mut(), Ordering::Release);
        OK
    }
    let names = Arc::new(Names(Mutex::default()));
    read(&RhPlugin {
        init: Some(keep),
        ..PLUGIN
    })
    .unwrap()
    .init(Arc::clone(&names) as Arc<dyn HostLibrary>)
    .unwrap();
    // SAFETY: the table that `init` got, which lives for ever.
    let table = unsafe { &*TABLE.load(Ordering::Acquire) };
    for event in [
        RhEvent {
            size: offset_of!(RhEvent, text),
            ..event(99, "later")
        },
        // A kind that the host knows has the name that the host knows.
        event(EVENT_STREAM_DELTA, "stream_end"),
        // What a later release adds at the end is not read.
        RhEvent {
            size: size_of::<RhEvent>() + 64,
            ..event(EVENT_CUSTOM, "own")
        },
    ] {
        assert_eq!(
            // SAFETY: the table's own `ctx` and an event that has what it says, or is not read that far.
            unsafe { table.emit.unwrap()(table.ctx, 1, from_ref(&event)) },
            OK
        );
    }
    let seen = names.0.lock().unwrap().clone();
    assert!(
        seen[0].contains(
            "kind: 99, subagent: true, name: \"later\", id: \"i\", parent: \"\", text: \"\""
        ),
        "{seen:?}"
    );
    assert!(
        seen[1].contains("kind: 1, subagent: true, name: \"stream_delta\""),
        "{seen:?}"
    );
    assert!(
        seen[2].contains("name: \"own\"") && seen[2].contains("text: \"t\", json: \"{}\""),
        "{seen:?}"
    );

    // Every other callback panics, and none lets it out.
    assert_eq!(
        // SAFETY: null is refused with a completion of the host's, which panics.
        unsafe { table.complete.unwrap()(table.ctx, 1, null()) },
        ERR_INTERNAL
    );
    assert_eq!(
        // SAFETY: integers.
        unsafe { table.cancel.unwrap()(table.ctx, 1, 1) },
        ERR_INTERNAL
    );
    unsafe extern "C" fn write(_: *mut c_void, _: RhStr) -> i32 {
        OK
    }
    // SAFETY: a writer that needs no `ctx`.
    let image = unsafe {
        table.image.unwrap()(
            table.ctx,
            1,
            1,
            RhWriter {
                ctx: null_mut(),
                write,
            },
        )
    };
    assert_eq!(image, ERR_INTERNAL);
    // SAFETY: a whole line.
    unsafe { table.log.unwrap()(table.ctx, from_ref(&line())) };
    // A request that was taken is answered, once, and never refused as well.
    let sink = counting_sink();
    let request = table.request.unwrap();
    assert_eq!(
        // SAFETY: a sink that needs no `ctx`.
        unsafe { request(table.ctx, 1, 1, lend("m"), lend("{}"), from_ref(&sink)) },
        OK
    );
    assert_eq!(DONE.load(Ordering::Acquire), 1);
}

static DONE: AtomicUsize = AtomicUsize::new(0);

fn counting_sink() -> RhSink {
    unsafe extern "C" fn item(_: *mut c_void, _: RhStr) {}
    unsafe extern "C" fn done(_: *mut c_void, status: i32, _: RhStr) {
        assert_eq!(status, ERR_CANCELLED);
        DONE.fetch_add(1, Ordering::AcqRel);
    }
    RhSink {
        size: size_of::<RhSink>(),
        ctx: null_mut(),
        item: Some(item),
        done: Some(done),
    }
}

fn line() -> RhLog {
    RhLog {
        size: size_of::<RhLog>(),
        scope: 5,
        level: 99,
        reserved: 0,
        target: lend("t"),
        message: lend("m"),
        fields: EMPTY,
    }
}

#[tokio::test]
async fn a_completion_of_garbage_is_a_failure_and_the_second_is_none() {
    let (table, host) = foreign();
    let complete = |scope: u64, completion: *const RhCompletion| {
        // SAFETY: the table's own `ctx`; the completion is whole, or wrong in a way that the host must find.
        unsafe { table.complete.unwrap()(table.ctx, scope, completion) }
    };
    let good = RhCompletion {
        size: size_of::<RhCompletion>(),
        status: STATUS_FINISHED,
        kind: 0,
        value: null_mut(),
        text: EMPTY,
        json: lend("{}"),
    };
    let bad = RhStr {
        ptr: b"\xff".as_ptr(),
        len: 1,
    };
    for completion in [
        null(),
        from_ref(&RhCompletion { json: bad, ..good }),
        from_ref(&RhCompletion { size: 3, ..good }),
    ] {
        let mut scope = host.scope();
        assert_eq!(complete(scope.id, completion), OK);
        let (kind, text) = scope.failed().await;
        assert_eq!(kind, FailureKind::Internal);
        assert!(
            text.starts_with("the plugin's completion is not what it must be: "),
            "{text}"
        );
    }
    // An unknown status is no success, and an unknown kind the agent's.
    let mut scope = host.scope();
    complete(
        scope.id,
        from_ref(&RhCompletion {
            status: 9,
            kind: 99,
            text: lend("odd"),
            ..good
        }),
    );
    assert_eq!(scope.failed().await, (FailureKind::Agent, "odd".to_owned()));
    // An older plugin's completion ends earlier.
    let mut scope = host.scope();
    let short = RhCompletion {
        size: offset_of!(RhCompletion, json),
        ..good
    };
    complete(scope.id, from_ref(&short));
    assert!(
        matches!(scope.completion().await, Completion::Finished { value: None, json } if json.is_empty())
    );
    let id = scope.id;
    drop(scope);
    assert_eq!(complete(id, from_ref(&good)), STOP);
}

#[tokio::test]
async fn a_request_of_garbage_is_refused_and_its_sink_left_alone() {
    let (table, host) = foreign();
    let scope = host.scope();
    let request = |method, params, sink: *const RhSink| {
        // SAFETY: the table's own `ctx`; the arguments are whole, or wrong in a way that the host must find.
        unsafe { table.request.unwrap()(table.ctx, scope.id, 1, method, params, sink) }
    };
    unsafe extern "C" fn never(_: *mut c_void, _: i32, _: RhStr) {
        unreachable!("a request that was refused is not answered");
    }
    let sink = RhSink {
        done: Some(never),
        ..counting_sink()
    };
    let bad = RhStr {
        ptr: b"\xff".as_ptr(),
        len: 1,
    };
    assert_eq!(request(bad, EMPTY, from_ref(&sink)), ERR_INVALID);
    assert_eq!(request(EMPTY, bad, from_ref(&sink)), ERR_INVALID);
    assert_eq!(request(lend("m"), EMPTY, null()), ERR_INVALID);
    assert_eq!(
        request(lend("m"), EMPTY, from_ref(&RhSink { item: None, ..sink })),
        ERR_INVALID
    );
    let short = RhSink {
        size: offset_of!(RhSink, done),
        ..sink
    };
    assert_eq!(request(lend("m"), EMPTY, from_ref(&short)), ERR_INVALID);
}

#[tokio::test]
async fn a_line_of_the_log_is_taken_as_it_is_or_left() {
    let (table, host) = foreign();
    let log = |line: *const RhLog| {
        // SAFETY: the table's own `ctx`; the line is whole, or wrong in a way that the host must find.
        unsafe { table.log.unwrap()(table.ctx, line) };
    };
    log(null());
    log(from_ref(&RhLog {
        message: RhStr {
            ptr: b"\xff".as_ptr(),
            len: 1,
        },
        ..line()
    }));
    log(from_ref(&line()));
    let lines = host.lines.borrow();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (lines[0].level, lines[0].scope, lines[0].message.as_str()),
        (tracing::Level::TRACE, 5, "m")
    );
}
