//! The C types that cross the boundary, and nothing else.
//!
//! Rules every type here keeps, so that a library built today loads for as long as the major lives:
//!
//! - A struct that may grow starts with `size`, the bytes its writer knew; it is always passed by
//!   pointer and only grows at its end. A reader reads no field that `size` does not cover.
//! - [`RhStr`], [`RhWriter`] and [`RhEventSink`] are passed by value and therefore never change.
//! - Only integers, pointers and `{ptr, len}` strings: no Rust enum, no `bool`.
//! - Pointers handed to a function are borrowed for that call. Who keeps something copies it. Results go
//!   out through a writer that the caller passes in, so nobody frees what the other side allocated.
//! - Every function may be called from any thread and returns at once; what takes time ends with a call
//!   of [`RhHost::complete`].
//! - No function may unwind.
//!
//! Strings are UTF-8 and not terminated; JSON is UTF-8 text of one value.

use std::ffi::c_void;

/// The name of the one function a library exports; its type is [`RhEntry`].
pub const ENTRY_SYMBOL: &str = "rh_plugin_v1";

/// The minor version of the boundary that this source describes. It counts the additions within a major.
pub const ABI_MINOR: u32 = 0;

/// A borrowed UTF-8 string. `ptr` may be null only when `len` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RhStr {
    /// First byte.
    pub ptr: *const u8,
    /// Bytes.
    pub len: usize,
}

/// Where a callee puts a result: it calls `write` any number of times, the pieces are concatenated.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RhWriter {
    /// Handed back to `write`; owned by whoever made the writer.
    pub ctx: *mut c_void,
    /// Appends a piece. Answers 0, or a negative `RH_ERR_…` after which the callee gives up.
    pub write: unsafe extern "C" fn(ctx: *mut c_void, piece: RhStr) -> i32,
}

/// Where a mapper puts the events that take the place of the one it got.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RhEventSink {
    /// Handed back to `push`; owned by the host.
    pub ctx: *mut c_void,
    /// Appends an event; it is copied before the call returns. Answers 0 or a negative `RH_ERR_…`.
    pub push: unsafe extern "C" fn(ctx: *mut c_void, event: *const RhEvent) -> i32,
}

/// The entry function. It runs no author code and answers the same static descriptor every time.
pub type RhEntry = unsafe extern "C" fn() -> *const RhPlugin;

/// [`RhPlugin::flags`]: the library was built with `panic=abort`, so a panic in it ends the process.
pub const PLUGIN_PANIC_ABORT: u32 = 1;

/// What a library says of itself. Static: valid as long as the library is mapped, which is for ever.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RhPlugin {
    /// Bytes of this struct that the library knows.
    pub size: usize,
    /// [`ABI_MINOR`] of the API the library was built with.
    pub abi_minor: u32,
    /// The least `abi_minor` of a host that the library works with.
    pub min_host_minor: u32,
    /// `RH_PLUGIN_…` bits; unknown ones are ignored.
    pub flags: u32,
    /// Number of entries in `components`.
    pub component_count: u32,
    /// The components, an array of pointers so that [`RhComponent`] can grow.
    pub components: *const *const RhComponent,
    /// The library's name, by convention its package name.
    pub name: RhStr,
    /// The library's own version.
    pub version: RhStr,
    /// What built it (API version, compiler). For people to read; never compared.
    pub built_with: RhStr,
    /// Called once, before anything else of the library and after the host has checked this descriptor.
    /// `host` stays valid for ever. Answers 0, or a negative `RH_ERR_…` to refuse.
    pub init: Option<unsafe extern "C" fn(host: *const RhHost) -> i32>,
    /// The most verbose level the host wants to see (`RH_LOG_…`, 0 for none). May be called at any time
    /// after `init`. Null: the library does not log.
    pub set_log_level: Option<unsafe extern "C" fn(level: u32)>,
}

/// [`RhComponent::kind`]: `vtable` is an [`RhAgent`].
pub const COMPONENT_AGENT: u32 = 1;
/// [`RhComponent::kind`]: `vtable` is an [`RhToolset`].
pub const COMPONENT_TOOLSET: u32 = 2;
/// [`RhComponent::kind`]: `vtable` is an [`RhMapper`].
pub const COMPONENT_MAPPER: u32 = 3;

/// One component of a library. A host that does not know `kind` lists it as unsupported.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RhComponent {
    /// Bytes of this struct that the library knows.
    pub size: usize,
    /// `RH_COMPONENT_…`.
    pub kind: u32,
    /// 0; room that keeps the next pointer aligned on every platform.
    pub reserved: u32,
    /// The name configuration uses, unique in the library and its kind: `[a-z0-9_-]+`.
    pub name: RhStr,
    /// Writes the description as JSON ([`ComponentDescription`](crate::wire::ComponentDescription)):
    /// summary and JSON Schema of the configuration. Needs no instance. Answers 0 or a negative `RH_ERR_…`.
    pub describe: Option<unsafe extern "C" fn(out: RhWriter) -> i32>,
    /// The functions, by `kind`.
    pub vtable: *const c_void,
}

/// The functions of an agent. None may be null, save where that is said.
///
/// `create`, `shutdown` and `run` start something and return at once; it ends with one
/// [`RhHost::complete`] of the scope they were given.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RhAgent {
    /// Bytes of this struct that the library knows.
    pub size: usize,
    /// Makes an instance. `config` is the operator's table as JSON, already checked against the schema;
    /// `params` is [`InstanceParams`](crate::wire::InstanceParams). Completes as finished with `value` set
    /// to the instance (never null), or as failed. When that `complete` answers STOP the host no longer
    /// wants the instance and the library frees it. `scope` stays valid as the instance's own until it was
    /// shut down.
    pub create: Option<unsafe extern "C" fn(scope: u64, config: RhStr, params: RhStr)>,
    /// Ends an instance; the host calls nothing of it afterwards. Completes `scope`, which is a new one.
    pub shutdown: Option<unsafe extern "C" fn(instance: *mut c_void, scope: u64)>,
    /// A session is gone for good; what the instance keeps of it can go. May be null.
    pub session_ended: Option<unsafe extern "C" fn(instance: *mut c_void, session: RhStr)>,
    /// Starts a run. `params` is [`RunParams`](crate::wire::RunParams). Completes as finished or stopped
    /// with `json` an [`Outcome`](crate::wire::OutcomeData), or as failed with `kind` and `text`.
    pub run: Option<unsafe extern "C" fn(instance: *mut c_void, scope: u64, params: RhStr)>,
    /// Asks a run to stop. May be called more than once, and late.
    pub stop: Option<unsafe extern "C" fn(instance: *mut c_void, scope: u64)>,
    /// After an `emit` that answered SLOW: the run may go on. May be called late, and without need.
    pub resume: Option<unsafe extern "C" fn(instance: *mut c_void, scope: u64)>,
}

/// The functions of a toolset; `create`, `shutdown` and `session_ended` as in [`RhAgent`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RhToolset {
    /// Bytes of this struct that the library knows.
    pub size: usize,
    /// As in [`RhAgent`].
    pub create: Option<unsafe extern "C" fn(scope: u64, config: RhStr, params: RhStr)>,
    /// As in [`RhAgent`].
    pub shutdown: Option<unsafe extern "C" fn(instance: *mut c_void, scope: u64)>,
    /// As in [`RhAgent`].
    pub session_ended: Option<unsafe extern "C" fn(instance: *mut c_void, session: RhStr)>,
    /// Lists the tools. Completes with `json` a [`ToolList`](crate::wire::ToolList).
    pub list: Option<unsafe extern "C" fn(instance: *mut c_void, scope: u64)>,
    /// Calls a tool. `args` is JSON that the host has checked against the tool's schema; `params` is
    /// [`ToolCallParams`](crate::wire::ToolCallParams). Completes with `json` a
    /// [`ToolOutputData`](crate::wire::ToolOutputData), or as failed with `text`.
    pub call: Option<
        unsafe extern "C" fn(
            instance: *mut c_void,
            scope: u64,
            name: RhStr,
            args: RhStr,
            params: RhStr,
        ),
    >,
    /// Asks a call to end. May be called more than once, and late.
    pub cancel: Option<unsafe extern "C" fn(instance: *mut c_void, scope: u64)>,
}

/// [`RhMapper::map`]: the event goes on as it is.
pub const MAP_PASS: i32 = 0;
/// [`RhMapper::map`]: the event is dropped.
pub const MAP_DROP: i32 = 1;
/// [`RhMapper::map`]: the events pushed to the sink take the event's place.
pub const MAP_REPLACE: i32 = 2;

/// The functions of an event mapper. An instance is its configuration; each run opens one state of it,
/// and no two calls on one state overlap. Everything but `create` and `shutdown` is synchronous and quick.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RhMapper {
    /// Bytes of this struct that the library knows.
    pub size: usize,
    /// As in [`RhAgent`].
    pub create: Option<unsafe extern "C" fn(scope: u64, config: RhStr, params: RhStr)>,
    /// As in [`RhAgent`].
    pub shutdown: Option<unsafe extern "C" fn(instance: *mut c_void, scope: u64)>,
    /// Which events it wants: bit k for the kind k below 64; bit 0 for custom events and every kind from 64 up.
    pub kinds: Option<unsafe extern "C" fn(instance: *mut c_void) -> u64>,
    /// Opens the state of one run. `params` is [`MapperParams`](crate::wire::MapperParams). Null: it failed.
    pub open: Option<unsafe extern "C" fn(instance: *mut c_void, params: RhStr) -> *mut c_void>,
    /// Maps one event. Answers `RH_MAP_…`, or a negative `RH_ERR_…`: then the run ends.
    pub map: Option<
        unsafe extern "C" fn(state: *mut c_void, event: *const RhEvent, out: RhEventSink) -> i32,
    >,
    /// Ends a state.
    pub close: Option<unsafe extern "C" fn(state: *mut c_void)>,
}

/// A custom event: `name` is its wire type, `json` an object, which is the wire message without `type`.
pub const EVENT_CUSTOM: u32 = 0;
/// `text` is the delta.
pub const EVENT_STREAM_DELTA: u32 = 1;
/// `text` is the delta.
pub const EVENT_THINKING_DELTA: u32 = 2;
/// Nothing.
pub const EVENT_THINKING_END: u32 = 3;
/// `text` is the thinking.
pub const EVENT_TURN_THINKING: u32 = 4;
/// `text` is the label, `json` is `{"phase"}`.
pub const EVENT_PLANNING_STATUS: u32 = 5;
/// `json` is the plan, any value.
pub const EVENT_PLAN_READY: u32 = 6;
/// `id` is the call's, `json` is `{"tool", "args"}`.
pub const EVENT_TOOL_STARTED: u32 = 7;
/// `id` is the call's, `text` is the result, `json` is `{"tool", "args", "success", "metadata"}`.
pub const EVENT_TOOL_CALL: u32 = 8;
/// `text` is the name, `json` is `{"profile_id"}`.
pub const EVENT_PROFILE_SWITCHED: u32 = 9;
/// `text` is the summary, `json` is `{"messages_before", "messages_after"}`.
pub const EVENT_CONTEXT_COMPRESSED: u32 = 10;
/// The host's own, seen by mappers only: nothing.
pub const EVENT_STREAM_STOPPED: u32 = 11;
/// The host's own, seen by mappers only: `text` is the content, `json` the other fields.
pub const EVENT_STREAM_END: u32 = 12;
/// The host's own, seen by mappers only: `text` is the message.
pub const EVENT_ERROR: u32 = 13;

/// [`RhEvent::flags`]: the event is a subagent's.
pub const EVENT_SUBAGENT: u32 = 1;

/// An event, in either direction.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RhEvent {
    /// Bytes of this struct that its writer knows.
    pub size: usize,
    /// `RH_EVENT_…`. One that the reader does not know is carried as a custom event called `name`.
    pub kind: u32,
    /// `RH_EVENT_SUBAGENT` or 0; unknown bits are ignored.
    pub flags: u32,
    /// The wire type, always set.
    pub name: RhStr,
    /// A tool call's or message's id; empty where there is none.
    pub id: RhStr,
    /// The id of the call that this event belongs under; empty where there is none.
    pub parent: RhStr,
    /// Text, as the kind says.
    pub text: RhStr,
    /// JSON, as the kind says; empty where there is none.
    pub json: RhStr,
}

/// [`RhCompletion::status`]: it is done.
pub const STATUS_FINISHED: u32 = 0;
/// [`RhCompletion::status`]: it saw the stop and ended for it.
pub const STATUS_STOPPED: u32 = 1;
/// [`RhCompletion::status`]: it failed; `kind` and `text` say how.
pub const STATUS_FAILED: u32 = 2;

/// [`RhCompletion::kind`]: what the component itself reports as gone wrong. Also any kind unknown to the host.
pub const FAILED_AGENT: u32 = 0;
/// [`RhCompletion::kind`]: the backend knows no such session.
pub const FAILED_SESSION_NOT_FOUND: u32 = 1;
/// [`RhCompletion::kind`]: the agent's own limit of iterations.
pub const FAILED_MAX_ITERATIONS: u32 = 2;
/// [`RhCompletion::kind`]: a fault that the author did not foresee; a panic too.
pub const FAILED_INTERNAL: u32 = 3;
/// [`RhCompletion::kind`]: the configuration does not do; `text` says which key and why.
pub const FAILED_CONFIG: u32 = 4;

/// How something that the host started has ended.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RhCompletion {
    /// Bytes of this struct that its writer knows.
    pub size: usize,
    /// `RH_STATUS_…`.
    pub status: u32,
    /// `RH_FAILED_…` when the status is failed.
    pub kind: u32,
    /// The instance, for `create`; null otherwise.
    pub value: *mut c_void,
    /// The error's text when the status is failed.
    pub text: RhStr,
    /// The result, as the function says; empty where there is none.
    pub json: RhStr,
}

/// Accepted. Every non-negative answer that a reader does not know means the same.
pub const OK: i32 = 0;
/// `emit`: accepted, and the library waits for `resume` before it emits more.
pub const SLOW: i32 = 1;
/// The scope is over, or was never this library's: nothing was changed.
pub const STOP: i32 = 2;
/// An argument is not what it must be (null, not UTF-8, not JSON, an event that is the host's alone).
pub const ERR_INVALID: i32 = -1;
/// Over a limit of the host's.
pub const ERR_TOO_LARGE: i32 = -2;
/// This host does not know that method or function.
pub const ERR_UNSUPPORTED: i32 = -3;
/// A fault on the callee's side, a caught panic too.
pub const ERR_INTERNAL: i32 = -4;
/// [`RhSink::done`]: the request was refused or failed; the JSON is a
/// [`ServiceErrorData`](crate::wire::ServiceErrorData).
pub const ERR_FAILED: i32 = -5;
/// [`RhSink::done`]: cancelled, by the caller or because its scope ended.
pub const ERR_CANCELLED: i32 = -6;

/// Where the host puts the answer to a request. The host copies the struct; `ctx` belongs to the library
/// and stays valid until `done` was called.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RhSink {
    /// Bytes of this struct that the library knows.
    pub size: usize,
    /// Handed back to both functions.
    pub ctx: *mut c_void,
    /// Something on the way to the answer (progress, a subagent's event) as JSON. 0..n times, never after `done`.
    pub item: Option<unsafe extern "C" fn(ctx: *mut c_void, json: RhStr)>,
    /// The answer: `RH_OK` and its JSON, or a negative `RH_ERR_…`. Exactly once, perhaps before `request` returns.
    pub done: Option<unsafe extern "C" fn(ctx: *mut c_void, status: i32, json: RhStr)>,
}

/// Levels of [`RhLog::level`]: the smaller the graver.
pub const LOG_ERROR: u32 = 1;
/// See [`LOG_ERROR`].
pub const LOG_WARN: u32 = 2;
/// See [`LOG_ERROR`].
pub const LOG_INFO: u32 = 3;
/// See [`LOG_ERROR`].
pub const LOG_DEBUG: u32 = 4;
/// See [`LOG_ERROR`].
pub const LOG_TRACE: u32 = 5;

/// A line of a library's log.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RhLog {
    /// Bytes of this struct that the library knows.
    pub size: usize,
    /// The scope it belongs to, or 0.
    pub scope: u64,
    /// `RH_LOG_…`.
    pub level: u32,
    /// 0.
    pub reserved: u32,
    /// Where in the library, by convention the module's path.
    pub target: RhStr,
    /// The message.
    pub message: RhStr,
    /// The fields as a JSON object, or empty.
    pub fields: RhStr,
}

/// What the host offers a library. One per library, valid for ever; `ctx` goes first into each function.
///
/// A scope is the host's unguessable name for an instance, a run or a tool call. It works for the library
/// that it was given to and until it has ended; after that every function answers STOP and changes nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RhHost {
    /// Bytes of this struct that the host knows.
    pub size: usize,
    /// [`ABI_MINOR`] of the host.
    pub abi_minor: u32,
    /// 0.
    pub reserved: u32,
    /// The library's identity with the host.
    pub ctx: *mut c_void,
    /// Emits an event of a run, or reports progress of a tool call. Never blocks. Answers OK, SLOW, STOP
    /// or an error.
    pub emit:
        Option<unsafe extern "C" fn(ctx: *mut c_void, scope: u64, event: *const RhEvent) -> i32>,
    /// Says how what was started with `scope` has ended. Exactly once each; a second one answers STOP.
    pub complete: Option<
        unsafe extern "C" fn(ctx: *mut c_void, scope: u64, completion: *const RhCompletion) -> i32,
    >,
    /// Asks for a service; see the crate's `wire` module for methods and their JSON. `id` is the
    /// caller's own name for the request, unique among its open ones in `scope`. After STOP or a negative
    /// answer `sink` is never called; after any other its `done` is called exactly once.
    pub request: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            scope: u64,
            id: u64,
            method: RhStr,
            params: RhStr,
            sink: *const RhSink,
        ) -> i32,
    >,
    /// Cancels a request; its sink still gets `done`.
    pub cancel: Option<unsafe extern "C" fn(ctx: *mut c_void, scope: u64, id: u64) -> i32>,
    /// Writes the bytes of an image of the run, by the handle in the run's parameters, in one piece that is
    /// lent for the call of `write`.
    pub image: Option<
        unsafe extern "C" fn(ctx: *mut c_void, scope: u64, handle: u64, out: RhWriter) -> i32,
    >,
    /// Adds a line to the host's log.
    pub log: Option<unsafe extern "C" fn(ctx: *mut c_void, line: *const RhLog)>,
}

// SAFETY: what a descriptor points to is static and never written.
unsafe impl Sync for RhPlugin {}
// SAFETY: as for `RhPlugin`.
unsafe impl Sync for RhComponent {}
