//! The history of a session.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Endpoint;
use super::gate::{Client, SessionPath};
use super::query::{Limit, Params};
use super::runs::Failure;
use crate::server::Host;
use crate::server::openapi::Operation;
use crate::server::problem::{Problem, ProblemKind};
use crate::session::{
    Epoch, FileRef, ImageMeta, Outcome, RunId, RunStatus, Turn, TurnBody, TurnPageRequest,
    TurnRecord,
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::new(
        Operation::new(Method::GET, "/sessions/{session_id}/messages", "listMessages", "Read a session's history")
            .tag("sessions")
            .description(
                "A page holds the newest messages, or those before the one with the number `before`, in the order in which \
                 they were said. It ends early when it has become large. The answer of a run in progress is not among \
                 them: the socket has it.",
            )
            .query::<HistoryParams>()
            .answer::<MessageList>(StatusCode::OK, "One page of messages.")
            .problems(&[ProblemKind::SessionNotFound]),
        list,
    )]
}

/// Which part of the history.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryParams {
    /// How many messages at most.
    #[serde(default)]
    limit: Limit,
    /// Only messages with a smaller number. Left out: the newest ones.
    #[serde(default)]
    #[schemars(with = "u64")]
    before: Option<u64>,
}

/// One page of a session's history.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MessageList {
    /// The messages, in the order in which they were said.
    messages: Vec<Message>,
    /// The `before` that gets the messages before these; null at the history's beginning.
    before: Option<u64>,
    /// The name of the numbering that positions count in.
    epoch: Epoch,
    /// The position up to which the history is complete: that of the session's last event, or while a run is in
    /// progress the one before its `stream_start`.
    last_seq: u64,
}

/// What somebody said.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "role", rename_all = "snake_case")]
enum Message {
    User(UserMessage),
    Assistant(AssistantMessage),
}

/// What a client said.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
struct UserMessage {
    /// 1, 2, 3 … in the session: odd the client's, even the agent's.
    number: u64,
    /// The run that the message began.
    run_id: RunId,
    created_at_ms: u64,
    /// The client's own text.
    content: String,
    /// What the agent got: the text with the notes about images and files.
    agent_content: String,
    images: Vec<Image>,
    files: Vec<FileRef>,
}

/// An image of a message, without its bytes.
#[derive(Debug, Serialize, JsonSchema)]
struct Image {
    media_type: String,
    bytes: u64,
}

/// What the agent answered.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
struct AssistantMessage {
    /// 1, 2, 3 … in the session: odd the client's, even the agent's.
    number: u64,
    /// The run that answered.
    run_id: RunId,
    created_at_ms: u64,
    /// The agent's name.
    agent: String,
    /// The answer. Of a run that was stopped, failed or lost: what was streamed of it.
    content: String,
    status: RunStatus,
    /// Null when the run was lost.
    outcome: Option<Outcome>,
    /// Why the run failed, if it did.
    error: Option<Failure>,
    /// The run's events as clients were sent them, adjacent deltas in one.
    events: Vec<StoredEvent>,
    /// Whether events are missing, because there were too many to be kept.
    truncated: bool,
}

/// An event of a run, as JSON.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct StoredEvent(Box<RawValue>);

impl JsonSchema for StoredEvent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Event".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An event of a run, with the keys that it had on the socket (see `/schema/server.json`) and its \
                position.",
            "type": "object",
            "properties": {
                "type": {"type": "string", "description": "The kind of event.", "minLength": 1},
                "seq": {"type": "integer", "minimum": 0, "description": "The event's position in the session."},
                "seq_from": {
                    "type": "integer", "minimum": 0,
                    "description": "The position of the first of the events that were folded into this one."
                }
            },
            "required": ["type", "seq"]
        })
    }
}

/// What is stored cannot be shown.
#[derive(Debug, thiserror::Error)]
#[error("the stored event {seq} is not a JSON object")]
struct EventFault {
    seq: u64,
    #[source]
    source: Option<serde_json::Error>,
}

impl StoredEvent {
    fn of(record: TurnRecord) -> Result<Self, EventFault> {
        let TurnRecord {
            seq_from,
            seq,
            mut json,
            ..
        } = record;
        json.truncate(json.trim_end().len());
        if json.pop() != Some('}') {
            return Err(EventFault { seq, source: None });
        }
        if seq_from < seq {
            json.push_str(&format!(r#","seq_from":{seq_from}"#));
        }
        json.push_str(&format!(r#","seq":{seq}}}"#));
        let raw = RawValue::from_string(json);
        raw.map(Self).map_err(|error| EventFault {
            seq,
            source: Some(error),
        })
    }
}

impl Message {
    fn of(turn: Turn) -> Result<Self, EventFault> {
        let Turn {
            number,
            run: run_id,
            created_at_ms,
            body,
        } = turn;
        Ok(match body {
            TurnBody::User(user) => Self::User(UserMessage {
                number,
                run_id,
                created_at_ms,
                content: user.user_text,
                agent_content: user.content,
                images: user
                    .images
                    .into_iter()
                    .map(|ImageMeta { media_type, bytes }| Image { media_type, bytes })
                    .collect(),
                files: user.files,
            }),
            TurnBody::Assistant(answer) => Self::Assistant(AssistantMessage {
                number,
                run_id,
                created_at_ms,
                agent: answer.agent,
                content: answer.content,
                status: answer.status,
                outcome: answer.outcome,
                error: answer.failure.map(Failure::from),
                events: answer
                    .records
                    .into_iter()
                    .map(StoredEvent::of)
                    .collect::<Result<_, _>>()?,
                truncated: answer.truncated,
            }),
        })
    }
}

async fn list(
    State(host): State<Arc<Host>>,
    Client(owner): Client,
    SessionPath(id): SessionPath,
    Params(HistoryParams { limit, before }): Params<HistoryParams>,
) -> Result<Json<MessageList>, Problem> {
    let request = TurnPageRequest {
        before,
        ..TurnPageRequest::newest(limit.get())
    };
    let page = host.store.history(&owner, id, request).await?;
    let messages: Result<Vec<_>, _> = page.turns.into_iter().map(Message::of).collect();
    Ok(Json(MessageList {
        messages: messages.map_err(|fault| Problem::internal(&fault))?,
        before: page.before,
        epoch: page.numbering.epoch,
        last_seq: page.numbering.last_seq,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str, seq_from: u64) -> Result<String, EventFault> {
        let record = TurnRecord {
            seq_from,
            seq: 7,
            kind: "x".into(),
            json: json.into(),
            bounds: None,
        };
        StoredEvent::of(record).map(|event| event.0.get().to_owned())
    }

    #[test]
    fn an_event_gets_its_position() {
        assert_eq!(
            event(r#"{"type":"x"}"#, 7).unwrap(),
            r#"{"type":"x","seq":7}"#
        );
        assert_eq!(
            event("{\"type\":\"x\"}\n", 3).unwrap(),
            r#"{"type":"x","seq_from":3,"seq":7}"#
        );
        assert!(event("", 7).is_err());
        assert!(event("[1]", 7).is_err());
        assert!(event(r#"{"type":}"#, 7).is_err());
    }
}
