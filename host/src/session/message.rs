//! Messages before they are turns: their ids, and the queue in which they wait.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::ids::{MessageId, Owner, RunId, SessionId};
use super::model::RunStatus;
use super::store::NewUserTurn;

/// How long a message's id is kept: 24 hours, in milliseconds.
pub const MESSAGE_ID_KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// A message's id in its session, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageKey {
    /// Whose id it is: another owner's equal id is another message.
    pub owner: Owner,
    pub id: MessageId,
    /// SHA-256 of the content, by which a repetition is told from another
    /// message with the same id.
    pub digest: [u8; 32],
}

/// What is known of a message that was accepted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownMessage {
    /// SHA-256 of its content.
    pub digest: [u8; 32],
    /// The run that it became or will become.
    pub run: RunId,
    pub state: MessageState,
}

/// What has become of a message. In JSON `queued`, or its run's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageState {
    /// It waits for its run to begin.
    Queued,
    Run(RunStatus),
}

impl MessageState {
    /// As in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Run(status) => status.as_str(),
        }
    }
}

impl Serialize for MessageState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl JsonSchema for MessageState {
    fn schema_name() -> Cow<'static, str> {
        "MessageState".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let all = [
            Self::Queued,
            Self::Run(RunStatus::Running),
            Self::Run(RunStatus::Completed),
            Self::Run(RunStatus::Stopped),
            Self::Run(RunStatus::Error),
            Self::Run(RunStatus::Lost),
        ];
        json_schema!({
            "description": "What has become of a message: it waits, or its run's status.",
            "type": "string",
            "enum": all.map(Self::as_str),
        })
    }
}

/// A message to be queued.
#[derive(Debug, Clone, PartialEq)]
pub struct NewQueued {
    pub session: SessionId,
    /// The run that it will become.
    pub run: RunId,
    /// It goes before all that wait, and otherwise behind them.
    pub at_head: bool,
    pub created_at_ms: u64,
    pub turn: NewUserTurn,
    pub message: Option<MessageKey>,
    /// How many messages of the session may wait, this one included.
    pub limit: usize,
}

/// The messages that wait in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionQueue {
    pub session: SessionId,
    pub owner: Owner,
    /// The runs that they will become, the head first; never empty.
    pub runs: Vec<RunId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_one_word() {
        let json = |state| serde_json::to_value(state).unwrap();
        assert_eq!(json(MessageState::Queued), "queued");
        for status in [RunStatus::Running, RunStatus::Error, RunStatus::Lost] {
            let expected = serde_json::to_value(status).unwrap();
            assert_eq!(json(MessageState::Run(status)), expected);
        }
    }
}
