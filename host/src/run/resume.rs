//! Going on in a session where a client was: version 2's way of joining it.

use std::sync::Arc;
use std::time::Instant;

use super::cursor::{Cursor, Resumed};
use super::handle::SessionHandle;
use super::log::{EventLog, LogLimits, RestoredRun};
use super::slot::{Phase, SlotState};
use crate::protocol::hello::{Asked, RunInfo, RunState};
use crate::session::{Numbering, StoreError};

/// What a client finds that joins a session.
#[derive(Debug)]
pub struct Greeting {
    /// The events, and what goes on from there.
    pub resumed: Resumed,
    /// The run that is registered.
    pub run: Option<RunInfo>,
}

impl SessionHandle {
    /// Joins the session where the client says that it is. What it missed of the latest run comes from memory or,
    /// when that was given up, from the store.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// When the store cannot say where the session stands.
    pub async fn resume(&self, asked: &Asked) -> Result<Greeting, StoreError> {
        let numbering = self.numbering().await?;
        let misses_nothing = match asked {
            Asked::Nothing => true,
            Asked::After(epoch, after) => *epoch == numbering.epoch && *after == numbering.last_seq,
            Asked::Malformed => false,
        };
        // After a restart of the host, most clients that come back are where it is.
        if !misses_nothing {
            self.restore(&numbering).await?;
        }
        loop {
            let changed = self.slot.changed.notified();
            {
                let mut state = self.state();
                let log = self.log(&mut state, &numbering);
                if !is_announced(&state, &log, asked) {
                    let resumed = Cursor::resume(&log, asked);
                    let run = run_info(&state);
                    return Ok(Greeting { resumed, run });
                }
            }
            changed.await;
        }
    }

    /// Reads the latest run's events back from the store, if none are in memory.
    pub(super) async fn restore(&self, numbering: &Numbering) -> Result<(), StoreError> {
        let is_blank = |state: &mut SlotState| self.log(state, numbering).is_blank();
        if !is_blank(&mut self.state()) {
            return Ok(());
        }
        let bytes = self.registry.parts.source.settings().replay_bytes;
        let stored = self
            .registry
            .parts
            .store
            .latest_run(self.id(), bytes)
            .await?;
        if let Some(run) = stored.as_ref().map(RestoredRun::of) {
            let mut state = self.state();
            // It may have got events of its own meanwhile.
            if self.log(&mut state, numbering).restore(&run) {
                state.ended = Some(Instant::now());
            }
        }
        Ok(())
    }

    /// Where the session's count of events stands, read from the store the first time.
    pub(super) async fn numbering(&self) -> Result<Numbering, StoreError> {
        let store = &self.registry.parts.store;
        let read = || store.numbering(self.id());
        let first = self.slot.numbering.get_or_try_init(read).await?;
        let state = self.state();
        let last = state.log.as_ref().map(|log| log.last_seq());
        Ok(Numbering {
            epoch: first.epoch.clone(),
            last_seq: last.or(state.last_seq).unwrap_or(first.last_seq),
        })
    }

    /// The session's log, made if there is none. `numbering` is what [`SessionHandle::numbering`] answered.
    pub(super) fn log(&self, state: &mut SlotState, numbering: &Numbering) -> Arc<EventLog> {
        let last_seq = state.last_seq.unwrap_or(numbering.last_seq);
        let log = state.log.get_or_insert_with(|| {
            let settings = self.registry.parts.source.settings();
            let limits = LogLimits {
                records: settings.replay_records,
                record_bytes: settings.replay_bytes,
                window_bytes: settings.window_bytes,
                history_bytes: settings.history_bytes,
            };
            let budget = Arc::clone(&self.registry.parts.budget);
            let epoch = numbering.epoch.clone();
            Arc::new(EventLog::new(limits, budget, epoch, last_seq))
        });
        Arc::clone(log)
    }
}

/// Whether the client has read in the history of a run's end that is saved and about to be there.
fn is_announced(state: &SlotState, log: &EventLog, asked: &Asked) -> bool {
    let Asked::After(epoch, after) = asked else {
        return false;
    };
    let in_progress = matches!(state.phase, Phase::Running(_));
    in_progress && epoch == log.epoch() && *after > log.last_seq() && *after <= state.announced
}

/// The run that is registered, and how it stands.
pub(super) fn run_info(state: &SlotState) -> Option<RunInfo> {
    let control = state.control()?;
    let state = match state.phase {
        _ if control.stop.is_cancelled() => RunState::Stopping,
        Phase::Starting(_) => RunState::Starting,
        _ => RunState::Running,
    };
    Some(RunInfo {
        run_id: control.id,
        state,
    })
}
