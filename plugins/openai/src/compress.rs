//! Summarising older turns before the model's window is full.

use plugin_api::serde_json::json;
use plugin_api::{Event, RunContext, RunError, tracing};

use crate::api::{BYTES_PER_TOKEN, Message, Prompt};
use crate::turn::Turn;
use crate::voice::Show;

/// Under which name the agent keeps the summary in the session.
const KEY: &str = "summary";

/// The most bytes of a tool's result that a summary is made of.
const RESULT_BYTES: usize = 4 * 1024;

/// The least that is summarised in one go, in bytes, however small the window is.
const LEAST_BYTES: usize = 4 * 1024;

const INSTRUCTIONS: &str = "You keep the memory of a conversation between a user and an assistant. Summarise what \
    you are given, so that the assistant can go on from the summary alone: what the user wants, facts, names, \
    numbers, decisions, what tools have given, and what is still open. Leave out pleasantries. Write the summary \
    and nothing else.";

/// What is kept of turns that the model is no longer given.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Summary {
    pub(crate) text: Option<String>,
    /// The last turn that it is of.
    pub(crate) through_turn: u64,
}

/// Whether a run may summarise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Compressing {
    Allowed,
    /// It just has. What its context takes now is a guess until the model has answered.
    Done,
    /// It did not work.
    GivenUp,
}

impl Summary {
    /// The session's; none if there is none.
    pub(crate) async fn load(ctx: &RunContext) -> Result<Self, RunError> {
        let value = ctx.state_get(KEY).await?.value;
        Ok(
            match (value["text"].as_str(), value["through_turn"].as_u64()) {
                (Some(text), Some(through_turn)) => Self {
                    text: Some(text.to_owned()),
                    through_turn,
                },
                _ => Self::default(),
            },
        )
    }
}

impl Turn<'_> {
    /// Summarises older turns if the next request would take more of the window than is configured. When that
    /// fails, the run goes on with what there is, and does not try again.
    pub(crate) async fn compress(&mut self) -> Result<(), RunError> {
        let Some(limit) = self.agent.config.compress_above_tokens() else {
            return Ok(());
        };
        if self.context_tokens <= limit || self.compressing != Compressing::Allowed {
            return Ok(());
        }
        let keep = self.agent.config.compress_keep_turns as usize;
        let old = self.conversation.old(keep);
        if old == 0 {
            return Ok(());
        }
        let summary = match self.summarise(old).await {
            Ok(summary) => summary,
            Err(RunError::Stopped) => return Err(RunError::Stopped),
            Err(error) => {
                tracing::warn!(%error, "older turns could not be summarised");
                self.compressing = Compressing::GivenUp;
                return Ok(());
            }
        };
        let through_turn = self.conversation.last_turn_of(old);
        let value = json!({"text": summary, "through_turn": through_turn});
        if let Err(error) = self.ctx.state_put(KEY, value, None).await {
            // This run can use the summary all the same; the next one makes its own.
            tracing::warn!(%error, "the summary could not be kept");
        }
        let (before, after) = self.conversation.replace(old, summary.clone());
        self.context_tokens = self.conversation.estimate(&self.offer.definitions);
        self.compressing = Compressing::Done;
        let event = Event::context_compressed(before, after, summary);
        self.ctx.emit(event).await?;
        Ok(())
    }

    /// A summary of the first `old` messages and of what was summarised before. What does not fit into one request
    /// is summarised piece by piece.
    async fn summarise(&mut self, old: usize) -> Result<String, RunError> {
        let half = self.agent.config.max_context_tokens / 2 * BYTES_PER_TOKEN;
        let most = usize::try_from(half).unwrap_or(usize::MAX).max(LEAST_BYTES);
        let mut summary = self.conversation.summary.clone();
        for piece in pieces(&self.conversation.messages()[..old], most) {
            let text = match &summary {
                Some(summary) => {
                    format!("# Summary so far\n\n{summary}\n\n# What followed\n\n{piece}")
                }
                None => piece,
            };
            let messages = [Message::user(text)];
            let prompt = Prompt {
                system: INSTRUCTIONS,
                messages: &messages,
                tools: &[],
                ..self.agent.prompt()
            };
            let reply = self
                .agent
                .ask(&prompt, Show::Nothing, &mut self.voice)
                .await?;
            self.count(reply.usage);
            let text = reply.said.text.trim();
            if text.is_empty() {
                return Err(RunError::agent("the summary is empty"));
            }
            summary = Some(match reply.is_cut {
                // Less of it is better than none, with which the conversation would grow until no request is taken.
                true => format!("{text} […]"),
                false => text.to_owned(),
            });
        }
        Ok(summary.unwrap_or_default())
    }
}

/// Messages as text to be read, in pieces of about this many bytes.
fn pieces(messages: &[Message], most: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for message in messages {
        let mut text = readable(message);
        if !piece.is_empty() && piece.len() + text.len() > most {
            pieces.push(std::mem::take(&mut piece));
        }
        while text.len() > most {
            let rest = text.split_off(text.floor_char_boundary(most));
            pieces.push(std::mem::replace(&mut text, rest));
        }
        piece += &text;
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

fn readable(message: &Message) -> String {
    match message {
        Message::User { text, .. } => format!("User: {text}\n\n"),
        Message::Assistant(said) => {
            let mut text = String::new();
            if !said.text.is_empty() {
                text += &format!("Assistant: {}\n\n", said.text);
            }
            for call in &said.calls {
                text += &format!("Assistant calls {} with {}\n\n", call.name, call.arguments);
            }
            text
        }
        Message::ToolResult { text, .. } => {
            let end = text.floor_char_boundary(RESULT_BYTES);
            let more = if end < text.len() { " […]" } else { "" };
            format!("Result: {}{more}\n\n", &text[..end])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Call, Said};

    #[test]
    fn messages_are_read_as_text() {
        let call = Call {
            id: "1".to_owned(),
            name: "add".to_owned(),
            arguments: "{}".to_owned(),
        };
        let said = Said {
            text: "Let me see.".to_owned(),
            calls: vec![call],
            ..Said::default()
        };
        let result = Message::ToolResult {
            call_id: "1".to_owned(),
            text: "x".repeat(RESULT_BYTES + 1),
            images: Vec::new(),
        };
        let text = pieces(
            &[Message::user("hello"), Message::Assistant(said), result],
            100_000,
        );
        assert_eq!(
            text,
            [format!(
                "User: hello\n\nAssistant: Let me see.\n\nAssistant calls add with {{}}\n\nResult: {} […]\n\n",
                "x".repeat(RESULT_BYTES)
            )]
        );
    }

    #[test]
    fn long_conversations_come_in_pieces() {
        let messages = [
            Message::user("a".repeat(30)),
            Message::user("b".repeat(130)),
        ];
        let pieces = pieces(&messages, 50);
        assert!(pieces.iter().all(|piece| piece.len() <= 50), "{pieces:?}");
        let all: String = messages.iter().map(readable).collect();
        assert_eq!(pieces.concat(), all);
    }
}
