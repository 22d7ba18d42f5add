//! Where the host answers a library's request.

use std::ffi::c_void;
use std::fmt;

use super::super::borrow::lend;
use super::super::types::{ERR_CANCELLED, ERR_FAILED, ERR_UNSUPPORTED, OK, RhSink, RhStr};
use crate::wire::ServiceErrorData;

/// Where the answer to a request goes: items on the way, and one `done`. Dropped without that, the request
/// was cancelled.
pub struct Sink {
    ctx: *mut c_void,
    item: unsafe extern "C" fn(*mut c_void, RhStr),
    done: unsafe extern "C" fn(*mut c_void, i32, RhStr),
    open: bool,
}

// SAFETY: `ctx` is only handed back to the library, whose functions may by contract be called from any thread.
unsafe impl Send for Sink {}
// SAFETY: as above; `item` may be called from several threads at a time.
unsafe impl Sync for Sink {}

/// Why a request is refused or failed.
#[derive(Clone, Debug, PartialEq)]
pub enum ServiceFailure {
    /// This host does not know the method.
    Unsupported,
    /// Cancelled, by the library or because its scope is over.
    Cancelled,
    /// Anything else, see [`ServiceErrorData`].
    Failed(ServiceErrorData),
}

impl ServiceFailure {
    /// A failure with one of the codes of [`ServiceErrorData`].
    pub fn failed(code: crate::ServiceErrorCode, message: impl Into<String>) -> Self {
        Self::Failed(ServiceErrorData {
            code: code.as_str().to_owned(),
            message: message.into(),
        })
    }
}

impl Sink {
    /// None if a function is absent.
    ///
    /// # Safety
    ///
    /// `ctx` stays valid for both functions until `done` was called.
    pub(super) unsafe fn new(sink: &RhSink) -> Option<Self> {
        Some(Self {
            ctx: sink.ctx,
            item: sink.item?,
            done: sink.done?,
            open: true,
        })
    }

    /// Something on the way to the answer, as JSON.
    pub fn item(&self, json: &str) {
        // SAFETY: `done` was not called, as it takes the sink; the string lives until this returns.
        unsafe { (self.item)(self.ctx, lend(json)) };
    }

    /// The answer, as JSON.
    pub fn done(mut self, result: Result<&str, ServiceFailure>) {
        match result {
            Ok(json) => self.end(OK, json),
            Err(ServiceFailure::Unsupported) => self.end(ERR_UNSUPPORTED, ""),
            Err(ServiceFailure::Cancelled) => self.end(ERR_CANCELLED, ""),
            Err(ServiceFailure::Failed(data)) => {
                // Two strings always encode.
                let json = serde_json::to_string(&data).unwrap_or_default();
                self.end(ERR_FAILED, &json);
            }
        }
    }

    fn end(&mut self, status: i32, json: &str) {
        if std::mem::replace(&mut self.open, false) {
            // SAFETY: the first and only call of `done`; the string lives until this returns.
            unsafe { (self.done)(self.ctx, status, lend(json)) };
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.end(ERR_CANCELLED, "");
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}
