//! A library of a fuzzer's making: functions as a host calls them, which do what the input says.
#![expect(
    unsafe_code,
    reason = "a library's functions are called over the boundary, and its structs are made by hand"
)]

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering};

use plugin_api::abi::types::{
    COMPONENT_AGENT, COMPONENT_MAPPER, COMPONENT_TOOLSET, OK, RhAgent, RhCompletion, RhComponent,
    RhEvent, RhEventSink, RhHost, RhLog, RhMapper, RhPlugin, RhSink, RhStr, RhToolset, RhWriter,
    STATUS_FINISHED,
};

use crate::input::Input;

/// The table that the library got.
static HOST: AtomicPtr<RhHost> = AtomicPtr::new(null_mut());

thread_local! {
    /// What the functions that the host calls do next.
    static SCRIPT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// How often an answer to a request came.
    static ANSWERS: Cell<u32> = const { Cell::new(0) };
}

/// Has the functions that the host calls do what these bytes say.
pub(crate) fn set_script(bytes: &[u8]) {
    SCRIPT.set(bytes.to_vec());
}

fn host() -> Option<&'static RhHost> {
    // SAFETY: Null, or the table that `init` got, which lives for ever.
    unsafe { HOST.load(Ordering::Acquire).as_ref() }
}

/// Any bytes; or, said by the length, none at all at no place.
pub(crate) fn lent(bytes: &[u8]) -> RhStr {
    RhStr {
        ptr: if bytes.is_empty() {
            null()
        } else {
            bytes.as_ptr()
        },
        len: bytes.len(),
    }
}

/// The size that a struct says it has: the true one, or less of it.
fn size<T>(input: &mut Input<'_>) -> usize {
    match input.byte() {
        short @ 1..=127 => usize::from(short).min(size_of::<T>()),
        _ => size_of::<T>(),
    }
}

/// An event of any kind.
fn event(input: &mut Input<'_>) -> RhEvent {
    RhEvent {
        size: size::<RhEvent>(input),
        kind: input.number(),
        flags: input.byte().into(),
        name: lent(input.bytes()),
        id: lent(input.bytes()),
        parent: lent(input.bytes()),
        text: lent(input.bytes()),
        json: lent(input.bytes()),
    }
}

/// Emits an event; answers what the host did.
pub(crate) fn emit(scope: u64, input: &mut Input<'_>) -> i32 {
    let event = event(input);
    let Some((host, emit)) = host().and_then(|host| Some((host, host.emit?))) else {
        return OK;
    };
    // SAFETY: The table's own `ctx`, and an event of which everything that it says is there.
    unsafe { emit(host.ctx, scope, &raw const event) }
}

/// Completes a `create`, as it should be.
pub(crate) fn complete_create(scope: u64) {
    let _ = complete_with(
        scope,
        &RhCompletion {
            size: size_of::<RhCompletion>(),
            status: STATUS_FINISHED,
            kind: 0,
            value: HOST.as_ptr().cast(),
            text: lent(b""),
            json: lent(b""),
        },
    );
}

/// Completes a scope.
pub(crate) fn complete(scope: u64, input: &mut Input<'_>) -> i32 {
    let completion = RhCompletion {
        size: size::<RhCompletion>(input),
        status: input.number(),
        kind: input.number(),
        value: if input.byte() & 1 == 1 {
            HOST.as_ptr().cast()
        } else {
            null_mut()
        },
        text: lent(input.bytes()),
        json: lent(input.bytes()),
    };
    complete_with(scope, &completion)
}

fn complete_with(scope: u64, completion: &RhCompletion) -> i32 {
    let Some((host, complete)) = host().and_then(|host| Some((host, host.complete?))) else {
        return OK;
    };
    // SAFETY: The table's own `ctx`, and a completion of which everything that it says is there.
    unsafe { complete(host.ctx, scope, completion) }
}

/// Asks for a service. Answers what the host did, and how often it has answered.
pub(crate) fn request(scope: u64, input: &mut Input<'_>) -> (i32, u32) {
    unsafe extern "C" fn item(_: *mut c_void, _: RhStr) {}
    unsafe extern "C" fn done(_: *mut c_void, _: i32, _: RhStr) {
        ANSWERS.set(ANSWERS.get() + 1);
    }
    let sink = RhSink {
        size: size::<RhSink>(input),
        ctx: null_mut(),
        item: Some(item),
        done: Some(done),
    };
    let (method, params) = (lent(input.bytes()), lent(input.bytes()));
    let Some((host, request)) = host().and_then(|host| Some((host, host.request?))) else {
        return (OK, 1);
    };
    ANSWERS.set(0);
    // SAFETY: The table's own `ctx`, and a sink that needs none.
    let answer = unsafe { request(host.ctx, scope, 1, method, params, &raw const sink) };
    (answer, ANSWERS.get())
}

/// Adds a line to the log.
pub(crate) fn log(scope: u64, input: &mut Input<'_>) {
    let line = RhLog {
        size: size::<RhLog>(input),
        scope,
        level: input.number(),
        reserved: 0,
        target: lent(input.bytes()),
        message: lent(input.bytes()),
        fields: lent(input.bytes()),
    };
    if let Some((host, log)) = host().and_then(|host| Some((host, host.log?))) {
        // SAFETY: The table's own `ctx`, and a line of which everything that it says is there.
        unsafe { log(host.ctx, &raw const line) };
    }
}

unsafe extern "C" fn init(host: *const RhHost) -> i32 {
    HOST.store(host.cast_mut(), Ordering::Release);
    OK
}

/// Writes the script, in pieces.
unsafe extern "C" fn describe(out: RhWriter) -> i32 {
    let script = SCRIPT.take();
    for piece in script.chunks(100) {
        // SAFETY: The writer of this call.
        unsafe { (out.write)(out.ctx, lent(piece)) };
    }
    OK
}

unsafe extern "C" fn create(_: u64, _: RhStr, _: RhStr) {}
unsafe extern "C" fn scoped(_: *mut c_void, _: u64) {}
unsafe extern "C" fn run(_: *mut c_void, _: u64, _: RhStr) {}
unsafe extern "C" fn call(_: *mut c_void, _: u64, _: RhStr, _: RhStr, _: RhStr) {}

unsafe extern "C" fn kinds(_: *mut c_void) -> u64 {
    u64::MAX
}

unsafe extern "C" fn open(instance: *mut c_void, _: RhStr) -> *mut c_void {
    instance
}

unsafe extern "C" fn close(_: *mut c_void) {}

/// Pushes what the script says, and answers what it says.
unsafe extern "C" fn map(_: *mut c_void, given: *const RhEvent, out: RhEventSink) -> i32 {
    let script = SCRIPT.take();
    let mut input = Input::new(&script);
    let answer = input.byte();
    for _ in 0..input.byte() % 8 {
        match input.byte() {
            // SAFETY: The sink of this call, and the event that the host has lent for it.
            0 => unsafe { (out.push)(out.ctx, given) },
            // SAFETY: The sink of this call; null is what the host must refuse.
            1 => unsafe { (out.push)(out.ctx, null()) },
            _ => {
                let event = event(&mut input);
                // SAFETY: The sink of this call, and an event of which everything that it says is there.
                unsafe { (out.push)(out.ctx, &raw const event) }
            }
        };
    }
    i32::from(answer) - 8
}

/// The functions of every kind of component, as long as they say.
struct Tables {
    agent: RhAgent,
    toolset: RhToolset,
    mapper: RhMapper,
}

impl Tables {
    fn new(input: &mut Input<'_>) -> Self {
        Self {
            agent: RhAgent {
                size: size::<RhAgent>(input),
                create: Some(create),
                shutdown: Some(scoped),
                session_ended: None,
                run: Some(run),
                stop: Some(scoped),
                resume: Some(scoped),
            },
            toolset: RhToolset {
                size: size::<RhToolset>(input),
                create: Some(create),
                shutdown: Some(scoped),
                session_ended: None,
                list: Some(scoped),
                call: Some(call),
                cancel: Some(scoped),
            },
            mapper: RhMapper {
                size: size::<RhMapper>(input),
                create: Some(create),
                shutdown: Some(scoped),
                kinds: Some(kinds),
                open: Some(open),
                map: Some(map),
                close: Some(close),
            },
        }
    }

    fn of(&self, kind: u32) -> *const c_void {
        match kind {
            COMPONENT_AGENT => (&raw const self.agent).cast(),
            COMPONENT_TOOLSET => (&raw const self.toolset).cast(),
            COMPONENT_MAPPER => (&raw const self.mapper).cast(),
            _ => null(),
        }
    }
}

/// Calls `look` with a descriptor of the fuzzer's making, which is valid as long as it looks, and so are the
/// functions in it for ever.
pub(crate) fn descriptor(input: &mut Input<'_>, look: impl FnOnce(*const RhPlugin)) {
    let tables = Tables::new(input);
    let count = usize::from(input.byte() % 5);
    let components: Vec<RhComponent> = (0..count)
        .map(|_| {
            let kind = input.number();
            RhComponent {
                size: size::<RhComponent>(input),
                kind,
                reserved: 0,
                name: lent(input.bytes()),
                describe: (input.byte() & 1 == 0).then_some(describe),
                vtable: tables.of(kind),
            }
        })
        .collect();
    let pointers: Vec<*const RhComponent> = components
        .iter()
        .map(|component| {
            if input.byte() == 1 {
                null()
            } else {
                std::ptr::from_ref(component)
            }
        })
        .collect();
    let plugin = RhPlugin {
        size: size::<RhPlugin>(input),
        abi_minor: input.number(),
        min_host_minor: input.byte().into(),
        flags: input.number(),
        // As many as there are, or so many that none is looked at.
        component_count: if input.byte() == 1 {
            u32::MAX
        } else {
            u32::try_from(count).unwrap_or(0)
        },
        components: if count == 0 {
            null()
        } else {
            pointers.as_ptr()
        },
        name: lent(input.bytes()),
        version: lent(input.bytes()),
        built_with: lent(input.bytes()),
        init: Some(init),
        set_log_level: None,
    };
    look(&raw const plugin);
}

/// A descriptor of a library with one mapper and nothing wrong with it.
pub(crate) fn good(look: impl FnOnce(*const RhPlugin)) {
    let mut nothing = Input::default();
    let tables = Tables::new(&mut nothing);
    let component = RhComponent {
        size: size_of::<RhComponent>(),
        kind: COMPONENT_MAPPER,
        reserved: 0,
        name: lent(b"mapper"),
        describe: Some(describe),
        vtable: tables.of(COMPONENT_MAPPER),
    };
    let pointers = [&raw const component];
    let plugin = RhPlugin {
        size: size_of::<RhPlugin>(),
        abi_minor: 0,
        min_host_minor: 0,
        flags: 0,
        component_count: 1,
        components: pointers.as_ptr(),
        name: lent(b"fuzzed"),
        version: lent(b"0"),
        built_with: lent(b""),
        init: Some(init),
        set_log_level: None,
    };
    look(&raw const plugin);
}
