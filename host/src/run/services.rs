//! What the host does for an agent that asks: tools, subagents, history, state.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plugin_api::abi::import::ServiceFailure;
use plugin_api::wire::{self, service};
use plugin_api::{Event, EventRef, ServiceErrorCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::driver::{self, Order};
use super::ending::Kept;
use super::history;
use super::items::ItemQueue;
use super::live::LiveRun;
use super::state::RunState;
use super::{RunSettings, memory, subagent, tools};
use crate::plugin::{Catalog, RunHandle};
use crate::session::model::MAX_PROFILE_BYTES;
use crate::session::{BegunRun, ProfileSwitch, Session, SessionStore, StoreError};

pub(super) use super::scope::Scope;

/// What all agents of one run share.
pub(super) struct RunServices {
    pub(super) live: Arc<LiveRun>,
    pub(super) session: Session,
    pub(super) catalog: Arc<Catalog>,
    pub(super) settings: Arc<RunSettings>,
    pub(super) store: Arc<dyn SessionStore>,
    /// The user's turn of this run; the history is what lies before it.
    pub(super) user_turn: u64,
    pub(super) state: RunState,
    profile: Mutex<Option<String>>,
    /// Requests arrive on a plugin's thread, which knows no runtime of the host's.
    pub(super) runtime: Handle,
    /// Everything that the run has started and waits for.
    pub(super) tasks: TaskTracker,
}

impl fmt::Debug for RunServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunServices")
            .field("run", &self.live.control.id)
            .finish_non_exhaustive()
    }
}

/// The answer to a request: JSON text, or why there is none.
pub(super) type Answer = Result<String, ServiceFailure>;

/// The answer when the session store failed.
pub(super) fn store_failed(error: &StoreError) -> ServiceFailure {
    ServiceFailure::failed(
        ServiceErrorCode::Internal,
        format!("the session store: {error}"),
    )
}

pub(super) fn read<T: DeserializeOwned>(method: &str, params: &str) -> Result<T, ServiceFailure> {
    let params = if params.is_empty() { "{}" } else { params };
    serde_json::from_str(params).map_err(|error| {
        ServiceFailure::failed(
            ServiceErrorCode::Invalid,
            format!("the parameters of {method}: {error}"),
        )
    })
}

pub(super) fn write(answer: &impl Serialize) -> Answer {
    serde_json::to_string(answer)
        .map_err(|error| ServiceFailure::failed(ServiceErrorCode::Internal, error.to_string()))
}

impl RunServices {
    pub(super) fn new(order: &Order, live: Arc<LiveRun>, begun: BegunRun) -> Arc<Self> {
        Arc::new(Self {
            live,
            session: order.about.clone(),
            catalog: Arc::clone(&order.catalog),
            settings: Arc::clone(&order.settings),
            store: Arc::clone(&order.session.registry.parts.store),
            user_turn: begun.user_turn,
            state: RunState::default(),
            profile: Mutex::default(),
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
        })
    }

    /// What the run's agents leave in the session, to be saved with its outcome.
    pub(super) fn kept(&self) -> Kept {
        let to = self.profile().take();
        Kept {
            state: self.state.puts(),
            profile: to.map(|to| ProfileSwitch {
                from: self.session.profile.clone(),
                to,
            }),
        }
    }

    /// The profile that the run's own agent has gone over to.
    fn profile(&self) -> MutexGuard<'_, Option<String>> {
        self.profile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a `profile_switched` that the run's own agent has emitted.
    pub(super) fn note_profile(&self, event: EventRef<'_>) {
        if let Ok(Event::ProfileSwitched(switched)) = Event::from_parts(event) {
            if (1..=MAX_PROFILE_BYTES).contains(&switched.profile_id.len()) {
                *self.profile() = Some(switched.profile_id);
            } else {
                tracing::warn!(run = %self.live.control.id, "a profile that is not kept: its id must have 1 to {MAX_PROFILE_BYTES} bytes");
            }
        }
    }

    /// Waits in the background for an agent whose run is over.
    pub(super) fn reap(&self, handle: RunHandle) {
        self.tasks
            .spawn(driver::wait_for_end(handle, self.settings.grace));
    }

    /// Waits for what the run has started. All of it was cancelled when the run was over, or is bounded by
    /// the grace time.
    pub(super) async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Scope {
    /// Serves one request. Ends soon after `cancel`.
    pub(super) async fn serve(
        self: &Arc<Self>,
        method: &str,
        params: &str,
        items: &Arc<ItemQueue>,
        cancel: &CancellationToken,
    ) -> Answer {
        let answer = match method {
            // These two end by themselves when cancelled, since they must still tell the stream.
            service::TOOLS_CALL => {
                return tools::call(
                    self,
                    &read::<service::ToolsCall>(method, params)?,
                    items,
                    cancel,
                )
                .await;
            }
            service::AGENTS_RUN => {
                return subagent::run(
                    self,
                    read::<service::AgentsRun>(method, params)?,
                    items,
                    cancel,
                )
                .await;
            }
            service::TOOLS_LIST => return tools::list(self),
            _ => self.look_up(method, params),
        };
        tokio::select! {
            answer = answer => answer,
            () = cancel.cancelled() => Err(ServiceFailure::Cancelled),
        }
    }

    async fn look_up(&self, method: &str, params: &str) -> Answer {
        let services = self.services();
        let store = services.store.as_ref();
        let (session, agent) = (services.session.id, self.agent().name());
        match method {
            service::HISTORY_LIST => {
                let query: wire::HistoryQuery = read(method, params)?;
                write(
                    &history::page(services, &query)
                        .await
                        .map_err(|error| store_failed(&error))?,
                )
            }
            service::HISTORY_IMAGE => {
                let of: service::HistoryImage = read(method, params)?;
                let _lending = self.lending.lock().await;
                let image = history::image(services, &of).await?;
                write(&self.lend(image)?)
            }
            service::STATE_GET => {
                let get: service::StateGet = read(method, params)?;
                write(&services.state.get(store, session, agent, &get.key).await?)
            }
            service::STATE_PUT => {
                let put: service::StatePut = read(method, params)?;
                write(&services.state.put(store, session, agent, put).await?)
            }
            _ => memory::serve(store, &services.session.owner, method, params).await,
        }
    }
}
