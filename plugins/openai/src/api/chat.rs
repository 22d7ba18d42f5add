//! Chat Completions: <https://platform.openai.com/docs/api-reference/chat>, and what other servers make of it.

use plugin_api::serde_json::{Value, json};

use super::calls::Calls;
use super::{Fault, ImageUrl, Message, Piece, Prompt, Reply, Said, Usage, text_of};

/// The body of a request.
pub(super) fn body(prompt: &Prompt<'_>) -> Value {
    let mut messages = Vec::with_capacity(prompt.messages.len() + 1);
    if !prompt.system.is_empty() {
        messages.push(json!({"role": "system", "content": prompt.system}));
    }
    // A tool's result is text here; its images follow in a message of the user's, after the last of the results.
    let mut images: Vec<ImageUrl> = Vec::new();
    for message in prompt.messages {
        if !matches!(message, Message::ToolResult { .. }) {
            flush_images(&mut messages, &mut images);
        }
        match message {
            Message::User { text, images } => {
                messages.push(json!({"role": "user", "content": user_content(text, images)}));
            }
            Message::Assistant(said) => messages.push(assistant(said, prompt.return_reasoning)),
            Message::ToolResult {
                call_id,
                text,
                images: shown,
            } => {
                messages.push(json!({"role": "tool", "tool_call_id": call_id, "content": text}));
                images.extend_from_slice(shown);
            }
        }
    }
    flush_images(&mut messages, &mut images);
    let mut body = json!({
        "model": prompt.model,
        "messages": messages,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    if !prompt.tools.is_empty() {
        let tools = prompt.tools.iter().map(|tool| {
            json!({"type": "function", "function": {
                "name": tool.name, "description": tool.description, "parameters": tool.schema,
            }})
        });
        body["tools"] = tools.collect();
    }
    for (key, value) in prompt.fitting_parameters() {
        body[key] = value.clone();
    }
    body
}

fn flush_images(messages: &mut Vec<Value>, images: &mut Vec<ImageUrl>) {
    if !images.is_empty() {
        let content = user_content("[Images that the tools gave]", images);
        messages.push(json!({"role": "user", "content": content}));
        images.clear();
    }
}

fn user_content(text: &str, images: &[ImageUrl]) -> Value {
    if images.is_empty() {
        return text.into();
    }
    let mut parts = vec![json!({"type": "text", "text": text})];
    parts.extend(
        images
            .iter()
            .map(|image| json!({"type": "image_url", "image_url": {"url": image.0}})),
    );
    parts.into()
}

fn assistant(said: &Said, return_reasoning: bool) -> Value {
    let mut message = json!({"role": "assistant", "content": said.text});
    if !said.calls.is_empty() {
        if said.text.is_empty() {
            message["content"] = Value::Null;
        }
        let calls = said.calls.iter().map(|call| {
            json!({"id": call.id, "type": "function", "function": {
                "name": call.name, "arguments": call.arguments,
            }})
        });
        message["tool_calls"] = calls.collect();
        if return_reasoning && !said.thinking.is_empty() {
            message["reasoning_content"] = said.thinking.as_str().into();
        }
    }
    message
}

/// Reads the chunks of an answer.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    text: String,
    thinking: String,
    calls: Calls,
    usage: Option<Usage>,
    finish_reason: Option<String>,
    /// Whether `[DONE]` has come.
    pub(super) is_done: bool,
}

impl Decoder {
    /// Reads a chunk, or a whole completion, which has a `message` where a chunk has a `delta`.
    pub(super) fn chunk(&mut self, chunk: &Value) -> Result<Vec<Piece>, Fault> {
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            return Err(Fault::reported(error));
        }
        if chunk.get("object").is_some_and(|kind| kind == "error") {
            return Err(Fault::reported(chunk));
        }
        if let Some(usage) = chunk.get("usage").and_then(Usage::read) {
            self.usage = Some(usage);
        }
        // The last chunk has the usage and no choice.
        let Some(choice) = chunk.get("choices").and_then(|choices| choices.get(0)) else {
            return Ok(Vec::new());
        };
        let mut pieces = Vec::new();
        let delta = choice.get("delta").or_else(|| choice.get("message"));
        if let Some(delta) = delta {
            self.delta(delta, &mut pieces);
        }
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.finish_reason = Some(reason.to_owned());
        }
        Ok(pieces)
    }

    fn delta(&mut self, delta: &Value, pieces: &mut Vec<Piece>) {
        // Two names for one thing; a server that has both says the same in both.
        let thinking = ["reasoning_content", "reasoning"]
            .iter()
            .map(|key| text_of(&delta[*key]))
            .find(|text| !text.is_empty());
        if let Some(thinking) = thinking {
            self.thinking.push_str(thinking);
            pieces.push(Piece::Thinking(thinking.to_owned()));
        }
        for key in ["content", "refusal"] {
            let text = text_of(&delta[key]);
            if !text.is_empty() {
                self.text.push_str(text);
                pieces.push(Piece::Text(text.to_owned()));
            }
        }
        let fragments = delta["tool_calls"].as_array();
        for fragment in fragments.into_iter().flatten() {
            if self.calls.is_empty() {
                pieces.push(Piece::Call);
            }
            let id = text_of(&fragment["id"]);
            let name = text_of(&fragment["function"]["name"]);
            let place = fragment["index"].as_u64();
            let arguments = &fragment["function"]["arguments"];
            let whole = match arguments {
                Value::Null | Value::String(_) => None,
                whole => Some(whole.to_string()),
            };
            let text = whole.as_deref().unwrap_or(text_of(arguments));
            let call = self.calls.fragment(place, id, name, text);
            call.add_name(name);
            match arguments {
                Value::String(piece) => call.arguments.push_str(piece),
                Value::Null => {}
                whole => call.arguments = whole.to_string(),
            }
        }
    }

    pub(super) fn finish(self) -> Result<Reply, Fault> {
        let reason = self.finish_reason.as_deref();
        match reason {
            Some("content_filter") => return Err(Fault::Withheld),
            Some("error" | "abort" | "insufficient_system_resource") => {
                return Err(Fault::Incomplete);
            }
            None if !self.is_done => return Err(Fault::Incomplete),
            _ => {}
        }
        Ok(Reply {
            is_cut: reason == Some("length"),
            usage: self.usage,
            said: Said {
                text: self.text,
                thinking: self.thinking,
                calls: self.calls.finish(),
                items: Vec::new(),
            },
        })
    }
}
