//! The host's functions, as the library calls them.

use std::ffi::c_void;
use std::mem::size_of;
use std::sync::OnceLock;

use super::super::borrow::{self, lend, lend_event};
use super::super::guard::catch;
use super::super::types::{
    ERR_INTERNAL, ERR_INVALID, ERR_UNSUPPORTED, OK, RhCompletion, RhEvent, RhHost, RhLog, RhSink,
    RhStr, RhWriter,
};
use crate::event::EventRef;

/// The host of this library: one copy of a library has one.
static HOST: OnceLock<Host> = OnceLock::new();

/// The functions that the host has, copied at `init`. What it was built without is absent.
#[derive(Debug)]
pub(crate) struct Host {
    ctx: *mut c_void,
    emit: unsafe extern "C" fn(*mut c_void, u64, *const RhEvent) -> i32,
    complete: unsafe extern "C" fn(*mut c_void, u64, *const RhCompletion) -> i32,
    table: RhHost,
}

// SAFETY: `ctx` is only ever handed back to the host, whose functions may by contract be called from any thread.
unsafe impl Send for Host {}
// SAFETY: as above; nothing here changes after `init`.
unsafe impl Sync for Host {}

/// The host, after `init`.
pub(super) fn host() -> Option<&'static Host> {
    HOST.get()
}

/// [`RhPlugin::init`](super::super::types::RhPlugin::init) of every library.
pub(super) unsafe extern "C" fn init(table: *const RhHost) -> i32 {
    catch(|| {
        // SAFETY: the caller of `init` lends an `RhHost`, for ever.
        let Ok(table) = (unsafe { borrow::read(table) }) else {
            return ERR_INVALID;
        };
        let (Some(emit), Some(complete)) = (table.emit, table.complete) else {
            return ERR_INVALID;
        };
        let host = HOST.get_or_init(|| Host {
            ctx: table.ctx,
            emit,
            complete,
            table,
        });
        if host.ctx != table.ctx {
            // Another host already has this copy of the library; scopes of two would mix.
            return ERR_INVALID;
        }
        super::logging::install();
        OK
    })
    .unwrap_or(ERR_INTERNAL)
}

impl Host {
    /// One beside that of `init`. The table's functions must both be there.
    #[cfg(feature = "testing")]
    pub(super) fn of(table: &'static RhHost) -> Option<Self> {
        Some(Self {
            ctx: table.ctx,
            emit: table.emit?,
            complete: table.complete?,
            table: *table,
        })
    }

    #[inline]
    pub(super) fn emit(&self, scope: u64, event: EventRef<'_>) -> i32 {
        let event = lend_event(event);
        // SAFETY: the host's own `ctx`; the event and its strings live until the call returns.
        unsafe { (self.emit)(self.ctx, scope, &raw const event) }
    }

    pub(super) fn complete(&self, scope: u64, completion: &RhCompletion) -> i32 {
        // SAFETY: the host's own `ctx`; the completion and what it lends live until the call returns.
        unsafe { (self.complete)(self.ctx, scope, std::ptr::from_ref(completion)) }
    }

    /// `sink.ctx` must be understood by the sink's functions until `done` was called.
    pub(super) fn request(
        &self,
        scope: u64,
        id: u64,
        method: &str,
        params: &str,
        sink: &RhSink,
    ) -> i32 {
        let Some(request) = self.table.request else {
            return ERR_UNSUPPORTED;
        };
        // SAFETY: the host's own `ctx`; the strings live until the call returns, and the host copies the sink.
        unsafe {
            request(
                self.ctx,
                scope,
                id,
                lend(method),
                lend(params),
                std::ptr::from_ref(sink),
            )
        }
    }

    pub(super) fn cancel(&self, scope: u64, id: u64) -> i32 {
        let Some(cancel) = self.table.cancel else {
            return ERR_UNSUPPORTED;
        };
        // SAFETY: the host's own `ctx`, and integers.
        unsafe { cancel(self.ctx, scope, id) }
    }

    /// The bytes of an image, or the host's answer if that is not OK.
    pub(super) fn image(&self, scope: u64, handle: u64) -> Result<Vec<u8>, i32> {
        unsafe extern "C" fn append(ctx: *mut c_void, piece: RhStr) -> i32 {
            catch(|| {
                if piece.len == 0 {
                    return OK;
                }
                if piece.ptr.is_null() || piece.len > isize::MAX as usize {
                    return ERR_INVALID;
                }
                // SAFETY: `ctx` is the vector below, which the host uses only during its call and from one
                // thread at a time.
                let bytes = unsafe { &mut *ctx.cast::<Vec<u8>>() };
                // SAFETY: the host lends `len` readable bytes for this call.
                bytes
                    .extend_from_slice(unsafe { std::slice::from_raw_parts(piece.ptr, piece.len) });
                OK
            })
            .unwrap_or(ERR_INTERNAL)
        }

        let Some(image) = self.table.image else {
            return Err(ERR_UNSUPPORTED);
        };
        let mut bytes: Vec<u8> = Vec::new();
        let writer = RhWriter {
            ctx: (&raw mut bytes).cast(),
            write: append,
        };
        // SAFETY: the host's own `ctx`; the writer's vector outlives the call.
        let answer = unsafe { image(self.ctx, scope, handle, writer) };
        if answer == OK { Ok(bytes) } else { Err(answer) }
    }

    /// The program that guards child processes; empty where the host has none.
    pub(super) fn child_guard(&self) -> &str {
        // SAFETY: absent, or lent by the host for ever.
        unsafe { borrow::str(self.table.child_guard) }.unwrap_or_default()
    }

    pub(super) fn set_health(&self, scope: u64, health: u32, text: &str) -> i32 {
        let Some(set_health) = self.table.set_health else {
            return ERR_UNSUPPORTED;
        };
        // SAFETY: the host's own `ctx`; the text lives until the call returns.
        unsafe { set_health(self.ctx, scope, health, lend(text)) }
    }

    pub(super) fn log(&self, scope: u64, level: u32, target: &str, message: &str, fields: &str) {
        let Some(log) = self.table.log else { return };
        let line = RhLog {
            size: size_of::<RhLog>(),
            scope,
            level,
            reserved: 0,
            target: lend(target),
            message: lend(message),
            fields: lend(fields),
        };
        // SAFETY: the host's own `ctx`; the line and its strings live until the call returns.
        unsafe { log(self.ctx, &raw const line) };
    }
}
