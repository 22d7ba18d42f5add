//! What an agent is told at the start of a run.

use plugin_api::wire::{self, RunParams};
use serde_json::Value;

use super::driver::Order;
use super::history;
use super::services::RunServices;
use crate::plugin::{Agent, Catalog};
use crate::session::{SessionStore, StoreError};

/// The parameters of the run's own agent.
pub(super) async fn root(order: &Order, store: &dyn SessionStore) -> Result<RunParams, StoreError> {
    let session = &order.about;
    let mut params = RunParams::default();
    params.run_id = order.control.id.to_string();
    params.session_id = session.id.to_string();
    order.agent.name().clone_into(&mut params.agent);
    params.content.clone_from(&order.turn.content);
    params.user_text.clone_from(&order.turn.user_text);
    params.images = images(order);
    params.files = order
        .turn
        .files
        .iter()
        .cloned()
        .map(history::file)
        .collect();
    params.tools = order.agent.tools();
    params.subagents = subagents(&order.catalog, &order.agent);
    params.outcome_data = store.previous_data(session.id, order.agent.name()).await?;
    params.metadata = Value::Object(session.metadata.clone());
    params.profile.clone_from(&session.profile);
    params.grace_ms = millis(order.settings.grace);
    Ok(params)
}

/// The agents that `agent` may run.
fn subagents(catalog: &Catalog, agent: &Agent) -> Vec<wire::SubagentInfo> {
    let found = agent
        .subagents()
        .iter()
        .filter_map(|name| catalog.agent(name));
    let info = found.map(|agent| {
        let mut info = wire::SubagentInfo::default();
        agent.name().clone_into(&mut info.name);
        agent.summary().clone_into(&mut info.summary);
        info
    });
    info.collect()
}

fn images(order: &Order) -> Vec<wire::ImageInfo> {
    let image = |(index, image): (usize, &crate::session::ImageData)| {
        let mut info = wire::ImageInfo::default();
        info.handle = index as u64;
        info.media_type.clone_from(&image.media_type);
        info.bytes = image.bytes.len() as u64;
        info
    };
    order.turn.images.iter().enumerate().map(image).collect()
}

/// The parameters of a subagent. It gets what its caller wrote, not what the user did.
pub(super) async fn sub(
    services: &RunServices,
    agent: &Agent,
    content: &str,
    depth: u32,
) -> Result<RunParams, StoreError> {
    let session = &services.session;
    let mut params = RunParams::default();
    params.run_id = services.live.control.id.to_string();
    params.session_id = session.id.to_string();
    agent.name().clone_into(&mut params.agent);
    content.clone_into(&mut params.content);
    content.clone_into(&mut params.user_text);
    params.tools = agent.tools();
    params.subagents = subagents(&services.catalog, agent);
    params.depth = depth;
    params.outcome_data = services
        .store
        .previous_data(session.id, agent.name())
        .await?;
    params.metadata = Value::Object(session.metadata.clone());
    params.grace_ms = millis(services.settings.grace_at(depth));
    Ok(params)
}

/// The parameters of the run's mappers.
pub(super) fn mapper(order: &Order, run_id: &str) -> wire::MapperParams {
    let mut params = wire::MapperParams::default();
    run_id.clone_into(&mut params.run_id);
    params.session_id = order.about.id.to_string();
    order.agent.name().clone_into(&mut params.agent);
    params
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
