//! The end of a run's task: its outcome is saved, then its last frame sent.

use std::sync::Arc;
use std::time::Instant;

use tracing::Span;

use super::driver::{Order, store, unix_ms};
use super::ending::{Ending, Numbers};
use super::inbox::retried;
use super::live::LiveRun;
use super::services::RunServices;
use crate::metrics::PluginFailure;
use crate::protocol::{ErrorCode, RunEvent, errors};
use crate::spans;

/// Saves the outcome, then sends the last frame and frees the session.
pub(super) async fn finish(
    order: &Order,
    live: &Arc<LiveRun>,
    services: &Arc<RunServices>,
    ending: Ending,
    begun_at: Instant,
) {
    let numbers = Numbers {
        run: order.control.id,
        elapsed_seconds: begun_at.elapsed().as_secs_f64(),
        tool_call_count: live.tool_calls(),
        ended_at_ms: unix_ms(),
    };
    let deleted = || order.control.is_deleted();
    let both = |ending: &Ending, last: RunEvent| (last, ending.after_last(&numbers));
    let of = |ending: Ending| both(&ending, ending.last_event(&numbers));
    let (last, saved) = if deleted() {
        live.log.seal(&live.span);
        (of(Ending::session_not_found()), Ok(()))
    } else {
        // What the recorder has taken is saved, or given back, before the rest is taken here.
        let saving = order.session.registry.saving.lock().await;
        let rest = live.log.seal(&live.span);
        // Before the mappers: nobody else's run waits for them.
        drop(saving);
        let (ending, last, sent) = mapped(live, ending, &numbers).await;
        let lasts = both(&ending, sent);
        let last_seq = live.log.last_seq() + 1 + u64::from(lasts.1.is_some());
        let run = ending.into_finish(&numbers, &last, &lasts.0, rest, services.kept(), last_seq);
        order.session.state().announced = last_seq;
        let saved = retried(|| store(order).finish_run(run.clone())).await;
        (lasts, saved)
    };
    let (last, after) = match saved {
        Ok(()) => last,
        Err(_) if deleted() => of(Ending::session_not_found()),
        Err(error) => {
            tracing::error!(run = %live.control.id, %error, "the turn could not be saved");
            of(Ending::not_saved())
        }
    };
    if let RunEvent::Error(failure) = &last {
        tracing::warn!(run = %live.control.id, agent = order.agent.name(), code = %failure.code, error = failure.message, "run failed");
    }
    tracing::info!(
        run = %live.control.id,
        end = last.type_name(),
        seconds = numbers.elapsed_seconds,
        tool_calls = numbers.tool_call_count,
        "run ends"
    );
    if let count @ 2.. = live.refused() {
        tracing::warn!(run = %live.control.id, agent = order.agent.name(), count, "events were refused");
    }
    let metrics = &order.session.registry.parts.metrics;
    if order.control.fault().is_some() {
        metrics.plugin_failed(PluginFailure::Mapper, order.agent.name());
    }
    let error = match &last {
        RunEvent::Error(failure) => Some(failure.code.as_str()),
        _ => None,
    };
    spans::ended(&Span::current(), status_of(&last), error);
    // Before clients can see the end.
    metrics.run_ended(status_of(&last));
    let last = std::iter::once(last).chain(after);
    order.session.finished(&live.log, &live.span, last);
}

/// The run's end, its last event, and that event as clients get it. A mapper that fails, on it or before, is the
/// run's end, whatever the agent says: it may have ended in the moment in which the mapper failed.
async fn mapped(
    live: &Arc<LiveRun>,
    mut ending: Ending,
    numbers: &Numbers,
) -> (Ending, RunEvent, RunEvent) {
    let failed = |fault| {
        let ending = Ending::failed(ErrorCode::Internal, fault);
        let last = ending.last_event(numbers);
        (ending, last.clone(), last)
    };
    // A mapper that has failed already gets nothing more.
    if let Some(fault) = live.control.fault() {
        return failed(fault);
    }
    let last = ending.last_event(numbers);
    match live.map_last(&last).await {
        Ok(sent) => {
            if live.is_mapped() && matches!(sent, RunEvent::StreamStopped) {
                ending.keep_what_was_streamed();
            }
            (ending, last, sent)
        }
        Err(fault) => {
            tracing::error!(run = %live.control.id, mapper = fault.mapper, reason = fault.reason, "mapper failed on the run's end");
            failed(errors::mapper_failed(&fault.mapper))
        }
    }
}

/// The status that a run ends with, by its last event.
fn status_of(last: &RunEvent) -> &'static str {
    match last {
        RunEvent::StreamStopped => "stopped",
        RunEvent::Error(_) => "error",
        _ => "completed",
    }
}
