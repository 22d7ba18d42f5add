//! Answers of the Responses API.

use serde_json::{Value, json};

use super::Answer;

/// An answer in the making: its events are numbered, and its last one repeats all of it.
pub struct Response {
    answer: Answer,
    output: Vec<Value>,
    number: u64,
}

impl Default for Response {
    fn default() -> Self {
        Self::new()
    }
}

impl Response {
    /// One that has begun.
    #[must_use]
    pub fn new() -> Self {
        let response =
            json!({"id": "resp_1", "object": "response", "status": "in_progress", "output": []});
        let begun = Self {
            answer: Answer::stream(),
            output: Vec::new(),
            number: 0,
        };
        begun
            .event(json!({"type": "response.created", "response": response}))
            .event(json!({"type": "response.in_progress", "response": response}))
    }

    /// Then any event.
    #[must_use]
    pub fn event(mut self, mut event: Value) -> Self {
        event["sequence_number"] = self.number.into();
        self.number += 1;
        self.answer = self.answer.event(&event);
        self
    }

    fn place(&self) -> usize {
        self.output.len()
    }

    fn item(mut self, begun: Value, events: Vec<Value>, done: Value) -> Self {
        let place = self.place();
        self = self.event(
            json!({"type": "response.output_item.added", "output_index": place, "item": begun}),
        );
        for mut event in events {
            event["output_index"] = place.into();
            event["item_id"] = done["id"].clone();
            self = self.event(event);
        }
        self = self.event(
            json!({"type": "response.output_item.done", "output_index": place, "item": done}),
        );
        self.output.push(done);
        self
    }

    /// Then a message in these pieces.
    #[must_use]
    pub fn text(self, pieces: &[&str]) -> Self {
        let text = pieces.concat();
        let message = |status: &str, content: Value| json!({"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": content});
        let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
        let mut events = vec![
            json!({"type": "response.content_part.added", "content_index": 0, "part": part("")}),
        ];
        events.extend(pieces.iter().map(|piece| {
            json!({"type": "response.output_text.delta", "content_index": 0, "delta": piece})
        }));
        events.push(json!({"type": "response.output_text.done", "content_index": 0, "text": text}));
        events.push(
            json!({"type": "response.content_part.done", "content_index": 0, "part": part(&text)}),
        );
        let done = message("completed", json!([part(&text)]));
        self.item(message("in_progress", json!([])), events, done)
    }

    /// Then reasoning: the paragraphs of its summary, each in two pieces, and what only the server can read.
    #[must_use]
    pub fn reasoning(self, paragraphs: &[[&str; 2]], encrypted: Option<&str>) -> Self {
        let mut events = Vec::new();
        let mut summary = Vec::new();
        for (index, pieces) in paragraphs.iter().enumerate() {
            let part = json!({"type": "summary_text", "text": pieces.concat()});
            events.push(json!({
                "type": "response.reasoning_summary_part.added", "summary_index": index,
                "part": {"type": "summary_text", "text": ""},
            }));
            events.extend(pieces.iter().map(|piece| {
                json!({"type": "response.reasoning_summary_text.delta", "summary_index": index, "delta": piece})
            }));
            events.push(json!({
                "type": "response.reasoning_summary_part.done", "summary_index": index, "part": part,
            }));
            summary.push(part);
        }
        let mut done = json!({"id": "rs_1", "type": "reasoning", "summary": summary});
        if let Some(encrypted) = encrypted {
            done["encrypted_content"] = encrypted.into();
        }
        let begun = json!({"id": "rs_1", "type": "reasoning", "summary": []});
        self.item(begun, events, done)
    }

    /// Then a tool call, its arguments in fragments of three characters.
    #[must_use]
    pub fn call(self, call_id: &str, name: &str, arguments: &str) -> Self {
        let item = |status: &str, arguments: &str| {
            json!({
                "id": format!("fc_{call_id}"), "type": "function_call", "status": status,
                "call_id": call_id, "name": name, "arguments": arguments,
            })
        };
        let letters: Vec<char> = arguments.chars().collect();
        let mut events: Vec<_> = letters
            .chunks(3)
            .map(|piece| {
                let piece: String = piece.iter().collect();
                json!({"type": "response.function_call_arguments.delta", "delta": piece})
            })
            .collect();
        events
            .push(json!({"type": "response.function_call_arguments.done", "arguments": arguments}));
        self.item(
            item("in_progress", ""),
            events,
            item("completed", arguments),
        )
    }

    /// Then the end, with the tokens sent and generated.
    #[must_use]
    pub fn end(self, sent: u64, came: u64) -> Answer {
        let response = json!({
            "id": "resp_1", "object": "response", "status": "completed", "error": null,
            "incomplete_details": null, "output": self.output, "usage": {
                "input_tokens": sent, "output_tokens": came, "total_tokens": sent + came,
                "output_tokens_details": {"reasoning_tokens": 0},
            },
        });
        self.event(json!({"type": "response.completed", "response": response}))
            .answer
    }

    /// What there is of it.
    #[must_use]
    pub fn so_far(self) -> Answer {
        self.answer
    }
}
