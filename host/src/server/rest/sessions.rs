//! Sessions: made, listed, read, changed, deleted.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, Method, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::body::{JsonBody, OptionalJsonBody};
use super::gate::{Client, SessionPath};
use super::query::{PageParams, Params};
use super::{Endpoint, SESSION};
use crate::plugin::Catalog;
use crate::server::Host;
use crate::server::openapi::Operation;
use crate::server::problem::{Problem, ProblemKind};
use crate::session::model::MAX_PROFILE_BYTES;
use crate::session::{self, Metadata, Owner, RunId, SessionId, SessionPatch, StoreError};

/// Longest title of a session, in characters.
const MAX_TITLE: usize = 500;

/// Most that a session's metadata may take, in bytes of JSON.
const MAX_METADATA: usize = 64 * 1024;

/// How long plugins may take to forget a session before its deletion is answered all the same.
const SESSION_ENDED_TIME: Duration = Duration::from_secs(5);

pub(super) fn endpoints() -> Vec<Endpoint> {
    let operation =
        |method, path, id, summary| Operation::new(method, path, id, summary).tag("sessions");
    vec![
        Endpoint::new(
            operation(Method::POST, "/sessions", "createSession", "Make a session")
                .description("Every key is optional, and so is the body.")
                .body::<NewSession>(false)
                .answer::<Session>(StatusCode::CREATED, "The session.")
                .header("Location", "The session's path.")
                .problems(&[ProblemKind::UnknownAgent]),
            create,
        ),
        Endpoint::new(
            operation(Method::GET, "/sessions", "listSessions", "List sessions, the newest first")
                .query::<PageParams>()
                .answer::<SessionList>(StatusCode::OK, "One page of the client's own sessions."),
            list,
        ),
        Endpoint::new(
            operation(Method::GET, SESSION, "getSession", "Read a session")
                .answer::<Session>(StatusCode::OK, "The session.")
                .problems(&[ProblemKind::SessionNotFound]),
            get,
        ),
        Endpoint::new(
            operation(Method::PATCH, SESSION, "updateSession", "Change a session")
                .description(
                    "Keys that are left out stay as they are; null clears one. `metadata` is replaced as a whole. \
                     Another agent answers from the next message on, and \
                     under another profile from the next run on.",
                )
                .body::<SessionChanges>(true)
                .answer::<Session>(StatusCode::OK, "The session as it is now.")
                .problems(&[ProblemKind::SessionNotFound, ProblemKind::UnknownAgent]),
            update,
        ),
        Endpoint::new(
            operation(Method::DELETE, SESSION, "deleteSession", "Delete a session")
                .description(
                    "With its history and its files. A run in progress is stopped and waited for, at most as long as \
                     the configured grace; whoever is connected gets the close code 4004.",
                )
                .empty_answer(StatusCode::NO_CONTENT, "The session is gone.")
                .problems(&[ProblemKind::SessionNotFound]),
            delete,
        ),
    ]
}

/// A session to be made.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSession {
    /// The name of the agent that is to answer. The host's default agent if it is null or left out.
    #[serde(default)]
    agent: Option<String>,
    /// The profile under which that agent is to work, one of the agent's own. Its default one if it is null or left out.
    #[serde(default)]
    #[schemars(length(min = 1, max = MAX_PROFILE_BYTES))]
    profile: Option<String>,
    /// A title, for people.
    #[serde(default)]
    #[schemars(length(max = MAX_TITLE))]
    title: Option<String>,
    /// Notes of the client's own: any JSON object of at most 64 KiB.
    #[serde(default)]
    metadata: Option<Metadata>,
}

/// Changes to a session. What is left out stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionChanges {
    /// The name of the agent that is to answer from now on; null for the host's default agent.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>")]
    agent: Option<Option<String>>,
    /// The profile under which that agent is to work from the next run on; null for its default one.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>", length(min = 1, max = MAX_PROFILE_BYTES))]
    profile: Option<Option<String>>,
    /// A title; null for none.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>", length(max = MAX_TITLE))]
    title: Option<Option<String>>,
    /// Notes of the client's own, in place of all the older ones; null for none. At most 64 KiB.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<Metadata>")]
    metadata: Option<Option<Metadata>>,
}

/// Tells a key that is null from one that is left out.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// A conversation with an agent.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Session {
    id: SessionId,
    /// The name of the agent that answers; null for the host's default agent.
    agent: Option<String>,
    /// The profile under which it works; null for its default one. Agents may change it in a run.
    profile: Option<String>,
    title: Option<String>,
    /// The client's own notes.
    metadata: Metadata,
    created_at_ms: u64,
    /// When it was last changed, or a run of it last began or ended.
    updated_at_ms: u64,
    /// The run in progress, or null.
    run_id: Option<RunId>,
}

/// One page of sessions.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SessionList {
    sessions: Vec<Session>,
    /// The `cursor` of the next page; null on the last one.
    next: Option<String>,
}

impl Session {
    fn of(session: session::Session, host: &Host) -> Self {
        Self {
            id: session.id,
            agent: session.agent,
            profile: session.profile,
            title: session.title,
            metadata: session.metadata,
            created_at_ms: session.created_at_ms,
            updated_at_ms: session.updated_at_ms,
            run_id: host.registry.current_run(session.id),
        }
    }
}

/// Why a session cannot be as it is wanted.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionFault {
    #[error("no agent `{}` is configured; there is: {}", .name.escape_debug(), .agents.join(", "))]
    UnknownAgent { name: String, agents: Vec<String> },
    #[error("a profile's id has 1 to {MAX_PROFILE_BYTES} bytes")]
    Profile,
    #[error("the title has more than {MAX_TITLE} characters")]
    TitleTooLong,
    #[error("the metadata has more than {MAX_METADATA} bytes as JSON")]
    MetadataTooLarge,
}

fn check(
    catalog: &Catalog,
    agent: Option<&str>,
    profile: Option<&str>,
    title: Option<&str>,
    metadata: Option<&Metadata>,
) -> Result<(), SessionFault> {
    if let Some(name) = agent.filter(|name| catalog.agent(name).is_none()) {
        let agents = catalog
            .agents()
            .map(|agent| agent.name().to_owned())
            .collect();
        let name = name.chars().take(100).collect();
        return Err(SessionFault::UnknownAgent { name, agents });
    }
    if profile.is_some_and(|profile| !(1..=MAX_PROFILE_BYTES).contains(&profile.len())) {
        return Err(SessionFault::Profile);
    }
    if title.is_some_and(|title| title.chars().count() > MAX_TITLE) {
        return Err(SessionFault::TitleTooLong);
    }
    let size = |metadata| serde_json::to_vec(metadata).map_or(usize::MAX, |json| json.len());
    if metadata.is_some_and(|metadata| size(metadata) > MAX_METADATA) {
        return Err(SessionFault::MetadataTooLarge);
    }
    Ok(())
}

async fn create(
    State(host): State<Arc<Host>>,
    Client(owner): Client,
    OptionalJsonBody(new): OptionalJsonBody<NewSession>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Session>), Problem> {
    let NewSession {
        agent,
        profile,
        title,
        metadata,
    } = new;
    check(
        &host.in_force().catalog,
        agent.as_deref(),
        profile.as_deref(),
        title.as_deref(),
        metadata.as_ref(),
    )?;
    let metadata = metadata.unwrap_or_default();
    let session = host
        .store
        .create(session::NewSession {
            owner,
            agent,
            profile,
            title,
            metadata,
        })
        .await?;
    let location = format!("/sessions/{}", session.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(Session::of(session, &host)),
    ))
}

async fn list(
    State(host): State<Arc<Host>>,
    Client(owner): Client,
    Params(page): Params<PageParams>,
) -> Result<Json<SessionList>, Problem> {
    let page = host.store.list(&owner, page.request()?).await?;
    let sessions = page
        .items
        .into_iter()
        .map(|session| Session::of(session, &host))
        .collect();
    Ok(Json(SessionList {
        sessions,
        next: page.next.map(|cursor| cursor.to_string()),
    }))
}

async fn get(
    State(host): State<Arc<Host>>,
    Client(owner): Client,
    SessionPath(id): SessionPath,
) -> Result<Json<Session>, Problem> {
    let session = host.store.get(&owner, id).await?;
    Ok(Json(Session::of(session, &host)))
}

async fn update(
    State(host): State<Arc<Host>>,
    Client(owner): Client,
    SessionPath(id): SessionPath,
    JsonBody(changes): JsonBody<SessionChanges>,
) -> Result<Json<Session>, Problem> {
    let SessionChanges {
        agent,
        profile,
        title,
        metadata,
    } = changes;
    let catalog = Arc::clone(&host.in_force().catalog);
    check(
        &catalog,
        agent.as_ref().and_then(|agent| agent.as_deref()),
        profile.as_ref().and_then(|profile| profile.as_deref()),
        title.as_ref().and_then(|title| title.as_deref()),
        metadata.as_ref().and_then(|metadata| metadata.as_ref()),
    )?;
    let patch = SessionPatch {
        agent,
        profile,
        title,
        metadata: metadata.map(Option::unwrap_or_default),
    };
    let session = host.store.update(&owner, id, patch).await?;
    Ok(Json(Session::of(session, &host)))
}

async fn delete(
    State(host): State<Arc<Host>>,
    Client(owner): Client,
    SessionPath(id): SessionPath,
) -> Result<StatusCode, Problem> {
    host.store.get(&owner, id).await?;
    // Goes on when the client does not wait: a session that was ended in memory has to be deleted as well.
    let deletion = host
        .errands
        .spawn(end_and_delete(Arc::clone(&host), owner, id));
    deletion
        .await
        .map_err(|error| Problem::internal(&error))??;
    Ok(StatusCode::NO_CONTENT)
}

async fn end_and_delete(host: Arc<Host>, owner: Owner, id: SessionId) -> Result<(), StoreError> {
    // Held until all is done, so that no message finds the session in between.
    let session = host.registry.open(id);
    session.end().await;
    host.store.delete(&owner, id).await?;
    let catalog = Arc::clone(&host.in_force().catalog);
    // Calls into the plugins, which may block.
    let telling = tokio::task::spawn_blocking(move || catalog.session_ended(&id.to_string()));
    if tokio::time::timeout(SESSION_ENDED_TIME, telling)
        .await
        .is_err()
    {
        tracing::warn!(session = %id, "a plugin is still busy with a session's end");
    }
    Ok(())
}
