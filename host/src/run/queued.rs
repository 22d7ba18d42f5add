//! The run of a message that waited in the queue.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::control::RunControl;
use super::driver::{self, Order};
use super::ending::{Ending, Kept, Numbers};
use super::handle::SessionHandle;
use super::inbox::Waiting;
use super::log::Closed;
use super::registry::agent_of;
use crate::protocol::{ErrorCode, errors};
use crate::session::{BeginRun, NewUserTurn, RunId, StoreError};

/// A message whose turn it is. Its session counts as starting its run.
pub(super) struct Queued {
    pub(super) session: SessionHandle,
    pub(super) waiting: Waiting,
    pub(super) control: Arc<RunControl>,
}

/// Drives the message's run to its end. If it cannot begin now it stays where it is, and is tried again.
pub(super) async fn drive(queued: Queued) {
    let session = queued.session.clone();
    if AssertUnwindSafe(try_to_drive(queued))
        .catch_unwind()
        .await
        .is_err()
    {
        tracing::error!(session = %session.id(), "the host failed while it began a queued message");
        session.break_off(&errors::internal("the host failed"));
    }
}

async fn try_to_drive(queued: Queued) {
    let session = queued.session.clone();
    let waiting = queued.waiting.clone();
    match prepare(&queued).await {
        Ok(Some(Prepared::Order(order))) => {
            // Who sent it was told when it was queued.
            let (started, _) = oneshot::channel();
            driver::drive(*order, started).await;
        }
        Ok(Some(Prepared::NoAgent { turn, name })) => {
            if let Err(error) = refuse(&queued, turn, name).await {
                tracing::error!(session = %session.id(), %error, "a queued message could not be begun; it is tried again");
                session.not_begun(Some(waiting));
            }
        }
        // The session, or the message, is gone.
        Ok(None) => session.not_begun(None),
        Err(error) => {
            tracing::error!(session = %session.id(), %error, "a queued message could not be read; it is tried again");
            session.not_begun(Some(waiting));
        }
    }
}

enum Prepared {
    Order(Box<Order>),
    NoAgent { turn: NewUserTurn, name: String },
}

async fn prepare(queued: &Queued) -> Result<Option<Prepared>, StoreError> {
    let parts = &queued.session.registry.parts;
    let about = match parts
        .store
        .get(&queued.waiting.owner, queued.session.id())
        .await
    {
        Ok(about) => about,
        Err(StoreError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(turn) = parts.store.queued(queued.waiting.run).await? else {
        return Ok(None);
    };
    // After a restart its clients come back to where they were, which is before this run.
    let numbering = queued.session.numbering().await?;
    queued.session.restore(&numbering).await?;
    let (catalog, settings) = parts.source.both();
    let agent = match agent_of(&catalog, &about) {
        Ok(agent) => Arc::clone(agent),
        Err(name) => {
            let name = name.to_owned();
            return Ok(Some(Prepared::NoAgent { turn, name }));
        }
    };
    Ok(Some(Prepared::Order(Box::new(Order {
        session: queued.session.clone(),
        about,
        control: Arc::clone(&queued.control),
        agent,
        catalog,
        settings,
        turn,
        key: None,
        queued: Some(queued.waiting.clone()),
        watched: false,
    }))))
}

/// Begins and ends the run of a message whose agent is no longer configured: its sender was promised a run, and is told
/// in it that there is none.
async fn refuse(queued: &Queued, turn: NewUserTurn, agent: String) -> Result<(), StoreError> {
    let session = &queued.session;
    let store = &session.registry.parts.store;
    let numbering = session.numbering().await?;
    let now = driver::unix_ms();
    store
        .begin_run(BeginRun {
            session: session.id(),
            run: queued.control.id,
            agent: agent.clone(),
            started_at_ms: now,
            epoch: numbering.epoch.clone(),
            first_seq: numbering.last_seq + 1,
            turn,
            message: None,
        })
        .await?;
    let (log, span, _) = driver::begin_events(session, &queued.control, &numbering, now, false);
    let text = format!("Agent `{agent}` is not configured.");
    let ending = Ending::failed(ErrorCode::AgentUnavailable, text);
    let numbers = numbers(queued.control.id, now);
    let last = ending.last_event(&numbers);
    let after = ending.after_last(&numbers);
    let last_seq = log.last_seq() + 1 + u64::from(after.is_some());
    let finish = ending.into_finish(
        &numbers,
        &last,
        &last,
        Closed::default(),
        Kept::default(),
        last_seq,
    );
    session.state().announced = last_seq;
    if let Err(error) = store.finish_run(finish).await {
        // It is told all the same; the store finds the run unfinished and counts it as lost.
        tracing::error!(session = %session.id(), %error, "the turn could not be saved");
    }
    session.finished(&log, &span, std::iter::once(last).chain(after));
    Ok(())
}

fn numbers(run: RunId, now: u64) -> Numbers {
    Numbers {
        run,
        elapsed_seconds: 0.0,
        tool_call_count: 0,
        ended_at_ms: now,
    }
}
