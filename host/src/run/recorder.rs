//! Saving of what runs stream while they stream it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::registry::RunRegistry;
use super::slot::Phase;
use super::stored;
use crate::session::RunRecords;

/// How often closed records are saved; also how much of a run a killed host may lose.
const TICK: Duration = Duration::from_secs(1);

/// Saves the closed records of all runs about once a second, or as soon as one of them has many, in one transaction, and gives back memory that
/// logs no longer need. Returns when `end` is cancelled; what is unsaved then is saved by the runs' ends.
pub async fn record(registry: Arc<RunRegistry>, end: CancellationToken) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = registry.parts.budget.called() => {}
            () = end.cancelled() => return,
        }
        save(&registry).await;
        sweep(&registry);
        registry.advance_all();
    }
}

/// Saves what has closed since the last time.
async fn save(registry: &RunRegistry) {
    let _saving = registry.saving.lock().await;
    let mut batches = Vec::new();
    for slot in registry.all() {
        let state = slot.lock();
        if let (Phase::Running(control), Some(log)) = (&state.phase, &state.log) {
            let counts = log.take_counts();
            registry.parts.metrics.logged(counts.events, counts.folds);
            let closed = log.take_unsaved();
            if !closed.records.is_empty() {
                batches.push((control.id, Arc::clone(log), closed));
            }
        }
    }
    if batches.is_empty() {
        return;
    }
    let rows = batches.iter().map(|(run, _, closed)| RunRecords {
        run: *run,
        records: stored::records(closed),
    });
    if let Err(error) = registry.parts.store.append_records(rows.collect()).await {
        // They may have been saved, or be saved yet: the store tells by their numbers.
        tracing::error!(%error, "records could not be saved; they are tried again");
        for (_, log, closed) in batches {
            log.put_back(closed);
        }
    }
}

/// Gives back the memory of logs and frames that nobody needs: those of runs that ended long enough ago, and, while
/// all logs together keep too much, of others that have ended, the oldest first.
fn sweep(registry: &RunRegistry) {
    let keep = registry.parts.source.settings().replay_keep;
    let mut ended = Vec::new();
    for slot in registry.all() {
        let mut state = slot.lock();
        if let Some(log) = &state.log {
            log.trim();
        }
        match state.idle_log() {
            Some(at) if at.is_none_or(|at| at.elapsed() >= keep) => state.give_up_log(),
            Some(Some(at)) => ended.push((at, Arc::clone(&slot))),
            _ => {}
        }
        drop(state);
        registry.forget_unused(&slot);
    }
    if registry.parts.budget.is_tight() {
        ended.sort_by_key(|(at, _)| *at);
        for (_, slot) in ended {
            slot.lock().give_up_log();
            registry.forget_unused(&slot);
            if !registry.parts.budget.is_tight() {
                break;
            }
        }
    }
}
