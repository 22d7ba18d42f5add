//! Where the host answers a library's request.

use std::ffi::c_void;
use std::fmt;

use super::super::borrow::lend;
use super::super::types::{ERR_CANCELLED, ERR_FAILED, ERR_UNSUPPORTED, OK, RhSink, RhStr};
use crate::wire::ServiceErrorData;

/// Where the answer to a request goes: items on the way, and one `done`. Dropped without that, the request
/// was cancelled.
pub struct Sink(Option<To>);

/// Whose request it is.
enum To {
    Library(LibrarySink),
    Other(Box<dyn Answers>),
}

/// Where answers go to a library that is not in this process.
pub trait Answers: Send + Sync + 'static {
    /// Something on the way to the answer, as JSON. Never after `done`.
    fn item(&self, json: &str);

    /// The answer, as JSON. Called exactly once.
    fn done(self: Box<Self>, result: Result<&str, ServiceFailure>);
}

struct LibrarySink {
    ctx: *mut c_void,
    item: unsafe extern "C" fn(*mut c_void, RhStr),
    done: unsafe extern "C" fn(*mut c_void, i32, RhStr),
}

// SAFETY: `ctx` is only handed back to the library, whose functions may by contract be called from any thread.
unsafe impl Send for LibrarySink {}
// SAFETY: as above; `item` may be called from several threads at a time.
unsafe impl Sync for LibrarySink {}

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
        Some(Self(Some(To::Library(LibrarySink {
            ctx: sink.ctx,
            item: sink.item?,
            done: sink.done?,
        }))))
    }

    /// One whose answers go to `answers`.
    pub fn to(answers: Box<dyn Answers>) -> Self {
        Self(Some(To::Other(answers)))
    }

    /// Whether its answers are calls of a library's functions.
    pub fn calls_a_library(&self) -> bool {
        matches!(self.0, Some(To::Library(_)))
    }

    /// Something on the way to the answer, as JSON.
    pub fn item(&self, json: &str) {
        match &self.0 {
            // SAFETY: `done` was not called, as it takes the sink; the string lives until this returns.
            Some(To::Library(sink)) => unsafe { (sink.item)(sink.ctx, lend(json)) },
            Some(To::Other(answers)) => answers.item(json),
            None => {}
        }
    }

    /// The answer, as JSON.
    pub fn done(mut self, result: Result<&str, ServiceFailure>) {
        self.end(result);
    }

    fn end(&mut self, result: Result<&str, ServiceFailure>) {
        match self.0.take() {
            Some(To::Library(sink)) => sink.done(result),
            Some(To::Other(answers)) => answers.done(result),
            None => {}
        }
    }
}

impl LibrarySink {
    fn done(self, result: Result<&str, ServiceFailure>) {
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

    fn end(self, status: i32, json: &str) {
        // SAFETY: the first and only call of `done`, which takes the sink; the string lives until this returns.
        unsafe { (self.done)(self.ctx, status, lend(json)) };
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.end(Err(ServiceFailure::Cancelled));
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}
