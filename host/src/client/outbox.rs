//! What was sent and not yet answered. It is sent again on the next connection.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::item::Refused;
use crate::protocol::OnBusy;

/// Messages that may wait for their answer.
const MOST: usize = 16;

/// A message for the session's agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    id: Uuid,
    fields: Map<String, Value>,
}

impl Message {
    /// A message of this text, under a new id.
    #[must_use]
    pub fn new(content: impl Into<String>) -> Self {
        let content: String = content.into();
        let mut fields = Map::new();
        fields.insert("content".to_owned(), content.into());
        Self {
            id: Uuid::new_v4(),
            fields,
        }
    }

    /// Under this id, which makes sending it again harmless.
    #[must_use]
    pub fn id(mut self, id: Uuid) -> Self {
        self.id = id;
        self
    }

    /// With images, as base64 or `data:` URLs.
    #[must_use]
    pub fn images(self, images: Vec<String>) -> Self {
        self.field("images", images.into())
    }

    /// With files, as the answer to an upload has them.
    #[must_use]
    pub fn files(self, files: Value) -> Self {
        self.field("files", files)
    }

    /// What to do with it while a run is in progress.
    #[must_use]
    pub fn on_busy(self, on_busy: OnBusy) -> Self {
        let name = match on_busy {
            OnBusy::Reject => "reject",
            OnBusy::Enqueue => "enqueue",
            OnBusy::Interrupt => "interrupt",
        };
        self.field("on_busy", name.into())
    }

    fn field(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }
}

/// Too many messages wait for their answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MOST} messages and stops wait for their answer already")]
pub struct OutboxFull;

#[derive(Debug)]
enum Id {
    Message(String),
    /// A stop, answered in order. It is sent again only if it names a run: of any other, nobody knows which run the
    /// repetition would stop.
    Stop {
        again: bool,
    },
}

#[derive(Debug)]
struct Waiting {
    id: Id,
    frame: String,
    is_sent: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox(VecDeque<Waiting>);

impl Outbox {
    pub(super) fn message(&mut self, message: Message) -> Result<Uuid, OutboxFull> {
        let mut frame = json!({"type": "message", "id": message.id.to_string()});
        if let Some(frame) = frame.as_object_mut() {
            frame.extend(message.fields);
        }
        self.push(Id::Message(message.id.to_string()), &frame)?;
        Ok(message.id)
    }

    pub(super) fn stop(&mut self, run_id: Option<&str>) -> Result<(), OutboxFull> {
        let mut frame = json!({"type": "stop"});
        if let Some(run_id) = run_id {
            frame["run_id"] = run_id.into();
        }
        let again = run_id.is_some();
        self.push(Id::Stop { again }, &frame)
    }

    fn push(&mut self, id: Id, frame: &Value) -> Result<(), OutboxFull> {
        if self.0.len() >= MOST {
            return Err(OutboxFull);
        }
        self.0.push_back(Waiting {
            id,
            frame: frame.to_string(),
            is_sent: false,
        });
        Ok(())
    }

    /// The connection is lost: what was sent on it has to be sent again.
    pub(super) fn disconnected(&mut self) {
        self.0
            .retain(|waiting| !waiting.is_sent || !matches!(waiting.id, Id::Stop { again: false }));
        for waiting in &mut self.0 {
            waiting.is_sent = false;
        }
    }

    /// Takes out a message that is too large to be sent. The host would close the connection at it, on every
    /// connection again.
    pub(super) fn take_too_large(&mut self, limit: usize) -> Option<Refused> {
        let place = self.0.iter().position(|one| one.frame.len() > limit)?;
        let id = match self.0.remove(place)?.id {
            Id::Message(id) => Some(id),
            Id::Stop { .. } => None,
        };
        Some(Refused {
            id,
            code: "message_too_large".to_owned(),
            message: format!("The message has more than the {limit} bytes that the host takes."),
            retryable: false,
        })
    }

    /// The next frame to send. It counts as sent.
    pub(super) fn take_unsent(&mut self) -> Option<String> {
        let waiting = self.0.iter_mut().find(|waiting| !waiting.is_sent)?;
        waiting.is_sent = true;
        Some(waiting.frame.clone())
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.0.iter().any(|waiting| !waiting.is_sent)
    }

    /// A message was answered.
    pub(super) fn answered(&mut self, id: &str) {
        self.0
            .retain(|waiting| !matches!(&waiting.id, Id::Message(own) if own == id));
    }

    /// A stop was answered.
    pub(super) fn stop_answered(&mut self) {
        let is_stop = |waiting: &Waiting| waiting.is_sent && matches!(waiting.id, Id::Stop { .. });
        if let Some(place) = self.0.iter().position(is_stop) {
            self.0.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(outbox: &mut Outbox) -> Vec<Value> {
        std::iter::from_fn(|| outbox.take_unsent())
            .map(|frame| serde_json::from_str(&frame).unwrap())
            .collect()
    }

    #[test]
    fn what_is_not_answered_is_sent_again() {
        let mut outbox = Outbox::default();
        let first = outbox
            .message(Message::new("a").on_busy(OnBusy::Enqueue))
            .unwrap();
        let second = outbox.message(Message::new("b")).unwrap();
        let frames = sent(&mut outbox);
        assert_eq!(
            frames[0],
            json!({"type": "message", "id": first.to_string(), "content": "a", "on_busy": "enqueue"})
        );
        assert_eq!(frames.len(), 2);
        assert!(!outbox.has_unsent());
        outbox.answered(&first.to_string());
        outbox.disconnected();
        let again = sent(&mut outbox);
        assert_eq!(again, frames[1..]);
        outbox.answered(&second.to_string());
        outbox.disconnected();
        assert!(!outbox.has_unsent());
    }

    #[test]
    fn a_stop_of_no_run_in_particular_is_not_repeated() {
        let mut outbox = Outbox::default();
        outbox.stop(None).unwrap();
        outbox.stop(Some("r")).unwrap();
        outbox.disconnected();
        assert_eq!(sent(&mut outbox).len(), 2, "they had not been sent");
        outbox.disconnected();
        assert_eq!(sent(&mut outbox), [json!({"type": "stop", "run_id": "r"})]);
        outbox.stop_answered();
        outbox.disconnected();
        assert!(!outbox.has_unsent());
    }

    #[test]
    fn there_is_an_end_to_it() {
        let mut outbox = Outbox::default();
        for _ in 0..MOST {
            outbox.message(Message::new("a")).unwrap();
        }
        assert_eq!(outbox.message(Message::new("a")), Err(OutboxFull));
    }

    #[test]
    fn what_the_host_would_not_take_is_refused_here() {
        let mut outbox = Outbox::default();
        let id = outbox.message(Message::new("a".repeat(200))).unwrap();
        outbox.message(Message::new("a")).unwrap();
        let refused = outbox.take_too_large(200).unwrap();
        assert_eq!(refused.id, Some(id.to_string()));
        assert_eq!(outbox.take_too_large(200), None);
        assert_eq!(sent(&mut outbox).len(), 1);
    }
}
