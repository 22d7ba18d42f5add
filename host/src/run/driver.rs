//! The task of one run, from the saved user's turn to the saved outcome and the last frame.
//!
//! The order of its steps is what clients rely on: the user's turn is saved before `stream_start`, the outcome
//! before the last frame, and the session is free before that frame can be read.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::{Notify, oneshot};

use super::control::RunControl;
use super::cursor::Cursor;
use super::ending::{Ending, Numbers};
use super::live::LiveRun;
use super::log::{EventLog, LogLimits, RunSpan};
use super::registry::{SessionHandle, StartError};
use super::services::{RunServices, Scope};
use super::slot::Phase;
use super::supervise::{Levers, Supervised, supervise};
use super::{RunSettings, UserMessage, params};
use crate::plugin::{Agent, Catalog, RunHandle};
use crate::protocol::{ErrorCode, RunEvent, errors};
use crate::session::{
    BeginRun, BegunRun, NewUserTurn, Numbering, Session, SessionStore, StoreError,
};

/// A run to be made.
pub(super) struct Order {
    pub(super) session: SessionHandle,
    pub(super) about: Session,
    pub(super) control: Arc<RunControl>,
    pub(super) agent: Arc<Agent>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) settings: Arc<RunSettings>,
    pub(super) message: UserMessage,
}

/// Drives a run to its end. `started` gets a cursor on it, or why it did not begin.
///
/// A panic in here would be the host's own fault; the session is freed and its clients are told all the same.
pub(super) async fn drive(order: Order, started: oneshot::Sender<Result<Cursor, StartError>>) {
    let session = order.session.clone();
    if AssertUnwindSafe(run(order, started))
        .catch_unwind()
        .await
        .is_err()
    {
        tracing::error!(session = %session.id(), "the host failed while it drove a run");
        session.break_off(&errors::internal("the host failed"));
    }
}

async fn run(order: Order, started: oneshot::Sender<Result<Cursor, StartError>>) {
    let begun_at = Instant::now();
    let (begun, log, span, cursor) = match begin(&order).await {
        Ok(begun) => begun,
        Err(error) => {
            tracing::error!(session = %order.about.id, %error, "a run did not begin");
            let mut state = order.session.state();
            order.session.slot.enter(&mut state, Phase::Idle);
            drop(state);
            // Whoever asked may have gone; then nobody wants to know.
            let _ = started.send(Err(StartError::NotSaved(error)));
            return;
        }
    };
    let _ = started.send(Ok(cursor));
    tracing::info!(session = %order.about.id, run = %order.control.id, agent = order.agent.name(), "run begins");

    // After the client was told: a mapper may have to wait for a fresh copy of its library.
    let live = make_live(&order, log, span).await;
    let services = RunServices::new(&order, Arc::clone(&live), begun);
    let ending = live.watched(run_agent(&order, &live, &services)).await;
    live.control.over.cancel();
    finish(&order, &live, &services, ending, begun_at).await;
    live.close_mappers().await;
    services.close().await;
}

fn store(order: &Order) -> &Arc<dyn SessionStore> {
    &order.session.registry.parts.store
}

/// Saves the user's turn, then begins the run's events.
async fn begin(
    order: &Order,
) -> Result<(BegunRun, Arc<EventLog>, Arc<RunSpan>, Cursor), StoreError> {
    let numbering = numbering(order).await?;
    let message = &order.message;
    let begun = store(order)
        .begin_run(BeginRun {
            session: order.about.id,
            run: order.control.id,
            agent: order.agent.name().to_owned(),
            started_at_ms: unix_ms(),
            epoch: numbering.epoch.clone(),
            first_seq: numbering.last_seq + 1,
            turn: NewUserTurn {
                content: message.content.clone(),
                user_text: message.user_text.clone(),
                images: message.images.clone(),
                files: message.files.clone(),
            },
            message: None,
        })
        .await?;
    let (log, span, cursor) = begin_events(order, numbering);
    Ok((begun, log, span, cursor))
}

/// Opens the run's mappers, without which nothing of it may be shown.
async fn make_live(order: &Order, log: Arc<EventLog>, span: Arc<RunSpan>) -> Arc<LiveRun> {
    let control = Arc::clone(&order.control);
    let run_id = control.id.to_string();
    let mappers = match order
        .agent
        .open_mappers(&params::mapper(order, &run_id))
        .await
    {
        Ok(chain) => (!chain.is_empty()).then_some(chain),
        Err(fault) => {
            tracing::error!(run = %control.id, mapper = fault.mapper, reason = fault.reason, "mapper failed to open");
            control.fail(errors::mapper_failed(&fault.mapper));
            None
        }
    };
    let settings = Arc::clone(&order.settings);
    Arc::new(LiveRun::new(control, log, span, settings, mappers))
}

/// Begins the run's events, and with them the run for everybody else.
fn begin_events(order: &Order, numbering: Numbering) -> (Arc<EventLog>, Arc<RunSpan>, Cursor) {
    let settings = &order.settings;
    let mut state = order.session.state();
    let log = state.log.get_or_insert_with(|| {
        let limits = LogLimits {
            records: settings.replay_records,
            record_bytes: settings.replay_bytes,
            window_bytes: settings.window_bytes,
            history_bytes: settings.history_bytes,
        };
        let budget = Arc::clone(&order.session.registry.parts.budget);
        Arc::new(EventLog::new(limits, budget, numbering.last_seq))
    });
    let log = Arc::clone(log);
    state.numbering = Some(numbering);
    let start = RunEvent::StreamStart {
        run_id: order.control.id,
        ts: unix_ms(),
    };
    let (span, cursor) = Cursor::begin(&log, start);
    order
        .session
        .slot
        .enter(&mut state, Phase::Running(Arc::clone(&order.control)));
    (log, span, cursor)
}

/// Where the session's count of events goes on.
async fn numbering(order: &Order) -> Result<Numbering, StoreError> {
    let known = {
        let state = order.session.state();
        let last = state.log.as_ref().map(|log| log.last_seq());
        state.numbering.clone().map(|known| Numbering {
            last_seq: last.unwrap_or(known.last_seq),
            ..known
        })
    };
    match known {
        Some(known) => Ok(known),
        None => store(order).numbering(order.about.id).await,
    }
}

/// Has the agent run, and waits until it has ended or the host ends it.
async fn run_agent(order: &Order, live: &Arc<LiveRun>, services: &Arc<RunServices>) -> Ending {
    if let Some(fault) = live.control.fault() {
        return Ending::failed(ErrorCode::Internal, fault);
    }
    let slow = Arc::new(Notify::new());
    let images = order
        .message
        .images
        .iter()
        .map(|image| Bytes::clone(&image.bytes))
        .collect();
    let scope = Scope::root(
        services,
        Arc::clone(&order.agent),
        images,
        Arc::clone(&slow),
    );
    let params = match params::root(order, store(order).as_ref()).await {
        Ok(params) => params,
        Err(error) => {
            return Ending::internal(format!("the session's state could not be read: {error}"));
        }
    };
    // It may wait for a fresh copy of its library. A stop gives it no longer than it gives an agent that runs.
    let started = tokio::select! {
        biased;
        started = order.agent.start(&params, scope) => started,
        () = given_up(&live.control, order.settings.grace) => return Ending::stopped(),
    };
    let mut handle = match started {
        Ok(handle) => handle,
        Err(error) => {
            // Whose files and settings these are is for the operator to know.
            tracing::error!(run = %live.control.id, %error, "the agent could not be started");
            let text = format!("the agent {} is not available", order.agent.name());
            return Ending::failed(ErrorCode::AgentUnavailable, errors::internal(text));
        }
    };
    let timeout = order.settings.run_time;
    let levers = Levers {
        stop: &live.control.stop,
        kill: &live.control.kill,
        grace: order.settings.grace,
        slow: &slow,
        slow_wait: order.settings.slow_wait,
        log: &live.log,
    };
    let mut timed_out = false;
    let supervised = {
        let supervised = supervise(&mut handle, levers);
        tokio::pin!(supervised);
        tokio::select! {
            ended = &mut supervised => ended,
            () = tokio::time::sleep(timeout) => {
                timed_out = true;
                live.control.stop.cancel();
                supervised.await
            }
        }
    };
    let ending = match supervised {
        Supervised::Ended(end) => Ending::of(end, order.settings.history_bytes),
        Supervised::Abandoned => {
            tracing::warn!(run = %live.control.id, agent = order.agent.name(), "run abandoned: the agent did not stop");
            handle.abandon();
            Ending::stopped()
        }
        Supervised::Killed => {
            services.reap(handle);
            let fault = live
                .control
                .fault()
                .unwrap_or_else(|| "Internal error".to_owned());
            return Ending::failed(ErrorCode::Internal, fault);
        }
    };
    if timed_out {
        return Ending::timed_out(timeout);
    }
    ending
}

/// Saves the outcome, then sends the last frame and frees the session.
async fn finish(
    order: &Order,
    live: &Arc<LiveRun>,
    services: &Arc<RunServices>,
    ending: Ending,
    begun_at: Instant,
) {
    let numbers = Numbers {
        elapsed_seconds: begun_at.elapsed().as_secs_f64(),
        tool_call_count: live.tool_calls(),
        ended_at_ms: unix_ms(),
    };
    let deleted = || order.control.is_deleted();
    let (last, saved) = if deleted() {
        live.log.seal(&live.span);
        (Ending::session_not_found().last_event(&numbers), Ok(()))
    } else {
        // What the recorder has taken is saved, or given back, before the rest is taken here.
        let saving = order.session.registry.saving.lock().await;
        let rest = live.log.seal(&live.span);
        // Before the mappers: nobody else's run waits for them.
        drop(saving);
        let (ending, last, sent) = mapped(live, ending, &numbers).await;
        let last_seq = live.log.last_seq() + 1;
        let run = ending.into_finish(
            live.control.id,
            &numbers,
            &last,
            &sent,
            rest,
            services.state_puts(),
            last_seq,
        );
        (sent, store(order).finish_run(run).await)
    };
    let last = match saved {
        Ok(()) => last,
        Err(_) if deleted() => Ending::session_not_found().last_event(&numbers),
        Err(error) => {
            tracing::error!(run = %live.control.id, %error, "the turn could not be saved");
            Ending::not_saved().last_event(&numbers)
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
    let mut state = order.session.state();
    live.log.finish(&live.span, [last]);
    order.session.slot.enter(&mut state, Phase::Idle);
    state.drop_idle_log();
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

/// Milliseconds since the Unix epoch; 0 for a clock before it.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Completes when the grace time is over after a stop.
async fn given_up(control: &RunControl, grace: std::time::Duration) {
    control.stop.cancelled().await;
    tokio::time::sleep(grace).await;
}

/// Waits in the background for an agent whose run is over already.
pub(super) async fn wait_for_end(mut handle: RunHandle, grace: std::time::Duration) {
    if tokio::time::timeout(grace, handle.finished())
        .await
        .is_err()
    {
        handle.abandon();
    }
}
