//! Version 2's way of a message into a session: known ids, and the queue of messages that wait for the runs before
//! them. What waits is in the store, and survives the process; here is only its order.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard};

use super::UserMessage;
use super::control::RunControl;
use super::driver;
use super::handle::SessionHandle;
use super::queued::{self, Queued};
use super::registry::{RunRegistry, StartError};
use super::resume::run_info;
use super::slot::{Phase, SlotState};
use crate::protocol::OnBusy;
use crate::protocol::answers::{StopAnswer, StopRefusal};
use crate::protocol::hello::{RunInfo, RunState};
use crate::session::{
    Entity, KnownMessage, MessageKey, MessageState, NewQueued, Owner, RunId, Session, StoreError,
};

/// A message that passed every guard, and how it is to be taken.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The message.
    pub message: UserMessage,
    /// Its id, if it has one.
    pub key: Option<MessageKey>,
    /// What to do while a run is in progress.
    pub on_busy: OnBusy,
}

/// How often an operation of the store is repeated that did not answer in time.
const TRIES: u32 = 3;

/// Repeats an operation of the store that does not answer in time: it may take effect all the same, and only the answer of
/// a repetition says so. The operation must be one that does nothing the second time.
pub(super) async fn retried<T, F: Future<Output = Result<T, StoreError>>>(
    operation: impl Fn() -> F,
) -> Result<T, StoreError> {
    let mut tries = 1;
    loop {
        match operation().await {
            Err(StoreError::Timeout(_)) if tries < TRIES => tries += 1,
            answer => return answer,
        }
    }
}

/// What became of a message that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// Its run has begun.
    Accepted(RunId),
    /// Its run will begin after those before it.
    Queued(RunId),
    /// It was taken before; so its run stands.
    Duplicate(RunId, RunState),
}

/// A message in the queue.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// The run that it will begin.
    pub(super) run: RunId,
    /// Whose the session is.
    pub(super) owner: Owner,
}

impl SessionHandle {
    /// Takes a message: begins its run, keeps it until the runs before it are over, or finds that it was taken
    /// before.
    ///
    /// Cancel safe: what nobody waits for any more goes on.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing was saved then.
    pub async fn submit(
        &self,
        session: &Session,
        submission: Submission,
    ) -> Result<Submitted, StartError> {
        if let Some(known) = self.known(submission.key.as_ref()).await? {
            return Ok(known);
        }
        let Submission {
            message,
            key,
            on_busy,
        } = submission;
        match self.reserve(session, message.clone(), key.clone(), false) {
            Ok((run, started)) => {
                return match started.await.unwrap_or(Err(StartError::Lost)) {
                    Ok(_) => Ok(Submitted::Accepted(run)),
                    Err(fault) => taken_meanwhile(fault, key.as_ref()),
                };
            }
            Err(StartError::Busy) => {}
            Err(fault) => return Err(fault),
        }
        // The same message may be the one that is just being taken, on another connection.
        self.settled().await;
        if let Some(known) = self.known(key.as_ref()).await? {
            return Ok(known);
        }
        match on_busy {
            OnBusy::Reject => Err(StartError::Busy),
            OnBusy::Enqueue => self.enqueue(session, message, key, false).await,
            OnBusy::Interrupt => self.enqueue(session, message, key, true).await,
        }
    }

    /// What is known of a message under its id.
    async fn known(&self, key: Option<&MessageKey>) -> Result<Option<Submitted>, StartError> {
        let Some(key) = key else { return Ok(None) };
        let store = &self.registry.parts.store;
        let known = store
            .message(self.id(), &key.owner, key.id, driver::unix_ms())
            .await;
        let known = known.map_err(|error| match error {
            StoreError::NotFound(_) => StartError::Gone,
            error => StartError::NotSaved(error),
        });
        match known? {
            Some(known) => duplicate(&known, key).map(Some),
            None => Ok(None),
        }
    }

    /// Waits until no run is just beginning.
    async fn settled(&self) {
        loop {
            let changed = self.slot.changed.notified();
            if !matches!(self.slot.lock().phase, Phase::Starting(_)) {
                return;
            }
            changed.await;
        }
    }

    async fn enqueue(
        &self,
        session: &Session,
        message: UserMessage,
        key: Option<MessageKey>,
        at_head: bool,
    ) -> Result<Submitted, StartError> {
        let registry = &self.registry;
        // Taken before the look: a drain that begins after it waits for this message to be saved.
        let token = registry.token();
        if registry.is_draining() {
            return Err(StartError::Draining);
        }
        let run = RunId::new();
        let queued = NewQueued {
            session: self.id(),
            run,
            at_head,
            created_at_ms: driver::unix_ms(),
            turn: message.into(),
            message: key.clone(),
            limit: registry.parts.source.settings().queue,
        };
        let waiting = Waiting {
            run,
            owner: session.owner.clone(),
        };
        // The run that is meant: another may have begun when the message is saved.
        let interrupted = self.slot.lock().control().map(|control| control.id);
        let handle = self.clone();
        // A task of its own: once it is saved, it must be in the queue, whether or not somebody still waits.
        let saving = registry.spawn(async move {
            let _token = token;
            retried(|| handle.registry.parts.store.enqueue(queued.clone())).await?;
            let next = {
                let mut state = handle.state();
                if state.deleting || matches!(state.phase, Phase::Gone) {
                    // It goes with the session.
                    return Err(StoreError::NotFound(Entity::Session));
                }
                if at_head {
                    state.queue.push_front(waiting);
                    if let Some(control) = state.control()
                        && Some(control.id) == interrupted
                    {
                        control.stop.cancel();
                    }
                } else {
                    state.queue.push_back(waiting);
                }
                handle.advance(&mut state)
            };
            handle.begin_queued(next);
            Ok(())
        });
        match saving.await.unwrap_or(Err(StoreError::Closed)) {
            Ok(()) => Ok(Submitted::Queued(run)),
            Err(StoreError::QueueFull) => Err(StartError::QueueFull),
            Err(StoreError::NotFound(_)) => Err(StartError::Gone),
            Err(fault) => taken_meanwhile(StartError::NotSaved(fault), key.as_ref()),
        }
    }

    /// Takes the message at the queue's head if the session is free for it, which from then on counts as starting its run.
    /// What is answered is for [`SessionHandle::begin_queued`], after the lock.
    pub(super) fn advance(&self, state: &mut MutexGuard<'_, SlotState>) -> Option<Queued> {
        if !matches!(state.phase, Phase::Idle) || state.deleting || self.registry.is_draining() {
            return None;
        }
        let waiting = state.queue.pop_front()?;
        let control = Arc::new(RunControl::new(waiting.run));
        self.slot
            .enter(state, Phase::Starting(Arc::clone(&control)));
        Some(Queued {
            session: self.clone_locked(state),
            waiting,
            control,
        })
    }

    /// Begins the run of a message whose turn it is.
    pub(super) fn begin_queued(&self, queued: Option<Queued>) {
        if let Some(queued) = queued {
            drop(self.registry.spawn(queued::drive(queued)));
        }
    }

    /// Asks the run in progress to stop, if it is the one that is meant.
    pub fn stop(&self, run_id: Option<RunId>) -> StopAnswer {
        stop(&self.slot.lock(), run_id)
    }

    /// Waits until the run `run_id` is over. Cancel safe.
    pub async fn run_over(self, run_id: RunId) {
        loop {
            let changed = self.slot.changed.notified();
            if self.run().is_none_or(|run| run.run_id != run_id) {
                return;
            }
            changed.await;
        }
    }

    /// The run that is registered, and how it stands.
    pub fn run(&self) -> Option<RunInfo> {
        run_info(&self.slot.lock())
    }
}

/// Asks the run in progress to stop, if it is the one that is meant.
pub(super) fn stop(state: &SlotState, run_id: Option<RunId>) -> StopAnswer {
    let Some(control) = state.control() else {
        return StopAnswer::refused(StopRefusal::NoActiveRun, None);
    };
    if run_id.is_some_and(|run_id| run_id != control.id) {
        return StopAnswer::refused(StopRefusal::OtherRun, Some(control.id));
    }
    control.stop.cancel();
    StopAnswer {
        ok: true,
        run_id: Some(control.id),
        reason: None,
    }
}

fn duplicate(known: &KnownMessage, key: &MessageKey) -> Result<Submitted, StartError> {
    if known.digest != key.digest {
        return Err(StartError::IdConflict);
    }
    let state = match known.state {
        MessageState::Queued => RunState::Queued,
        MessageState::Run(status) => status.into(),
    };
    Ok(Submitted::Duplicate(known.run, state))
}

/// A message that could not be saved because it was already, by somebody who came between the look and the saving.
fn taken_meanwhile(fault: StartError, key: Option<&MessageKey>) -> Result<Submitted, StartError> {
    match (&fault, key) {
        (StartError::NotSaved(StoreError::KnownMessage(known)), Some(key)) => duplicate(known, key),
        (StartError::NotSaved(StoreError::NotFound(_)), _) => Err(StartError::Gone),
        _ => Err(fault),
    }
}

impl RunRegistry {
    /// Takes up the queues that an earlier process left: each session's first message begins its run.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn take_up_queues(self: &Arc<Self>) -> Result<(), StoreError> {
        for queue in self.parts.store.queues().await? {
            let handle = self.open(queue.session);
            let waiting = queue.runs.into_iter().map(|run| Waiting {
                run,
                owner: queue.owner.clone(),
            });
            let mut state = handle.state();
            state.queue = waiting.collect::<VecDeque<_>>();
            tracing::info!(session = %queue.session, messages = state.queue.len(), "queued messages are taken up");
            let next = handle.advance(&mut state);
            drop(state);
            handle.begin_queued(next);
        }
        Ok(())
    }

    /// Tries again the queues whose next message could not be begun.
    pub(super) fn advance_all(self: &Arc<Self>) {
        for slot in self.all() {
            let is_waiting = {
                let state = slot.lock();
                !state.queue.is_empty() && matches!(state.phase, Phase::Idle)
            };
            if is_waiting {
                let handle = self.open(slot.id);
                let next = handle.advance(&mut handle.state());
                handle.begin_queued(next);
            }
        }
    }
}
