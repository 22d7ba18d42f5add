//! The functions of a toolset.

use std::ffi::c_void;
use std::mem::size_of;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::drive::{self, Bound, Ending};
use super::instances::{self, Name};
use super::lifecycle;
use super::scope::{self, Scope};
use crate::abi::guard::catch;
use crate::abi::types::{FAILED_AGENT, RhStr, RhToolset};
use crate::wire::{ToolCallParams, ToolList};
use crate::{ToolCall, ToolContext, Toolset};

/// The time to end after a cancel. The host waits for none of it.
const CANCEL_GRACE: Duration = Duration::from_secs(2);
/// The time to list the tools. The host has a shorter one of its own.
const LIST: Duration = Duration::from_secs(60);

/// The functions, made for one type of toolset.
pub(super) struct Functions<T>(T);

impl<T: Toolset> Functions<T> {
    pub(super) const TABLE: &'static RhToolset = &RhToolset {
        size: size_of::<RhToolset>(),
        create: Some(create::<T>),
        shutdown: Some(shutdown::<T>),
        session_ended: Some(session_ended::<T>),
        list: Some(list::<T>),
        call: Some(call::<T>),
        cancel: Some(cancel),
    };
}

// As for agents: a panic that is caught here has no one to be told to.

unsafe extern "C" fn create<T: Toolset>(scope: u64, config: RhStr, params: RhStr) {
    let _ = catch(|| {
        let discard = |toolset: Arc<T>| async move { toolset.shutdown().await };
        // SAFETY: the host lends both strings for this call.
        unsafe { lifecycle::create(scope, config, params, T::create, discard) };
    });
}

unsafe extern "C" fn shutdown<T: Toolset>(instance: *mut c_void, scope: u64) {
    let _ = catch(|| {
        lifecycle::shutdown(instance, scope, |toolset: Arc<T>| async move {
            toolset.shutdown().await
        });
    });
}

unsafe extern "C" fn session_ended<T: Toolset>(instance: *mut c_void, session: RhStr) {
    // SAFETY: the host lends the string for this call.
    let _ = catch(|| unsafe { lifecycle::session_ended(instance, session, T::session_ended) });
}

unsafe extern "C" fn list<T: Toolset>(instance: *mut c_void, scope: u64) {
    let _ = catch(|| {
        let toolset = instances::get::<T>(Name::from_ptr(instance));
        drive::run(scope, Bound::Total(LIST, "list"), |_| async move {
            let Some(toolset) = toolset else {
                return Ending::internal("there is no such instance");
            };
            Ending::finished(&ToolList {
                tools: toolset.list().await,
            })
        });
    });
}

unsafe extern "C" fn call<T: Toolset>(
    instance: *mut c_void,
    scope: u64,
    name: RhStr,
    args: RhStr,
    params: RhStr,
) {
    let _ = catch(|| {
        let toolset = instances::get::<T>(Name::from_ptr(instance));
        // SAFETY: the host lends the string for this call.
        let name = unsafe { lifecycle::owned(name, "the tool's name") };
        // SAFETY: as above.
        let args = unsafe { lifecycle::json::<Value>(args, "the tool's arguments") };
        // SAFETY: as above.
        let params = unsafe { lifecycle::json::<ToolCallParams>(params, "the call's parameters") };
        drive::run(
            scope,
            Bound::AfterStop(CANCEL_GRACE, cancelled),
            |scope| async move {
                let (name, args, params) = match (name, args, params) {
                    (Ok(name), Ok(args), Ok(params)) => (name, args, params),
                    (Err(problem), _, _) | (_, Err(problem), _) | (_, _, Err(problem)) => {
                        return Ending::internal(problem);
                    }
                };
                let Some(toolset) = toolset else {
                    return Ending::internal("there is no such instance");
                };
                answer(&*toolset, ToolCall { name, args }, params, scope).await
            },
        );
    });
}

/// Has the toolset answer a call.
async fn answer<T: Toolset>(
    toolset: &T,
    call: ToolCall,
    params: ToolCallParams,
    scope: Arc<Scope>,
) -> Ending {
    match toolset.call(call, ToolContext::new(params, scope)).await {
        Ok(output) => Ending::finished(&output),
        Err(error) => Ending::Failed(FAILED_AGENT, error.to_string()),
    }
}

/// A call of a toolset that no library exports, for a `host` of the caller's own. The call ends with the
/// completion of `scope`, and so does the future.
#[cfg(feature = "testing")]
pub(super) fn call_on<T: Toolset>(
    host: &'static super::host::Host,
    scope: u64,
    toolset: Arc<T>,
    call: ToolCall,
    params: ToolCallParams,
) -> impl Future<Output = ()> + Send {
    let bound = Bound::AfterStop(CANCEL_GRACE, cancelled);
    drive::run_on(host, scope, bound, |scope| async move {
        answer(&*toolset, call, params, scope).await
    })
}

fn cancelled() -> Ending {
    Ending::Failed(FAILED_AGENT, "cancelled".to_owned())
}

unsafe extern "C" fn cancel(_instance: *mut c_void, scope: u64) {
    let _ = catch(|| scope::stop(scope));
}
