//! Waiting for a state, with a bound that only a fault reaches.

use std::time::Duration;

/// How long anything may take before a test gives up on it. Generous: the tests share their machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for `future`, but not for ever.
///
/// # Panics
///
/// After [`PATIENCE`].
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Waits until something is so, which nobody announces.
///
/// # Panics
///
/// After [`PATIENCE`].
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    soon(what, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
