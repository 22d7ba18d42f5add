//! Making and ending instances: the same for all components.

use std::any::Any;
use std::ffi::c_void;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::drive::{self, Bound, Ending};
use super::instances::{self, Name};
use super::runtime;
use crate::abi::borrow;
use crate::abi::types::{FAILED_CONFIG, RhStr, STOP};
use crate::wire::InstanceParams;
use crate::{CreateError, InstanceContext, SessionId};

/// The time for `create`, where the host does not say.
const CREATE: Duration = Duration::from_secs(300);
/// The time for `shutdown`. The host has a shorter one of its own.
const SHUTDOWN: Duration = Duration::from_secs(60);

/// Makes an instance with `make`. If the host gave up in the meantime, it is shut down with `discard`.
///
/// # Safety
///
/// The host lends both strings.
pub(super) unsafe fn create<T, C, M, D>(
    scope: u64,
    config: RhStr,
    params: RhStr,
    make: impl FnOnce(C, InstanceContext) -> M + Send + 'static,
    discard: impl FnOnce(Arc<T>) -> D + Send + 'static,
) where
    T: Any + Send + Sync,
    C: DeserializeOwned + 'static,
    M: Future<Output = Result<T, CreateError>> + Send + 'static,
    D: Future<Output = ()> + Send + 'static,
{
    // SAFETY: passed on to the caller.
    let config = unsafe { owned(config, "the configuration") };
    // SAFETY: passed on to the caller.
    let params = unsafe { json::<InstanceParams>(params, "the instance's parameters") };
    if let Ok(params) = &params {
        runtime::name_threads(&params.plugin);
    }
    let limit = match &params {
        Ok(params) if params.deadline_ms > 0 => Duration::from_millis(params.deadline_ms),
        _ => CREATE,
    };
    drive::start(
        scope,
        Bound::Total(limit, "create"),
        move |scope| async move {
            let (config, params) = match (config, params) {
                (Ok(config), Ok(params)) => (config, params),
                (Err(problem), _) | (_, Err(problem)) => return Ending::internal(problem),
            };
            let made = match read_config(&config) {
                Ok(config) => make(config, InstanceContext::new(params, scope)),
                Err(problem) => return Ending::Failed(FAILED_CONFIG, problem),
            };
            match made.await {
                Ok(instance) => Ending::Created(instances::insert(Arc::new(instance))),
                Err(error) => error.into(),
            }
        },
        |answer, created| async move {
            let refused = answer == STOP || answer < 0;
            if let Some(instance) = created.filter(|_| refused).and_then(instances::remove::<T>) {
                // Nobody waits for it, and it may hang: bounded like any other.
                let _ = tokio::time::timeout(SHUTDOWN, discard(instance)).await;
            }
        },
    );
}

/// Ends an instance with `end` and completes `scope`.
pub(super) fn shutdown<T, D>(
    instance: *mut c_void,
    scope: u64,
    end: impl FnOnce(Arc<T>) -> D + Send + 'static,
) where
    T: Any + Send + Sync,
    D: Future<Output = ()> + Send + 'static,
{
    // Begun before it is taken from the table, so that what it has on the runtime lives until it has ended.
    let _work = runtime::begin();
    let instance = instances::remove::<T>(Name::from_ptr(instance));
    drive::run(scope, Bound::Total(SHUTDOWN, "shutdown"), |_| async move {
        // One that is gone already has been shut down.
        if let Some(instance) = instance {
            end(instance).await;
        }
        Ending::Finished(String::new())
    });
}

/// Tells an instance that a session is gone.
///
/// # Safety
///
/// The host lends the string.
pub(super) unsafe fn session_ended<T: Any + Send + Sync>(
    instance: *mut c_void,
    session: RhStr,
    tell: impl FnOnce(&T, &SessionId),
) {
    // SAFETY: passed on to the caller.
    let Ok(session) = (unsafe { borrow::str(session) }) else {
        return;
    };
    if let Some(instance) = instances::get::<T>(Name::from_ptr(instance)) {
        tell(&instance, &SessionId::from(session));
    }
}

/// Copies a string, or says what is wrong with it.
///
/// # Safety
///
/// The host lends the string.
pub(super) unsafe fn owned(lent: RhStr, what: &str) -> Result<String, String> {
    // SAFETY: passed on to the caller.
    unsafe { borrow::str(lent) }
        .map(str::to_owned)
        .map_err(|error| format!("{what}: {error}"))
}

/// Parses JSON; none at all is the default.
///
/// # Safety
///
/// The host lends the string.
pub(super) unsafe fn json<T: DeserializeOwned + Default>(
    lent: RhStr,
    what: &str,
) -> Result<T, String> {
    // SAFETY: passed on to the caller.
    match unsafe { borrow::str(lent) } {
        Ok("") => Ok(T::default()),
        Ok(text) => serde_json::from_str(text).map_err(|error| format!("{what}: {error}")),
        Err(error) => Err(format!("{what}: {error}")),
    }
}

/// Reads the configuration into the author's type; a fault names the key's path, never a value.
pub(super) fn read_config<C: DeserializeOwned>(json: &str) -> Result<C, String> {
    let json = if json.is_empty() { "{}" } else { json };
    let mut reader = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let problem = without_value(&error.inner().to_string());
        if path == "." {
            problem
        } else {
            format!("{path}: {problem}")
        }
    })
}

/// serde's text without the value that did not fit, which may be a secret.
fn without_value(problem: &str) -> String {
    let problem = problem
        .rsplit_once(" at line ")
        .map_or(problem, |(before, _)| before);
    let with_value = [
        "invalid type",
        "invalid value",
        "invalid length",
        "unknown variant",
    ];
    if !with_value.iter().any(|start| problem.starts_with(start)) {
        return problem.to_owned();
    }
    match problem.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => "not a possible value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        #[expect(dead_code)]
        limits: Vec<u8>,
        #[expect(dead_code)]
        #[serde(default)]
        mode: Option<Mode>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        Fast,
        Slow,
    }

    #[test]
    fn a_fault_names_the_path_and_not_the_value() {
        let fault = |json: &str| read_config::<Config>(json).unwrap_err();
        assert_eq!(
            fault(r#"{"limits":[1,"hunter2, expected nothing"]}"#),
            "limits[1]: expected u8"
        );
        assert_eq!(
            fault(r#"{"limits":[],"mode":"hunter2"}"#),
            "mode: expected `fast` or `slow`"
        );
        assert_eq!(
            fault(r#"{"limits":[],"extra":1}"#),
            "extra: unknown field `extra`, expected `limits` or `mode`"
        );
        assert_eq!(fault(""), "missing field `limits`");
    }
}
