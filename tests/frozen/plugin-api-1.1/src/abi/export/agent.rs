//! The functions of an agent.

use std::ffi::c_void;
use std::mem::size_of;
use std::sync::Arc;
use std::time::Duration;

use super::drive::{self, Bound, Ending};
use super::instances::{self, Name};
use super::lifecycle;
use super::scope::{self, Scope};
use crate::abi::guard::catch;
use crate::abi::types::{FAILED_AGENT, RhAgent, RhStr};
use crate::wire::RunParams;
use crate::{AgentBackend, RunContext, RunError, RunRequest};

/// The time to end after a stop, where the host does not say.
const GRACE: Duration = Duration::from_secs(10);

/// The functions, made for one type of agent.
pub(super) struct Functions<A>(A);

impl<A: AgentBackend> Functions<A> {
    pub(super) const TABLE: &'static RhAgent = &RhAgent {
        size: size_of::<RhAgent>(),
        create: Some(create::<A>),
        shutdown: Some(shutdown::<A>),
        session_ended: Some(session_ended::<A>),
        run: Some(run::<A>),
        stop: Some(stop),
        resume: Some(resume),
    };
}

// In all of these a panic that is caught here has no one to be told to: what completes a scope does so by
// its drop guard.

unsafe extern "C" fn create<A: AgentBackend>(scope: u64, config: RhStr, params: RhStr) {
    let _ = catch(|| {
        let discard = |agent: Arc<A>| async move { agent.shutdown().await };
        // SAFETY: the host lends both strings for this call.
        unsafe { lifecycle::create(scope, config, params, A::create, discard) };
    });
}

unsafe extern "C" fn shutdown<A: AgentBackend>(instance: *mut c_void, scope: u64) {
    let _ = catch(|| {
        lifecycle::shutdown(instance, scope, |agent: Arc<A>| async move {
            agent.shutdown().await
        });
    });
}

unsafe extern "C" fn session_ended<A: AgentBackend>(instance: *mut c_void, session: RhStr) {
    // SAFETY: the host lends the string for this call.
    let _ = catch(|| unsafe { lifecycle::session_ended(instance, session, A::session_ended) });
}

unsafe extern "C" fn run<A: AgentBackend>(instance: *mut c_void, scope: u64, params: RhStr) {
    let _ = catch(|| {
        let agent = instances::get::<A>(Name::from_ptr(instance));
        // SAFETY: the host lends the string for this call.
        let params = unsafe { lifecycle::json::<RunParams>(params, "the run's parameters") };
        let grace = params.as_ref().map_or(GRACE, grace);
        drive::run(
            scope,
            Bound::AfterStop(grace, Ending::stopped),
            |scope| async move {
                let params = match params {
                    Ok(params) => params,
                    Err(problem) => return Ending::internal(problem),
                };
                let Some(agent) = agent else {
                    return Ending::internal("there is no such instance");
                };
                answer(&*agent, params, scope).await
            },
        );
    });
}

/// Has the agent answer a message.
async fn answer<A: AgentBackend>(agent: &A, params: RunParams, scope: Arc<Scope>) -> Ending {
    let request = RunRequest::new(params, &scope);
    match agent
        .run(request, RunContext::new(Arc::clone(&scope)))
        .await
    {
        Ok(outcome) => match Ending::finished(&outcome.data) {
            Ending::Finished(json) if outcome.stopped => Ending::Stopped(json),
            ending => ending,
        },
        // What `?` made of a request that the host cancelled for a reason of its own.
        Err(RunError::Stopped) if !scope.is_stopped() => {
            let text = "the run ended as stopped, but was not: a service was cancelled";
            Ending::Failed(FAILED_AGENT, text.to_owned())
        }
        Err(error) => error.into(),
    }
}

/// The time to end after a stop.
fn grace(params: &RunParams) -> Duration {
    match params.grace_ms {
        0 => GRACE,
        millis => Duration::from_millis(millis),
    }
}

/// A run of an agent that no library exports, for a `host` of the caller's own. The run ends with the
/// completion of `scope`, and so does the future.
#[cfg(feature = "testing")]
pub(super) fn run_on<A: AgentBackend>(
    host: &'static super::host::Host,
    scope: u64,
    agent: Arc<A>,
    params: RunParams,
) -> impl Future<Output = ()> + Send {
    let bound = Bound::AfterStop(grace(&params), Ending::stopped);
    drive::run_on(host, scope, bound, |scope| async move {
        answer(&*agent, params, scope).await
    })
}

unsafe extern "C" fn stop(_instance: *mut c_void, scope: u64) {
    let _ = catch(|| scope::stop(scope));
}

unsafe extern "C" fn resume(_instance: *mut c_void, scope: u64) {
    let _ = catch(|| scope::resume(scope));
}
