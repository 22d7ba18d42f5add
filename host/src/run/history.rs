//! A session's history as its agents read it.

use plugin_api::ServiceErrorCode;
use plugin_api::abi::import::ServiceFailure;
use plugin_api::wire::{self, service};

use super::services::{RunServices, store_failed};
use crate::session::{
    AssistantTurn, FileRef, ImageData, StoreError, Turn, TurnBody, TurnPageRequest, UserTurn,
};

/// How many turns a page has when the agent does not say.
const DEFAULT_LIMIT: u32 = 50;

/// A page of what was said before the run, oldest first.
pub(super) async fn page(
    services: &RunServices,
    query: &wire::HistoryQuery,
) -> Result<wire::HistoryPage, StoreError> {
    let before = query.before.unwrap_or(u64::MAX).min(services.user_turn);
    let limit = if query.limit == 0 {
        DEFAULT_LIMIT
    } else {
        query.limit
    };
    let request = TurnPageRequest::before(before, limit);
    let found = services
        .store
        .agent_history(services.session.id, request)
        .await?;
    let mut page = wire::HistoryPage::default();
    page.more = found.before.is_some();
    page.before = found.before;
    page.turns = found.turns.into_iter().map(turn).collect();
    Ok(page)
}

/// An image of a turn before the run.
pub(super) async fn image(
    services: &RunServices,
    of: &service::HistoryImage,
) -> Result<ImageData, ServiceFailure> {
    let missing = || {
        let text = format!("turn {} has no image {}", of.turn, of.image);
        ServiceFailure::failed(ServiceErrorCode::NotFound, text)
    };
    if of.turn == 0 || of.turn >= services.user_turn {
        return Err(missing());
    }
    let request = TurnPageRequest::before(of.turn + 1, 1);
    let found = services.store.agent_history(services.session.id, request);
    let found = found.await.map_err(|error| store_failed(&error))?;
    let turn = found.turns.into_iter().find(|turn| turn.number == of.turn);
    let turn = turn.ok_or_else(missing)?;
    match services.store.image(turn.run, of.image).await {
        // An answer belongs to the run of its question, whose images are not its own.
        Ok(image) if matches!(turn.body, TurnBody::User(_)) => Ok(image),
        Ok(_) | Err(StoreError::NotFound(_)) => Err(missing()),
        Err(error) => Err(store_failed(&error)),
    }
}

fn turn(turn: Turn) -> wire::HistoryTurn {
    let mut said = wire::HistoryTurn::default();
    said.turn = turn.number;
    match turn.body {
        TurnBody::User(user) => user_turn(&mut said, user),
        TurnBody::Assistant(assistant) => assistant_turn(&mut said, assistant),
    }
    said
}

fn user_turn(said: &mut wire::HistoryTurn, user: UserTurn) {
    "user".clone_into(&mut said.role);
    said.content = user.content;
    said.user_text = Some(user.user_text);
    said.files = user.files.into_iter().map(file).collect();
    said.images = user
        .images
        .into_iter()
        .map(|image| {
            let mut info = wire::ImageInfo::default();
            (info.media_type, info.bytes) = (image.media_type, image.bytes);
            info
        })
        .collect();
}

fn assistant_turn(said: &mut wire::HistoryTurn, assistant: AssistantTurn) {
    "assistant".clone_into(&mut said.role);
    said.content = assistant.content;
    assistant.status.as_str().clone_into(&mut said.status);
    said.data = assistant.data;
    said.events = assistant
        .records
        .iter()
        .filter_map(|record| serde_json::from_str(&record.json).ok())
        .collect();
}

/// A file as agents are told of it.
pub(super) fn file(file: FileRef) -> wire::FileInfo {
    let mut info = wire::FileInfo::default();
    (info.name, info.path) = (file.name, file.path);
    info
}
