//! Waiting for an agent to end, as far as the host is willing to.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::log::EventLog;
use crate::plugin::{RunEnd, RunHandle};

/// What a wait for an agent came to.
#[derive(Debug)]
pub enum Supervised {
    /// The agent said how it ended.
    Ended(RunEnd),
    /// It had not ended when the grace time was over.
    Abandoned,
    /// The host ended the run without waiting.
    Killed,
}

/// What a supervised run listens to.
#[derive(Debug)]
pub struct Levers<'a> {
    /// Asks the agent to stop.
    pub stop: &'a CancellationToken,
    /// Cancelled once it was asked to, for those that it has asked: what comes of their stop it hears after its own.
    pub told: &'a CancellationToken,
    /// Ends the wait at once.
    pub kill: &'a CancellationToken,
    /// How long an agent may take to end after a stop.
    pub grace: Duration,
    /// Told when an `emit` was answered SLOW.
    pub slow: &'a Notify,
    /// How long an `emit` that was answered SLOW waits at the most.
    pub slow_wait: Duration,
    /// Whose readers the agent waits for.
    pub log: &'a EventLog,
}

/// Waits until the agent ended, or until it is given up. The wait is bounded once a stop was asked for; the
/// caller asks when the run's time is over.
pub async fn supervise(handle: &mut RunHandle, levers: Levers<'_>) -> Supervised {
    let far = || Instant::now() + Duration::from_secs(86_400 * 365);
    let (mut stopping, mut deadline) = (false, far());
    let (mut pacing, mut resume_at) = (false, far());
    loop {
        tokio::select! {
            // Every arm waits on something that stays true or is counted, so losing a race loses nothing.
            end = handle.finished() => return Supervised::Ended(end),
            () = levers.kill.cancelled() => {
                handle.stop();
                return Supervised::Killed;
            }
            () = levers.stop.cancelled(), if !stopping => {
                handle.stop();
                levers.told.cancel();
                (stopping, deadline) = (true, Instant::now() + levers.grace);
            }
            () = sleep_until(deadline), if stopping => return Supervised::Abandoned,
            () = levers.slow.notified(), if !pacing => {
                (pacing, resume_at) = (true, Instant::now() + levers.slow_wait);
            }
            () = levers.log.paced(), if pacing => {
                pacing = false;
                handle.resume();
            }
            () = sleep_until(resume_at), if pacing => {
                pacing = false;
                handle.resume();
            }
        }
    }
}
