//! The functions of an event mapper.

use std::ffi::c_void;
use std::mem::size_of;
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, TryLockError};

use super::instances::{self, Name};
use super::lifecycle;
use crate::abi::borrow::{self, lend_event};
use crate::abi::guard::catch;
use crate::abi::types::{
    ERR_INTERNAL, ERR_INVALID, MAP_DROP, MAP_PASS, MAP_REPLACE, RhEvent, RhEventSink, RhMapper,
    RhStr,
};
use crate::wire::MapperParams;
use crate::{Event, EventMapper, MapEvents, Mapped, MapperRun};

/// A mapper and the kinds it asked for when it was made.
struct Instance<M> {
    mapper: M,
    kinds: u64,
}

/// A mapper at work in one run. Empty after a panic: what is left of it must map nothing any more.
type State = Mutex<Option<Box<dyn MapEvents>>>;

/// The functions, made for one type of mapper.
pub(super) struct Functions<M>(M);

impl<M: EventMapper> Functions<M> {
    pub(super) const TABLE: &'static RhMapper = &RhMapper {
        size: size_of::<RhMapper>(),
        create: Some(create::<M>),
        shutdown: Some(shutdown::<M>),
        kinds: Some(kinds::<M>),
        open: Some(open::<M>),
        map: Some(map),
        close: Some(close),
    };
}

unsafe extern "C" fn create<M: EventMapper>(scope: u64, config: RhStr, params: RhStr) {
    let _ = catch(|| {
        let make = |config: M::Config, _| async {
            let mapper = M::create(config)?;
            let kinds = mapper.kinds().bits();
            Ok(Instance { mapper, kinds })
        };
        // SAFETY: the host lends both strings for this call.
        unsafe { lifecycle::create(scope, config, params, make, |_: Arc<Instance<M>>| async {}) };
    });
}

unsafe extern "C" fn shutdown<M: EventMapper>(instance: *mut c_void, scope: u64) {
    let _ = catch(|| lifecycle::shutdown(instance, scope, |_: Arc<Instance<M>>| async {}));
}

unsafe extern "C" fn kinds<M: EventMapper>(instance: *mut c_void) -> u64 {
    let kinds = catch(|| {
        instances::get::<Instance<M>>(Name::from_ptr(instance)).map(|instance| instance.kinds)
    });
    // One that cannot say must see everything, so that nothing gets by it.
    kinds.ok().flatten().unwrap_or(u64::MAX)
}

unsafe extern "C" fn open<M: EventMapper>(instance: *mut c_void, params: RhStr) -> *mut c_void {
    let state = catch(|| {
        let instance = instances::get::<Instance<M>>(Name::from_ptr(instance))?;
        // SAFETY: the host lends the string for this call.
        let params = unsafe { lifecycle::json::<MapperParams>(params, "the mapper's parameters") };
        match params {
            Ok(params) => Some(instance.mapper.open(&MapperRun::from(params))),
            Err(problem) => {
                tracing::error!("{problem}");
                None
            }
        }
    });
    match state {
        Ok(Some(state)) => {
            let state: Box<State> = Box::new(Mutex::new(Some(state)));
            Box::into_raw(state).cast()
        }
        _ => null_mut(),
    }
}

unsafe extern "C" fn map(state: *mut c_void, event: *const RhEvent, out: RhEventSink) -> i32 {
    catch(|| {
        // SAFETY: null, or what `open` gave and `close` has not yet taken back.
        let Some(state) = (unsafe { state.cast::<State>().as_ref() }) else {
            return ERR_INVALID;
        };
        // SAFETY: the host lends an `RhEvent` with its strings for this call.
        let Ok(parts) = (unsafe { borrow::event(event) }) else {
            return ERR_INVALID;
        };
        let event = match Event::from_parts(parts) {
            Ok(event) => event,
            Err(error) => {
                tracing::error!("a mapper cannot read an event: {error}");
                return ERR_INVALID;
            }
        };
        // The host never overlaps calls on one state; if it does, the call fails and nobody waits.
        let mut guard = match state.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return ERR_INTERNAL,
        };
        let Some(mapper) = guard.as_mut() else {
            return ERR_INTERNAL;
        };
        match catch(|| mapper.map(event)) {
            Ok(Mapped::Pass) => MAP_PASS,
            Ok(Mapped::Drop) => MAP_DROP,
            Ok(Mapped::Replace(events)) => events
                .iter()
                .find_map(|event| push(out, event))
                .unwrap_or(MAP_REPLACE),
            Ok(Mapped::Fail(problem)) => {
                tracing::error!("a mapper failed: {problem}");
                ERR_INTERNAL
            }
            Err(panic) => {
                tracing::error!("a mapper panicked: {panic}");
                *guard = None;
                ERR_INTERNAL
            }
        }
    })
    .unwrap_or(ERR_INTERNAL)
}

/// Hands an event to the host; answers what it says if it refuses.
fn push(out: RhEventSink, event: &Event) -> Option<i32> {
    let answer = event.with_parts(|parts| {
        let event = lend_event(parts);
        // SAFETY: the sink's own `ctx`, during the call it was passed to; the event lives until this returns.
        unsafe { (out.push)(out.ctx, &raw const event) }
    });
    (answer < 0).then_some(answer)
}

unsafe extern "C" fn close(state: *mut c_void) {
    let _ = catch(|| {
        if !state.is_null() {
            // SAFETY: what `open` gave; the host takes leave of it with this call, once.
            drop(unsafe { Box::from_raw(state.cast::<State>()) });
        }
    });
}
