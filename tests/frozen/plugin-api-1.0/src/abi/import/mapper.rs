//! Instances of event mappers, and their states.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use thiserror::Error;

use super::super::borrow::{self, lend, lend_event};
use super::super::guard::catch;
use super::super::types::{
    ERR_INTERNAL, ERR_INVALID, MAP_DROP, MAP_PASS, MAP_REPLACE, OK, RhEvent, RhEventSink,
};
use super::component::MapperFns;
use super::instance::Gate;
use super::{EventRef, InstancePtr};
use crate::EventKinds;

/// A mapper that was made: its configuration. Dropped without a shutdown it stays with the library for ever.
#[derive(Clone, Debug)]
pub struct MapperInstance {
    fns: MapperFns,
    gate: Arc<Gate>,
}

/// A mapper's state in one run. Dropping it closes it.
#[derive(Debug)]
pub struct MapperState {
    fns: MapperFns,
    state: NonNull<c_void>,
    gate: Arc<Gate>,
}

// SAFETY: the state is only handed back to the library, whose functions may by contract be called from any
// thread; `&mut self` keeps two calls on one state apart. It is not Sync, and has nothing to share.
unsafe impl Send for MapperState {}

/// What a mapper decided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The event goes on as it is.
    Pass,
    /// The event is dropped.
    Drop,
    /// The events that were pushed take its place.
    Replace,
}

/// A mapper did not do its work: its event must not be let through.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum MapFault {
    /// It answered that it failed.
    #[error("the mapper failed (answer {0})")]
    Failed(i32),
    /// It answered something that this host does not know, or other than it did.
    #[error("the mapper answered {0} after {1} events in place of its own")]
    Nonsense(i32, usize),
    /// It pushed an event that is none.
    #[error("the mapper gave an event that is not what it must be")]
    BadEvent,
}

impl MapperInstance {
    pub(super) fn new(fns: MapperFns, pointer: InstancePtr) -> Self {
        Self {
            fns,
            gate: Arc::new(Gate::new(pointer, fns.shutdown)),
        }
    }

    /// The events that the mapper wants to see. After a shutdown none.
    pub fn kinds(&self) -> EventKinds {
        if !self.gate.enter() {
            return EventKinds::NONE;
        }
        // SAFETY: the library's own function on its own instance, which the gate keeps.
        let bits = unsafe { (self.fns.kinds)(self.gate.pointer()) };
        self.gate.leave();
        EventKinds::from_bits(bits)
    }

    /// Opens the state of one run; `None` if the mapper fails to, or was shut down. `params` is a
    /// [`MapperParams`](crate::wire::MapperParams).
    pub fn open(&self, params: &str) -> Option<MapperState> {
        if !self.gate.enter() {
            return None;
        }
        // SAFETY: the library's own function on its own instance, which the gate keeps; the string lives until
        // this returns.
        let state = unsafe { (self.fns.open)(self.gate.pointer(), lend(params)) };
        match NonNull::new(state) {
            // The place at the gate goes with the state: an instance outlives its states.
            Some(state) => Some(MapperState {
                fns: self.fns,
                state,
                gate: Arc::clone(&self.gate),
            }),
            None => {
                self.gate.leave();
                None
            }
        }
    }

    /// Shuts the mapper down, as soon as all of its states are closed; that ends with the
    /// [`Completion`](super::Completion) of `scope`, which must not be 0. Answers false if that was done before.
    pub fn shutdown(&self, scope: u64) -> bool {
        self.gate.close(scope)
    }
}

/// What the sink's `ctx` points to during a call of `map`.
struct Pushed<'a> {
    push: &'a mut dyn FnMut(EventRef<'_>),
    count: usize,
    bad: bool,
}

impl MapperState {
    /// Maps one event. Events in its place go to `push` as they come, before it is known what the verdict
    /// is: unless that is [`Verdict::Replace`], throw them away.
    ///
    /// # Errors
    ///
    /// The mapper failed, or gave something that is no event.
    pub fn map(
        &mut self,
        event: EventRef<'_>,
        push: &mut dyn FnMut(EventRef<'_>),
    ) -> Result<Verdict, MapFault> {
        let event = lend_event(event);
        let mut pushed = Pushed {
            push,
            count: 0,
            bad: false,
        };
        let sink = RhEventSink {
            ctx: (&raw mut pushed).cast(),
            push: take,
        };
        // SAFETY: the library's own function on its own state, which is open, and which nobody else uses as
        // this is `&mut self`; event and sink live until it returns.
        let answer = unsafe { (self.fns.map)(self.state.as_ptr(), &raw const event, sink) };
        if pushed.bad {
            return Err(MapFault::BadEvent);
        }
        match (answer, pushed.count) {
            (MAP_PASS, 0) => Ok(Verdict::Pass),
            (MAP_DROP, 0) => Ok(Verdict::Drop),
            (MAP_REPLACE, _) => Ok(Verdict::Replace),
            (failed, _) if failed < 0 => Err(MapFault::Failed(failed)),
            (unknown, count) => Err(MapFault::Nonsense(unknown, count)),
        }
    }
}

unsafe extern "C" fn take(ctx: *mut c_void, event: *const RhEvent) -> i32 {
    // SAFETY: null, or the `Pushed` of the call of `map` that the library is in; it may use it only there and
    // from one thread.
    let Some(pushed) = (unsafe { ctx.cast::<Pushed<'_>>().as_mut() }) else {
        return ERR_INVALID;
    };
    let taken = catch(|| {
        // SAFETY: the library lends an `RhEvent` with its strings for this call.
        let event = unsafe { borrow::event(event) }?;
        if event.name.is_empty() {
            return Err(super::BorrowError::Null);
        }
        (pushed.push)(event);
        pushed.count += 1;
        Ok(())
    });
    match taken {
        Ok(Ok(())) => OK,
        Ok(Err(_)) => {
            pushed.bad = true;
            ERR_INVALID
        }
        Err(panic) => {
            let _ = catch(|| tracing::error!("the host panicked in a call from a mapper: {panic}"));
            pushed.bad = true;
            ERR_INTERNAL
        }
    }
}

impl Drop for MapperState {
    fn drop(&mut self) {
        // SAFETY: the library's own function on its own state, for the last time.
        unsafe { (self.fns.close)(self.state.as_ptr()) };
        self.gate.leave();
    }
}
