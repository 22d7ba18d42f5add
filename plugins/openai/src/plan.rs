//! A plan before the work.

use plugin_api::serde_json::{self, Value, json};
use plugin_api::{Event, RunError};

use crate::api::{Prompt, ToolDefinition};
use crate::turn::Turn;
use crate::voice::Show;

/// The most steps of a plan; a model that writes more has not made a plan.
const STEPS: usize = 50;

impl Turn<'_> {
    /// Has the model make a plan, and shows it.
    pub(crate) async fn plan(&mut self) -> Result<(), RunError> {
        let phase = Event::planning_status("planning", "Making a plan");
        self.ctx.emit(phase).await?;
        let system = instructions(&self.conversation.system(), &self.offer.definitions);
        let prompt = Prompt {
            system: &system,
            messages: self.conversation.messages(),
            tools: &[],
            ..self.agent.prompt()
        };
        let reply = self
            .agent
            .ask(&prompt, Show::Thinking, &mut self.voice)
            .await?;
        self.count(reply.usage);
        let steps = steps(&reply.said.text);
        let numbered = (1..).zip(&steps);
        let plan: Vec<_> = numbered
            .clone()
            .map(|(number, title)| json!({"step": number, "title": title}))
            .collect();
        self.ctx.emit(Event::plan_ready(plan)).await?;
        let lines: Vec<_> = numbered
            .map(|(number, title)| format!("{number}. {title}"))
            .collect();
        self.conversation.plan = Some(lines.join("\n"));
        let phase = Event::planning_status("executing", "Carrying out the plan");
        self.ctx.emit(phase).await?;
        Ok(())
    }
}

fn instructions(system: &str, tools: &[ToolDefinition]) -> String {
    let mut text = String::new();
    if !system.is_empty() {
        text += system;
        text += "\n\n";
    }
    text += "# Now: plan only\n\nDo not answer yet. Write a plan for answering the latest message: a JSON array of \
        strings, each a step in one short sentence, and nothing else. As few steps as do; one where one does.";
    if !tools.is_empty() {
        text += "\n\nWhen the plan is carried out, these tools can be called:\n";
        for tool in tools {
            let summary = tool.description.lines().next().unwrap_or_default();
            text += &format!("\n- {}: {summary}", tool.name);
        }
    }
    text
}

/// The steps of a plan. Models that do not write the JSON they are asked for write lines; a text without any is a
/// plan of one step.
fn steps(text: &str) -> Vec<String> {
    let json = text
        .find('[')
        .zip(text.rfind(']'))
        .filter(|(from, to)| from < to)
        .and_then(|(from, to)| serde_json::from_str::<Vec<Value>>(&text[from..=to]).ok());
    let mut steps: Vec<String> = match json {
        Some(list) => list.iter().filter_map(step).collect(),
        None => text.lines().filter_map(line).collect(),
    };
    steps.truncate(STEPS);
    if steps.is_empty() {
        steps.push("Answer".to_owned());
    }
    steps
}

/// A step that is a text, or an object with one.
fn step(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text,
        Value::Object(fields) => ["title", "step", "description", "text"]
            .iter()
            .find_map(|key| fields.get(*key)?.as_str())?,
        _ => return None,
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A line without the number or the dash before it.
fn line(line: &str) -> Option<String> {
    let text = line.trim().trim_start_matches(|letter: char| {
        letter.is_ascii_digit() || matches!(letter, '.' | ')' | '-' | '*' | ' ')
    });
    let is_fence = text.starts_with("```");
    (!text.is_empty() && !is_fence).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_come_as_json_or_as_lines() {
        for text in [
            r#"["look", "answer"]"#,
            "```json\n[\"look\", \"answer\"]\n```",
            r#"{"steps": [{"step": 1, "title": "look"}, {"title": " answer "}]}"#,
            "1. look\n2. answer\n",
            "- look\n\n- answer",
        ] {
            assert_eq!(steps(text), ["look", "answer"], "{text}");
        }
        assert_eq!(steps(""), ["Answer"]);
        assert_eq!(steps("[]"), ["Answer"]);
    }
}
