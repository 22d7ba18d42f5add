//! What the library calls: the functions of [`RhHost`].

use std::ffi::c_void;
use std::mem::size_of;
use std::sync::atomic::AtomicPtr;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::borrow::{self, BorrowError, lend_bytes};
use super::super::guard::catch;
use super::super::types::{
    ABI_MINOR, ERR_INTERNAL, ERR_INVALID, LOG_DEBUG, LOG_ERROR, LOG_INFO, LOG_WARN, OK,
    RhCompletion, RhEvent, RhHost, RhLog, RhSink, RhStr, RhWriter, STATUS_FINISHED, STATUS_STOPPED,
};
use super::{Completion, FailureKind, HostLibrary, InstancePtr, LogLine, Sink};

/// What `ctx` points to.
struct Ctx {
    host: Arc<dyn HostLibrary>,
}

/// The tables of all libraries. Nothing is taken out: a library may use its table for ever, as it is never
/// unloaded. Kept here rather than just leaked, so that a leak checker tells them from mistakes.
static TABLES: Mutex<Vec<AtomicPtr<RhHost>>> = Mutex::new(Vec::new());

/// Makes the table that a library gets. It lives for ever.
pub(super) fn table(host: Arc<dyn HostLibrary>) -> &'static RhHost {
    let ctx: &'static mut Ctx = Box::leak(Box::new(Ctx { host }));
    let table = Box::into_raw(Box::new(RhHost {
        size: size_of::<RhHost>(),
        abi_minor: ABI_MINOR,
        reserved: 0,
        ctx: std::ptr::from_mut(ctx).cast(),
        emit: Some(emit),
        complete: Some(complete),
        request: Some(request),
        cancel: Some(cancel),
        image: Some(image),
        log: Some(log),
    }));
    TABLES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(AtomicPtr::new(table));
    // SAFETY: just allocated, never freed, never written again.
    unsafe { &*table }
}

/// Runs a callback's work on its host; what is wrong with an argument, and a panic, become answers.
#[inline]
fn call(ctx: *mut c_void, work: impl FnOnce(&dyn HostLibrary) -> Result<i32, BorrowError>) -> i32 {
    // SAFETY: null, or the `Ctx` that `table` put into the table, which is the only one a library has got and
    // which is never freed or written.
    let Some(ctx) = (unsafe { ctx.cast_const().cast::<Ctx>().as_ref() }) else {
        return ERR_INVALID;
    };
    match catch(|| work(&*ctx.host)) {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => ERR_INVALID,
        Err(panic) => {
            // The host's own subscriber, not the library's: this is the host's copy of `tracing`.
            let _ = catch(|| tracing::error!("the host panicked in a call from a plugin: {panic}"));
            ERR_INTERNAL
        }
    }
}

unsafe extern "C" fn emit(ctx: *mut c_void, scope: u64, event: *const RhEvent) -> i32 {
    call(ctx, |host| {
        // SAFETY: the library lends an `RhEvent` with its strings for this call.
        let event = unsafe { borrow::event(event) }?;
        if event.name.is_empty() {
            return Ok(ERR_INVALID);
        }
        Ok(host.emit(scope, event).code())
    })
}

unsafe extern "C" fn complete(
    ctx: *mut c_void,
    scope: u64,
    completion: *const RhCompletion,
) -> i32 {
    call(ctx, |host| {
        // What is wrong here must not leave the host waiting: it becomes a failure of what was started.
        // SAFETY: the library lends an `RhCompletion` for this call.
        let completion = match unsafe { borrow::read(completion) } {
            Ok(completion) => {
                // SAFETY: as above, with its strings.
                unsafe { owned(&completion) }
            }
            Err(error) => Err(error),
        };
        let completion = completion.unwrap_or_else(|error| Completion::Failed {
            kind: FailureKind::Internal,
            text: format!("the plugin's completion is not what it must be: {error}"),
        });
        Ok(host.complete(scope, completion).code())
    })
}

/// # Safety
///
/// The strings of `completion` are lent.
unsafe fn owned(completion: &RhCompletion) -> Result<Completion, BorrowError> {
    // SAFETY: passed on to the caller.
    let json = unsafe { borrow::str(completion.json) };
    Ok(match completion.status {
        STATUS_FINISHED => Completion::Finished {
            value: InstancePtr::new(completion.value),
            json: json?.to_owned(),
        },
        STATUS_STOPPED => Completion::Stopped {
            json: json?.to_owned(),
        },
        // A status that this release does not know is no success.
        _ => {
            // SAFETY: passed on to the caller.
            let text = unsafe { borrow::str(completion.text) }?.to_owned();
            Completion::Failed {
                kind: FailureKind::from_code(completion.kind),
                text,
            }
        }
    })
}

unsafe extern "C" fn request(
    ctx: *mut c_void,
    scope: u64,
    id: u64,
    method: RhStr,
    params: RhStr,
    sink: *const RhSink,
) -> i32 {
    call(ctx, |host| {
        // SAFETY: the library lends the string for this call.
        let method = unsafe { borrow::str(method) }?;
        // SAFETY: as above.
        let params = unsafe { borrow::str(params) }?;
        // SAFETY: the library lends an `RhSink` for this call.
        let sink = unsafe { borrow::read(sink) }?;
        // SAFETY: the library says that `ctx` stays valid until `done`.
        let Some(sink) = (unsafe { Sink::new(&sink) }) else {
            return Ok(ERR_INVALID);
        };
        // From here on the sink answers, and a panic drops it, which answers too: never both this and a
        // negative number.
        if let Err(panic) = catch(|| host.request(scope, id, method, params, sink)) {
            tracing::error!("the host panicked in a request of a plugin: {panic}");
        }
        Ok(OK)
    })
}

unsafe extern "C" fn cancel(ctx: *mut c_void, scope: u64, id: u64) -> i32 {
    call(ctx, |host| Ok(host.cancel(scope, id).code()))
}

unsafe extern "C" fn image(ctx: *mut c_void, scope: u64, handle: u64, out: RhWriter) -> i32 {
    call(ctx, |host| {
        let Some(bytes) = host.image(scope, handle) else {
            return Ok(ERR_INVALID);
        };
        // SAFETY: the writer's own `ctx`, during the call it was passed to; the bytes live until it returns.
        let answer = unsafe { (out.write)(out.ctx, lend_bytes(&bytes)) };
        Ok(answer.min(OK))
    })
}

unsafe extern "C" fn log(ctx: *mut c_void, line: *const RhLog) {
    call(ctx, |host| {
        // SAFETY: the library lends an `RhLog` for this call.
        let line = unsafe { borrow::read(line) }?;
        let level = match line.level {
            0 | LOG_ERROR => tracing::Level::ERROR,
            LOG_WARN => tracing::Level::WARN,
            LOG_INFO => tracing::Level::INFO,
            LOG_DEBUG => tracing::Level::DEBUG,
            _ => tracing::Level::TRACE,
        };
        // SAFETY: as above, with its strings.
        let target = unsafe { borrow::str(line.target) }?;
        // SAFETY: as above.
        let message = unsafe { borrow::str(line.message) }?;
        // SAFETY: as above.
        let fields = unsafe { borrow::str(line.fields) }?;
        host.log(LogLine {
            scope: line.scope,
            level,
            target,
            message,
            fields,
        });
        Ok(OK)
    });
}
