//! Services of the host: requests that are open, and the sinks their answers come to.
//!
//! A sink's `ctx` is the request's number, not an address: an answer that comes twice or late finds nothing.

use std::collections::HashMap;
use std::ffi::c_void;
use std::mem::size_of;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::host::Host;
use super::scope::Scope;
use crate::abi::borrow;
use crate::abi::guard::catch;
use crate::abi::types::{
    ERR_CANCELLED, ERR_FAILED, ERR_INVALID, ERR_TOO_LARGE, ERR_UNSUPPORTED, RhSink, RhStr, STOP,
};
use crate::wire::ServiceErrorData;
use crate::{Event, ServiceError, ServiceErrorCode};

static OPEN: LazyLock<Mutex<HashMap<usize, Open>>> = LazyLock::new(Mutex::default);
static NEXT: AtomicUsize = AtomicUsize::new(1);

struct Open {
    scope: u64,
    answer: oneshot::Sender<Result<String, ServiceError>>,
    events: Option<mpsc::Sender<Event>>,
}

fn open() -> MutexGuard<'static, HashMap<usize, Open>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends a request and waits for its answer. Dropping the future withdraws it.
pub(super) async fn request(
    scope: &Scope,
    method: &str,
    params: &impl Serialize,
    events: Option<mpsc::Sender<Event>>,
) -> Result<String, ServiceError> {
    let (_withdraw, answered) = send(scope, method, params, events)?;
    // The host answers every request it took, at the latest when the scope ends; the sender is dropped when
    // the scope ends here.
    answered.await.unwrap_or_else(|_| Err(cancelled()))
}

fn send(
    scope: &Scope,
    method: &str,
    params: &impl Serialize,
    events: Option<mpsc::Sender<Event>>,
) -> Result<(Withdraw, oneshot::Receiver<Result<String, ServiceError>>), ServiceError> {
    if scope.is_over() {
        return Err(cancelled());
    }
    let params = serde_json::to_string(params).map_err(|error| {
        ServiceError::new(
            ServiceErrorCode::Invalid,
            format!("parameters of {method}: {error}"),
        )
    })?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let (answer, answered) = oneshot::channel();
    open().insert(
        number,
        Open {
            scope: scope.id(),
            answer,
            events,
        },
    );
    let mut withdraw = Withdraw {
        number,
        scope: scope.id(),
        host: scope.host(),
        sent: false,
    };
    let sink = RhSink {
        size: size_of::<RhSink>(),
        ctx: std::ptr::without_provenance_mut::<c_void>(number),
        item: Some(item),
        done: Some(done),
    };
    let taken = scope
        .host()
        .request(scope.id(), number as u64, method, &params, &sink);
    if taken == STOP {
        scope.mark_over();
        return Err(cancelled());
    }
    if taken < 0 {
        return Err(failure(taken, ""));
    }
    withdraw.sent = true;
    Ok((withdraw, answered))
}

/// Forgets the request when the author no longer waits for it, and tells the host.
struct Withdraw {
    number: usize,
    scope: u64,
    host: &'static Host,
    sent: bool,
}

impl Drop for Withdraw {
    fn drop(&mut self) {
        let unanswered = open().remove(&self.number).is_some();
        if unanswered && self.sent {
            self.host.cancel(self.scope, self.number as u64);
        }
    }
}

/// The scope is over: whoever still waits for an answer to one of its requests learns so.
pub(super) fn end_scope(scope: u64) {
    open().retain(|_, open| open.scope != scope);
}

fn cancelled() -> ServiceError {
    ServiceError::new(
        ServiceErrorCode::Cancelled,
        "cancelled: the run or call is over",
    )
}

fn failure(status: i32, json: &str) -> ServiceError {
    let code = match status {
        ERR_CANCELLED => return cancelled(),
        ERR_FAILED => {
            let ServiceErrorData { code, message } = serde_json::from_str(json).unwrap_or_default();
            let message = if message.is_empty() {
                format!("the request failed ({code})")
            } else {
                message
            };
            return ServiceError::new(ServiceErrorCode::from_name(&code), message);
        }
        ERR_INVALID => ServiceErrorCode::Invalid,
        ERR_TOO_LARGE => ServiceErrorCode::TooLarge,
        ERR_UNSUPPORTED => ServiceErrorCode::Unsupported,
        _ => ServiceErrorCode::Internal,
    };
    ServiceError::new(
        code,
        format!(
            "the host refused the request: {}",
            code.as_str().replace('_', " ")
        ),
    )
}

unsafe extern "C" fn item(ctx: *mut c_void, json: RhStr) {
    // There is nobody to tell of a panic; the item is left out.
    let _ = catch(|| {
        let Some(events) = open().get(&ctx.addr()).and_then(|open| open.events.clone()) else {
            return;
        };
        // SAFETY: the host lends the string for this call.
        let Ok(json) = (unsafe { borrow::str(json) }) else {
            return;
        };
        let event = serde_json::from_str::<Value>(json)
            .ok()
            .and_then(|value| Event::from_wire_value(value).ok());
        if let Some(event) = event {
            // A full queue leaves the item out, as `run_agent_watched` says.
            let _ = events.try_send(event);
        }
    });
}

unsafe extern "C" fn done(ctx: *mut c_void, status: i32, json: RhStr) {
    // A panic here drops the sender, and the author's wait ends as cancelled.
    let _ = catch(|| {
        let Some(Open { answer, .. }) = open().remove(&ctx.addr()) else {
            return;
        };
        // SAFETY: the host lends the string for this call.
        let result = match unsafe { borrow::str(json) } {
            Ok(json) if status >= 0 => Ok(json.to_owned()),
            Ok(json) => Err(failure(status, json)),
            Err(error) => Err(ServiceError::new(
                ServiceErrorCode::Internal,
                format!("the host's answer: {error}"),
            )),
        };
        // The author may have dropped the future at this very moment.
        let _ = answer.send(result);
    });
}
