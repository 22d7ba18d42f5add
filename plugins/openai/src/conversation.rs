//! What the model is told: system prompt, what is left of earlier turns, and this run's messages.

use crate::api::{BYTES_PER_TOKEN, ImageUrl, Message, ToolDefinition};
use crate::history::Past;

/// The messages of a run, earlier turns first.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    /// What the operator tells the model.
    pub(crate) system_prompt: String,
    /// What the profile in force tells it besides.
    pub(crate) profile_prompt: String,
    /// What became of the turns that are no longer there.
    pub(crate) summary: Option<String>,
    /// What the run carries out.
    pub(crate) plan: Option<String>,
    messages: Vec<Message>,
    /// The turns of the first of them; those after are this run's own.
    turns: Vec<u64>,
}

impl Conversation {
    pub(crate) fn new(system_prompt: &str) -> Self {
        Self {
            system_prompt: system_prompt.trim().to_owned(),
            ..Self::default()
        }
    }

    /// Puts in earlier turns, before anything else.
    pub(crate) fn remember(&mut self, past: Vec<Past>) {
        for Past { turn, message } in past {
            self.turns.push(turn);
            self.messages.push(message);
        }
    }

    pub(crate) fn push(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// The user's message.
    pub(crate) fn push_user(&mut self, text: &str, images: Vec<ImageUrl>) {
        self.push(Message::User {
            text: text.to_owned(),
            images,
        });
    }

    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// All that the model is told besides the messages.
    pub(crate) fn system(&self) -> String {
        let mut parts = Vec::new();
        for prompt in [&self.system_prompt, &self.profile_prompt] {
            if !prompt.is_empty() {
                parts.push(prompt.clone());
            }
        }
        if let Some(summary) = &self.summary {
            parts.push(format!(
                "# Summary of the conversation before the messages below\n\n{summary}"
            ));
        }
        if let Some(plan) = &self.plan {
            parts.push(format!(
                "# Plan for the latest message\n\nThe user has seen this plan. Carry it out now, step by step, and \
                 answer.\n\n{plan}"
            ));
        }
        parts.join("\n\n")
    }

    /// About how many tokens all of it takes.
    pub(crate) fn estimate(&self, tools: &[ToolDefinition]) -> u64 {
        let tools = tools
            .iter()
            .map(|tool| tool.name.len() + tool.description.len() + tool.schema.to_string().len());
        let bytes = self.system().len() + tools.sum::<usize>();
        let messages: u64 = self.messages.iter().map(Message::estimate).sum();
        bytes as u64 / BYTES_PER_TOKEN + messages
    }

    /// How many of the messages are old when the latest `keep` turns are not: those before the question with which
    /// these begin. When there are no older turns than these, all turns are old. 0 where there is none.
    pub(crate) fn old(&self, keep: usize) -> usize {
        let mut numbers = self.turns.clone();
        numbers.dedup();
        let first_kept = match numbers.len().checked_sub(keep) {
            Some(index) if index > 0 && keep > 0 => numbers[index],
            _ => return self.turns.len(),
        };
        let mut old = self.turns.partition_point(|turn| *turn < first_kept);
        // A tool's result must not lose its call.
        while old < self.turns.len() && !matches!(self.messages[old], Message::User { .. }) {
            old += 1;
        }
        old
    }

    /// The last turn of the first `old` messages.
    pub(crate) fn last_turn_of(&self, old: usize) -> u64 {
        old.checked_sub(1).map_or(0, |last| self.turns[last])
    }

    /// Takes a summary in place of the first `old` messages. How many messages there were, and are, the summary
    /// counted as one.
    pub(crate) fn replace(&mut self, old: usize, summary: String) -> (u64, u64) {
        let before = self.messages.len() + usize::from(self.summary.is_some());
        self.messages.drain(..old);
        self.turns.drain(..old);
        self.summary = Some(summary);
        (before as u64, self.messages.len() as u64 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Said;

    /// Turns 1 to `turns`, those with even numbers the assistant's, each of one message.
    fn conversation(turns: u64) -> Conversation {
        let message = |turn: u64| match turn % 2 {
            1 => Message::user("question"),
            _ => Message::Assistant(Said::default()),
        };
        let past = (1..=turns).map(|turn| Past {
            turn,
            message: message(turn),
        });
        let mut conversation = Conversation::new("  be kind\n");
        conversation.remember(past.collect());
        conversation.push_user("now", Vec::new());
        conversation
    }

    #[test]
    fn the_latest_turns_are_not_old() {
        assert_eq!(conversation(6).old(2), 4);
        // An answer is not kept without its question.
        assert_eq!(conversation(6).old(3), 4);
        assert_eq!(conversation(6).old(4), 2);
        assert_eq!(conversation(6).old(0), 6);
        // With nothing older than what is to be kept, it all goes.
        assert_eq!(conversation(2).old(4), 2);
        assert_eq!(conversation(0).old(4), 0);
    }

    #[test]
    fn a_summary_takes_the_place_of_what_is_old() {
        let mut conversation = conversation(6);
        assert_eq!(conversation.last_turn_of(4), 4);
        assert_eq!(conversation.replace(4, "first".to_owned()), (7, 4));
        assert_eq!(conversation.messages().len(), 3);
        assert_eq!(conversation.replace(2, "second".to_owned()), (4, 2));
        let system = conversation.system();
        assert!(system.starts_with("be kind\n\n# Summary"), "{system}");
        assert!(system.ends_with("second"), "{system}");
    }
}
