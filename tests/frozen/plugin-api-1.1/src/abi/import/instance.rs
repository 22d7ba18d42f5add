//! Instances of agents and toolsets.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::super::borrow::lend;
use super::component::{AgentFns, Shutdown, ToolsetFns};

/// An instance as its library names it. Means nothing to anybody else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct InstancePtr(NonNull<c_void>);

// SAFETY: only ever handed back to the library, whose functions may by contract be called from any thread.
unsafe impl Send for InstancePtr {}
// SAFETY: as above.
unsafe impl Sync for InstancePtr {}

impl InstancePtr {
    pub(super) fn new(pointer: *mut c_void) -> Option<Self> {
        NonNull::new(pointer).map(Self)
    }
}

/// Lets calls in until the instance is shut down, and calls `shutdown` when the last one that is in is out:
/// nothing is called of an instance that was shut down, and nobody waits for anybody.
#[derive(Debug)]
pub(super) struct Gate {
    pointer: InstancePtr,
    shutdown: Shutdown,
    /// The number of calls that are in, and [`CLOSED`].
    state: AtomicUsize,
    /// The scope of the shutdown, valid once `CLOSED` is set.
    scope: AtomicU64,
}

const CLOSED: usize = 1 << (usize::BITS - 1);

impl Gate {
    pub(super) fn new(pointer: InstancePtr, shutdown: Shutdown) -> Self {
        Self {
            pointer,
            shutdown,
            state: AtomicUsize::new(0),
            scope: AtomicU64::new(0),
        }
    }

    /// Takes a place, if the gate is open. Whoever has one must [`leave`](Self::leave).
    pub(super) fn enter(&self) -> bool {
        if self.state.fetch_add(1, Ordering::AcqRel) & CLOSED == 0 {
            return true;
        }
        self.leave();
        false
    }

    pub(super) fn leave(&self) {
        if self.state.fetch_sub(1, Ordering::AcqRel) == CLOSED | 1 {
            self.shut();
        }
    }

    /// The instance's pointer, for whoever has a place.
    pub(super) fn pointer(&self) -> *mut c_void {
        self.pointer.0.as_ptr()
    }

    /// Runs a call, if the gate is open.
    fn call(&self, call: impl FnOnce(*mut c_void)) -> bool {
        let entered = self.enter();
        if entered {
            call(self.pointer());
            self.leave();
        }
        entered
    }

    /// Closes the gate. Answers false if it is closed already.
    pub(super) fn close(&self, scope: u64) -> bool {
        if self
            .scope
            .compare_exchange(0, scope, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            return false;
        }
        if self.state.fetch_or(CLOSED, Ordering::AcqRel) == 0 {
            self.shut();
        }
        true
    }

    fn shut(&self) {
        let scope = self.scope.load(Ordering::Acquire);
        // SAFETY: the library's own function on its own instance. The gate is closed and nobody is in, so
        // this is the last call of it.
        unsafe { (self.shutdown)(self.pointer(), scope) };
    }
}

macro_rules! instances {
    ($($(#[$doc:meta])* $name:ident($fns:ident);)*) => {
        $(
            $(#[$doc])*
            ///
            /// Functions answer whether they were called: nothing of an instance is called after its
            /// shutdown. Dropped without a shutdown it stays with the library for ever.
            #[derive(Debug)]
            pub struct $name {
                fns: $fns,
                gate: Gate,
            }

            impl $name {
                pub(super) fn new(fns: $fns, pointer: InstancePtr) -> Self {
                    Self { fns, gate: Gate::new(pointer, fns.shutdown) }
                }

                /// Shuts the instance down, as soon as no call of it is under way; that ends with the
                /// [`Completion`](super::Completion) of `scope`, which must not be 0. Answers false if that
                /// was done before.
                pub fn shutdown(&self, scope: u64) -> bool {
                    self.gate.close(scope)
                }

                /// Tells the instance that a session is gone for good.
                pub fn session_ended(&self, session: &str) -> bool {
                    let Some(session_ended) = self.fns.session_ended else { return true };
                    // SAFETY: the library's own function on its own instance, which the gate keeps; the
                    // string lives until this returns.
                    self.gate.call(|pointer| unsafe { session_ended(pointer, lend(session)) })
                }
            }
        )*
    };
}
instances! {
    /// An agent that was made.
    AgentInstance(AgentFns);
    /// A toolset that was made.
    ToolsetInstance(ToolsetFns);
}

impl AgentInstance {
    /// Starts a run, which ends with the [`Completion`](super::Completion) of `scope`. `params` is a
    /// [`RunParams`](crate::wire::RunParams).
    pub fn run(&self, scope: u64, params: &str) -> bool {
        // SAFETY: the library's own function on its own instance, which the gate keeps; the string lives until
        // this returns.
        self.gate
            .call(|pointer| unsafe { (self.fns.run)(pointer, scope, lend(params)) })
    }

    /// Asks a run to stop. May come more than once, and late.
    pub fn stop(&self, scope: u64) -> bool {
        // SAFETY: the library's own function on its own instance, which the gate keeps.
        self.gate
            .call(|pointer| unsafe { (self.fns.stop)(pointer, scope) })
    }

    /// After an `emit` that was answered [`Answer::Slow`](super::Answer::Slow): the run may go on. May come
    /// late, and without need.
    pub fn resume(&self, scope: u64) -> bool {
        // SAFETY: the library's own function on its own instance, which the gate keeps.
        self.gate
            .call(|pointer| unsafe { (self.fns.resume)(pointer, scope) })
    }
}

impl ToolsetInstance {
    /// Lists the tools; ends with the [`Completion`](super::Completion) of `scope`, whose JSON is a
    /// [`ToolList`](crate::wire::ToolList).
    pub fn list(&self, scope: u64) -> bool {
        // SAFETY: the library's own function on its own instance, which the gate keeps.
        self.gate
            .call(|pointer| unsafe { (self.fns.list)(pointer, scope) })
    }

    /// Calls a tool; ends with the [`Completion`](super::Completion) of `scope`, whose JSON is a
    /// [`ToolOutputData`](crate::wire::ToolOutputData). `args` is JSON that fits the tool's schema, `params` a
    /// [`ToolCallParams`](crate::wire::ToolCallParams).
    pub fn call(&self, scope: u64, name: &str, args: &str, params: &str) -> bool {
        let (name, args, params) = (lend(name), lend(args), lend(params));
        // SAFETY: the library's own function on its own instance, which the gate keeps; the strings live until
        // this returns.
        self.gate
            .call(|pointer| unsafe { (self.fns.call)(pointer, scope, name, args, params) })
    }

    /// Asks a call to end. May come more than once, and late.
    pub fn cancel(&self, scope: u64) -> bool {
        // SAFETY: the library's own function on its own instance, which the gate keeps.
        self.gate
            .call(|pointer| unsafe { (self.fns.cancel)(pointer, scope) })
    }
}
