//! Showing what an agent tells of its work.

use agent_client_protocol_schema::v1::{
    ContentChunk, MessageId, Plan, PlanEntry, PlanEntryStatus, SessionUpdate, ToolCallUpdate,
    ToolKind,
};
use plugin_api::serde_json::{Map, Value, json};
use plugin_api::{EmitError, Event, RunContext, RunError, tracing};

use crate::calls::{self, Calls};
use crate::permissions::{Answer, kind_name};

/// The most bytes of one delta; longer ones are shown in pieces. Far below what a host lets through in one event.
const DELTA_BYTES: usize = 16 * 1024;
/// The longest answer. A host takes no longer one by default.
const MAX_SAID: usize = 16 * 1024 * 1024;
/// How much thinking is shown once more in one piece.
const MAX_THOUGHT: usize = 256 * 1024;

/// The stream of a run.
#[derive(Debug)]
pub(crate) struct Show<'a> {
    ctx: &'a RunContext,
    /// All text of the run.
    said: String,
    /// All thinking of the run, or the beginning of it.
    thought: String,
    /// Whether text is next to begin a paragraph, since something else was shown in between.
    is_apart: bool,
    message: Option<MessageId>,
    is_thinking: bool,
    calls: Calls,
    phase: Option<(&'static str, String)>,
    /// Tokens in the agent's context, and how many it can hold.
    pub(crate) tokens: (u64, u64),
}

impl<'a> Show<'a> {
    pub(crate) fn new(ctx: &'a RunContext) -> Self {
        Self {
            ctx,
            said: String::new(),
            thought: String::new(),
            is_apart: false,
            message: None,
            is_thinking: false,
            calls: Calls::default(),
            phase: None,
            tokens: (0, 0),
        }
    }

    /// All text of the run: its deltas, one after the other.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    pub(crate) async fn update(&mut self, update: SessionUpdate) -> Result<(), RunError> {
        match update {
            SessionUpdate::AgentMessageChunk(chunk) => self.text(chunk).await,
            SessionUpdate::AgentThoughtChunk(chunk) => self.thinking(&chunk).await,
            SessionUpdate::ToolCall(call) => {
                self.turn_to_others().await?;
                let events = self.calls.begin(call);
                self.emit_all(events).await
            }
            SessionUpdate::ToolCallUpdate(update) => {
                self.turn_to_others().await?;
                let events = self.calls.update(update);
                self.emit_all(events).await
            }
            SessionUpdate::Plan(plan) => self.plan(&plan).await,
            SessionUpdate::UsageUpdate(usage) => {
                self.tokens = (usage.used, usage.size);
                Ok(())
            }
            // Commands, modes and settings are for editors that offer them; later versions know more.
            _ => Ok(()),
        }
    }

    async fn text(&mut self, chunk: ContentChunk) -> Result<(), RunError> {
        self.end_thinking().await?;
        let text = calls::block_text(&chunk.content);
        if text.is_empty() {
            return Ok(());
        }
        let is_next = chunk.message_id.is_some() && chunk.message_id != self.message;
        let is_apart = std::mem::take(&mut self.is_apart) || (is_next && self.message.is_some());
        self.message = chunk.message_id.or(self.message.take());
        let text = match is_apart && !self.said.is_empty() && !self.said.ends_with('\n') {
            true => format!("\n\n{text}"),
            false => text,
        };
        if self.said.len() + text.len() > MAX_SAID {
            return Err(RunError::agent(format_args!(
                "The agent's answer is longer than {} MiB.",
                MAX_SAID / 1024 / 1024
            )));
        }
        self.say(&text).await
    }

    /// Text of the answer.
    pub(crate) async fn say(&mut self, text: &str) -> Result<(), RunError> {
        for part in parts(text) {
            // It is out as soon as it is emitted, whatever becomes of the waiting.
            self.said.push_str(part);
            self.emit(Event::stream_delta(part)).await?;
        }
        Ok(())
    }

    async fn thinking(&mut self, chunk: &ContentChunk) -> Result<(), RunError> {
        let text = calls::block_text(&chunk.content);
        if !self.is_thinking && !self.thought.is_empty() && self.thought.len() < MAX_THOUGHT {
            self.thought.push_str("\n\n");
        }
        self.is_thinking = true;
        for part in parts(&text) {
            if self.thought.len() < MAX_THOUGHT {
                self.thought.push_str(part);
            }
            self.emit(Event::thinking_delta(part)).await?;
        }
        Ok(())
    }

    async fn end_thinking(&mut self) -> Result<(), RunError> {
        if std::mem::take(&mut self.is_thinking) {
            self.emit(Event::thinking_end()).await?;
        }
        Ok(())
    }

    /// Something that is neither thinking nor text comes.
    async fn turn_to_others(&mut self) -> Result<(), RunError> {
        self.is_apart = true;
        self.end_thinking().await
    }

    async fn plan(&mut self, plan: &Plan) -> Result<(), RunError> {
        self.turn_to_others().await?;
        let phase = phase(&plan.entries);
        if self.phase.as_ref() != Some(&phase) {
            self.emit(Event::planning_status(phase.0, phase.1.clone()))
                .await?;
            self.phase = Some(phase);
        }
        let steps = plan.entries.iter().zip(1..).map(|(entry, step): (_, u64)| {
            json!({"step": step, "title": entry.content, "status": entry.status, "priority": entry.priority})
        });
        self.emit(Event::plan_ready(steps.collect::<Value>())).await
    }

    /// Of a tool that the agent asks leave for: its name, its title and its kind.
    pub(crate) fn asked_for(&self, update: &ToolCallUpdate) -> (String, String, ToolKind) {
        let known = self.calls.find(&update.tool_call_id.0);
        let fields = &update.fields;
        let kind = fields
            .kind
            .or(known.map(|call| call.kind))
            .unwrap_or_default();
        let title = fields
            .title
            .clone()
            .or_else(|| known.map(|call| call.title.clone()));
        let name = fields.name.clone().or_else(|| known.map(calls::name));
        (
            name.unwrap_or_else(|| kind_name(kind).to_owned()),
            title.unwrap_or_default(),
            kind,
        )
    }

    /// An event of the agent's own: what it was answered that asked for leave.
    pub(crate) async fn permission(
        &mut self,
        asked: &ToolCallUpdate,
        answer: Answer,
        option: Option<&str>,
    ) -> Result<(), RunError> {
        self.turn_to_others().await?;
        let (tool, title, kind) = self.asked_for(asked);
        let fields = [
            ("call_id".to_owned(), Value::from(&*asked.tool_call_id.0)),
            ("tool".to_owned(), Value::from(tool)),
            ("title".to_owned(), Value::from(title)),
            ("kind".to_owned(), Value::from(kind_name(kind))),
            (
                "allowed".to_owned(),
                Value::from(answer == Answer::Allow && option.is_some()),
            ),
            ("option".to_owned(), Value::from(option)),
        ];
        self.emit(Event::custom("permission", Map::from_iter(fields)))
            .await
    }

    /// The turn is over. What was begun is ended.
    pub(crate) async fn end(&mut self, why: &str) -> Result<(), RunError> {
        self.end_thinking().await?;
        let events = self.calls.end(why);
        self.emit_all(events).await?;
        if !self.thought.is_empty() {
            let thought = std::mem::take(&mut self.thought);
            self.emit(Event::turn_thinking(thought)).await?;
        }
        Ok(())
    }

    async fn emit_all(&self, events: Vec<Event>) -> Result<(), RunError> {
        for event in events {
            self.emit(event).await?;
        }
        Ok(())
    }

    /// Shows an event; one that the host finds too much in a form that is less, or not at all. What a run that is over
    /// does not take any more is nothing to stop for: the agent has yet to end its turn.
    async fn emit(&self, event: Event) -> Result<(), RunError> {
        match self.ctx.emit_ref(&event).await {
            Ok(()) | Err(EmitError::Stopped) => return Ok(()),
            Err(EmitError::TooLarge | EmitError::Invalid) => {}
            Err(error) => return Err(error.into()),
        }
        tracing::warn!(kind = event.name(), "an event is too much for the host");
        let Some(short) = calls::short(&event) else {
            return Ok(());
        };
        match self.ctx.emit(short).await {
            Err(error @ EmitError::Host(_)) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Where an agent is in its plan, for programs and for people.
fn phase(entries: &[PlanEntry]) -> (&'static str, String) {
    let is = |status| move |entry: &&PlanEntry| entry.status == status;
    if let Some(now) = entries.iter().find(is(PlanEntryStatus::InProgress)) {
        return ("executing", now.content.clone());
    }
    let done = entries
        .iter()
        .filter(is(PlanEntryStatus::Completed))
        .count();
    match done {
        0 => ("planning", "Planning".to_owned()),
        all if all == entries.len() => ("done", "The plan is carried out".to_owned()),
        some => (
            "executing",
            format!("{some} of {} steps are done", entries.len()),
        ),
    }
}

/// A text in pieces of at most [`DELTA_BYTES`].
fn parts(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (part, rest) = text.split_at(text.floor_char_boundary(DELTA_BYTES));
        text = rest;
        (!part.is_empty()).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::from_value;

    use super::*;

    #[test]
    fn a_plan_tells_where_the_agent_is() {
        let entries = |statuses: &[&str]| -> Vec<PlanEntry> {
            let entry =
                |status: &&str| json!({"content": "x", "priority": "high", "status": status});
            from_value(statuses.iter().map(entry).collect()).unwrap()
        };
        let phase = |statuses: &[&str]| phase(&entries(statuses)).0;
        assert_eq!(phase(&["pending", "pending"]), "planning");
        assert_eq!(phase(&["completed", "in_progress"]), "executing");
        assert_eq!(phase(&["completed", "pending"]), "executing");
        assert_eq!(phase(&["completed"]), "done");
        assert_eq!(phase(&[]), "planning");
    }

    #[test]
    fn long_text_is_shown_in_pieces() {
        let text = "ä".repeat(DELTA_BYTES);
        let parts: Vec<_> = parts(&text).collect();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts.concat(), text);
    }
}
