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
use tracing::{Instrument, Span};

use super::control::RunControl;
use super::cursor::Cursor;
use super::ending::Ending;
use super::finish::finish;
use super::handle::SessionHandle;
use super::inbox::{Waiting, retried};
use super::live::LiveRun;
use super::log::{EventLog, RunSpan};
use super::registry::StartError;
use super::services::{RunServices, Scope};
use super::slot::Phase;
use super::supervise::{Levers, Supervised, supervise};
use super::{RunSettings, params};
use crate::metrics::PluginFailure;
use crate::plugin::{Agent, Catalog, RunEnd, RunHandle};
use crate::protocol::{ErrorCode, errors};
use crate::session::{
    BeginRun, BegunRun, MessageKey, NewUserTurn, Numbering, Session, SessionStore, StoreError,
};
use crate::spans;

/// A run to be made.
pub(super) struct Order {
    pub(super) session: SessionHandle,
    pub(super) about: Session,
    pub(super) control: Arc<RunControl>,
    pub(super) agent: Arc<Agent>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) settings: Arc<RunSettings>,
    pub(super) turn: NewUserTurn,
    /// The message's id, if it has one.
    pub(super) key: Option<MessageKey>,
    /// Its place in the queue, if it waited.
    pub(super) queued: Option<Waiting>,
    /// Whether whoever asked watches this run alone, as version 1 does, and wants a cursor on it.
    pub(super) watched: bool,
}

/// Drives a run to its end. `started` gets a cursor on it, or why it did not begin.
///
/// A panic in here would be the host's own fault; the session is freed and its clients are told all the same.
pub(super) async fn drive(
    order: Order,
    started: oneshot::Sender<Result<Option<Cursor>, StartError>>,
) {
    // In every line that is logged about the run, whatever the filter leaves of the others.
    let about = tracing::error_span!("run", session = %order.about.id, run = %order.control.id, agent = order.agent.name());
    let ids = (order.about.id.to_string(), order.control.id.to_string());
    let span = about.in_scope(|| spans::invoke_agent(order.agent.name(), &ids.0, &ids.1));
    let session = order.session.clone();
    let metrics = Arc::clone(&session.registry.parts.metrics);
    if AssertUnwindSafe(run(order, started))
        .catch_unwind()
        .instrument(span)
        .instrument(about)
        .await
        .is_err()
    {
        tracing::error!(session = %session.id(), "the host failed while it drove a run");
        metrics.run_ended("error");
        session.break_off(&errors::internal("the host failed"));
    }
}

async fn run(order: Order, started: oneshot::Sender<Result<Option<Cursor>, StartError>>) {
    let begun_at = Instant::now();
    let (begun, log, span, cursor) = match begin(&order).await {
        Ok(begun) => begun,
        Err(error) => {
            match &error {
                // Two connections sent the same message.
                StoreError::KnownMessage(_) | StoreError::NotFound(_) => {
                    tracing::debug!(session = %order.about.id, %error, "a run did not begin");
                }
                _ => tracing::error!(session = %order.about.id, %error, "a run did not begin"),
            }
            order.session.not_begun(order.queued.clone());
            // Whoever asked may have gone; then nobody wants to know.
            let _ = started.send(Err(StartError::NotSaved(error)));
            return;
        }
    };
    let _ = started.send(Ok(cursor));
    let metrics = &order.session.registry.parts.metrics;
    let in_progress = metrics.run();
    tracing::info!(session = %order.about.id, run = %order.control.id, agent = order.agent.name(), "run begins");

    // After the client was told: a mapper may have to wait for a fresh copy of its library.
    let live = make_live(&order, log, span).await;
    let services = RunServices::new(&order, Arc::clone(&live), begun);
    let ending = live.watched(run_agent(&order, &live, &services)).await;
    live.control.over.cancel();
    finish(&order, &live, &services, ending, begun_at).await;
    let counts = live.log.take_counts();
    metrics.logged(counts.events, counts.folds);
    drop(in_progress);
    live.close_mappers().await;
    services.close().await;
}

pub(super) fn store(order: &Order) -> &Arc<dyn SessionStore> {
    &order.session.registry.parts.store
}

/// Saves the user's turn, then begins the run's events.
async fn begin(
    order: &Order,
) -> Result<(BegunRun, Arc<EventLog>, Arc<RunSpan>, Option<Cursor>), StoreError> {
    let numbering = order.session.numbering().await?;
    let now = unix_ms();
    let run = BeginRun {
        session: order.about.id,
        run: order.control.id,
        agent: order.agent.name().to_owned(),
        started_at_ms: now,
        epoch: numbering.epoch.clone(),
        first_seq: numbering.last_seq + 1,
        turn: order.turn.clone(),
        message: order.key.clone(),
    };
    let begun = retried(|| store(order).begin_run(run.clone())).await?;
    let (log, span, cursor) = begin_events(
        &order.session,
        &order.control,
        &numbering,
        now,
        order.watched,
    );
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

/// Begins the run's events, and with them the run for everybody else. `ts` is what was saved as the run's begin, so that
/// its `stream_start` is the same when it is read back.
pub(super) fn begin_events(
    session: &SessionHandle,
    control: &Arc<RunControl>,
    numbering: &Numbering,
    ts: u64,
    watched: bool,
) -> (Arc<EventLog>, Arc<RunSpan>, Option<Cursor>) {
    let run_id = control.id;
    let mut state = session.state();
    let log = session.log(&mut state, numbering);
    let (span, cursor) = if watched {
        let (span, cursor) = Cursor::begin(&log, run_id, ts);
        (span, Some(cursor))
    } else {
        (log.begin(run_id, ts), None)
    };
    session
        .slot
        .enter(&mut state, Phase::Running(Arc::clone(control)));
    (log, span, cursor)
}

/// Has the agent run, and waits until it has ended or the host ends it.
async fn run_agent(order: &Order, live: &Arc<LiveRun>, services: &Arc<RunServices>) -> Ending {
    if let Some(fault) = live.control.fault() {
        return Ending::failed(ErrorCode::Internal, fault);
    }
    let failed = |failure| {
        let metrics = &order.session.registry.parts.metrics;
        metrics.plugin_failed(failure, order.agent.name());
    };
    let slow = Arc::new(Notify::new());
    let images = order
        .turn
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
    let told = scope.told.clone();
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
            failed(PluginFailure::Start);
            // Whose files and settings these are is for the operator to know.
            tracing::error!(run = %live.control.id, %error, "the agent could not be started");
            let text = format!("the agent {} is not available", order.agent.name());
            return Ending::failed(ErrorCode::AgentUnavailable, errors::internal(text));
        }
    };
    let timeout = order.settings.run_time;
    let levers = Levers {
        stop: &live.control.stop,
        told: &told,
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
        Supervised::Ended(end) => {
            if let RunEnd::Finished(outcome) | RunEnd::Stopped(outcome) = &end
                && outcome.token_count > 0
            {
                Span::current().record("gen_ai.usage.output_tokens", outcome.token_count);
            }
            let ending = Ending::of(end, order.settings.history_bytes);
            if ending.is_unforeseen() {
                handle.blame();
                failed(PluginFailure::Agent);
            }
            ending
        }
        Supervised::Abandoned => {
            tracing::warn!(run = %live.control.id, agent = order.agent.name(), "run abandoned: the agent did not stop");
            failed(PluginFailure::Abandoned);
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
