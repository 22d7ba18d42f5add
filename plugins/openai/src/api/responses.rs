//! Responses: <https://platform.openai.com/docs/api-reference/responses>.

use std::collections::{BTreeMap, BTreeSet};

use plugin_api::serde_json::{Value, json};

use super::calls::Calls;
use super::{Fault, ImageUrl, Message, Piece, Prompt, Reply, Said, Usage, text_of};

/// The body of a request. Nothing is kept by the server: every request carries the whole conversation.
pub(super) fn body(prompt: &Prompt<'_>) -> Value {
    let mut input = Vec::with_capacity(prompt.messages.len());
    for message in prompt.messages {
        match message {
            Message::User { text, images } => input.push(json!({
                "type": "message", "role": "user", "content": content(text, images),
            })),
            Message::Assistant(said) => assistant(said, &mut input),
            Message::ToolResult {
                call_id,
                text,
                images,
            } => {
                let output = if images.is_empty() {
                    text.as_str().into()
                } else {
                    content(text, images)
                };
                input.push(json!({
                    "type": "function_call_output", "call_id": call_id, "output": output,
                }));
            }
        }
    }
    let mut body = json!({
        "model": prompt.model,
        "input": input,
        "stream": true,
        "store": false,
    });
    if !prompt.system.is_empty() {
        body["instructions"] = prompt.system.into();
    }
    if !prompt.tools.is_empty() {
        let tools = prompt.tools.iter().map(|tool| {
            json!({
                "type": "function", "name": tool.name, "description": tool.description,
                "parameters": tool.schema, "strict": false,
            })
        });
        body["tools"] = tools.collect();
    }
    for (key, value) in prompt.fitting_parameters() {
        body[key] = value.clone();
    }
    body
}

fn content(text: &str, images: &[ImageUrl]) -> Value {
    let mut parts = vec![json!({"type": "input_text", "text": text})];
    parts.extend(
        images
            .iter()
            .map(|image| json!({"type": "input_image", "image_url": image.0})),
    );
    parts.into()
}

fn assistant(said: &Said, input: &mut Vec<Value>) {
    input.extend(said.items.iter().cloned());
    if !said.text.is_empty() {
        input.push(json!({
            "type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": said.text}],
        }));
    }
    input.extend(said.calls.iter().map(|call| {
        json!({
            "type": "function_call", "call_id": call.id, "name": call.name,
            "arguments": call.arguments,
        })
    }));
}

/// Reads the events of an answer.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    text: String,
    thinking: String,
    calls: Calls,
    /// Places whose text has come in deltas.
    streamed: BTreeSet<u64>,
    /// Whether the server numbers the places. Where it does not, they are told by the ids of what stands there.
    numbers: bool,
    ids: BTreeMap<String, u64>,
    /// The place of the event before.
    latest: u64,
    items: Vec<Value>,
    usage: Option<Usage>,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Completed,
    Cut,
    Withheld,
}

impl Decoder {
    pub(super) fn is_done(&self) -> bool {
        self.end.is_some()
    }

    /// Reads an event. Its type is in the data; servers that leave it out there have it in the event's name.
    pub(super) fn event(&mut self, name: &str, event: &Value) -> Result<Vec<Piece>, Fault> {
        let kind = match text_of(&event["type"]) {
            "" => name,
            kind => kind,
        };
        let place = self.place(event, kind == "response.output_item.added");
        let mut pieces = Vec::new();
        match kind {
            "response.output_text.delta" | "response.refusal.delta" => {
                self.streamed.insert(place);
                self.show_text(text_of(&event["delta"]), &mut pieces);
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.streamed.insert(place);
                self.show_thinking(text_of(&event["delta"]), &mut pieces);
            }
            // A summary has paragraphs.
            "response.reasoning_summary_part.added" if !self.thinking.is_empty() => {
                self.show_thinking("\n\n", &mut pieces);
            }
            "response.output_item.added" => self.begin(place, &event["item"], &mut pieces),
            "response.function_call_arguments.delta" => {
                let call = self.calls.at(place, "");
                call.arguments.push_str(text_of(&event["delta"]));
            }
            "response.output_item.done" => self.item(place, &event["item"], &mut pieces),
            "response.completed" | "response.incomplete" | "response.failed" => {
                self.end(kind, &event["response"], &mut pieces)?;
            }
            "error" => {
                let error = event.get("error").filter(|error| !error.is_null());
                return Err(Fault::reported(error.unwrap_or(event)));
            }
            // There are some fifty kinds of events, of which most repeat what others say.
            _ => {}
        }
        Ok(pieces)
    }

    /// The place of an event in the answer.
    fn place(&mut self, event: &Value, begins: bool) -> u64 {
        let item = &event["item"];
        let ids = [&event["item_id"], &item["id"], &item["call_id"]].map(text_of);
        let mut ids = ids.into_iter().filter(|id| !id.is_empty()).peekable();
        let place = match event["output_index"].as_u64() {
            Some(place) => {
                self.numbers = true;
                place
            }
            None => match ids.clone().find_map(|id| self.ids.get(id)) {
                Some(place) => *place,
                // The first id may be of what has come without one.
                None if self.ids.is_empty() && !begins => self.latest,
                None if begins || ids.peek().is_some() => self.ids.len() as u64 + 1,
                None => self.latest,
            },
        };
        for id in ids {
            self.ids.entry(id.to_owned()).or_insert(place);
        }
        self.latest = place;
        place
    }

    /// Reads an answer that came in one piece.
    pub(super) fn whole(&mut self, response: &Value) -> Result<Vec<Piece>, Fault> {
        if let Some(error) = response.get("error").filter(|error| !error.is_null()) {
            return Err(Fault::reported(error));
        }
        let mut pieces = Vec::new();
        let kind = match text_of(&response["status"]) {
            "incomplete" => "response.incomplete",
            "failed" | "cancelled" => return Err(Fault::reported(response)),
            _ if !response["output"].is_array() => {
                return Err(Fault::Malformed("there is no `output`".to_owned()));
            }
            _ => "response.completed",
        };
        self.end(kind, response, &mut pieces)?;
        Ok(pieces)
    }

    fn show_text(&mut self, text: &str, pieces: &mut Vec<Piece>) {
        if !text.is_empty() {
            self.text.push_str(text);
            pieces.push(Piece::Text(text.to_owned()));
        }
    }

    fn show_thinking(&mut self, text: &str, pieces: &mut Vec<Piece>) {
        if !text.is_empty() {
            self.thinking.push_str(text);
            pieces.push(Piece::Thinking(text.to_owned()));
        }
    }

    fn begin(&mut self, place: u64, item: &Value, pieces: &mut Vec<Piece>) {
        if item["type"] == "function_call" {
            let call = self.calls.at(place, text_of(&item["call_id"]));
            call.add_name(text_of(&item["name"]));
            pieces.push(Piece::Call);
        }
    }

    /// A finished item: what it is as a whole, whatever of it has come in deltas.
    fn item(&mut self, place: u64, item: &Value, pieces: &mut Vec<Piece>) {
        match text_of(&item["type"]) {
            "function_call" => {
                let call = self.calls.at(place, text_of(&item["call_id"]));
                text_of(&item["name"]).clone_into(&mut call.name);
                text_of(&item["arguments"]).clone_into(&mut call.arguments);
                self.streamed.insert(place);
            }
            "message" if self.streamed.insert(place) => {
                for part in item["content"].as_array().into_iter().flatten() {
                    let text = [&part["text"], &part["refusal"]].map(text_of).concat();
                    self.show_text(&text, pieces);
                }
            }
            "reasoning" => {
                if self.streamed.insert(place) {
                    for part in ["summary", "content"]
                        .iter()
                        .filter_map(|key| item[*key].as_array())
                        .flatten()
                    {
                        self.show_thinking(text_of(&part["text"]), pieces);
                    }
                }
                // Only what the server can read again without having kept it.
                if !text_of(&item["encrypted_content"]).is_empty() && !self.items.contains(item) {
                    self.items.push(item.clone());
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, kind: &str, response: &Value, pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        self.usage = response.get("usage").and_then(Usage::read);
        if kind == "response.failed" {
            return Err(Fault::reported(&response["error"]));
        }
        // All of it once more; what no event has told is told now.
        let output = response["output"].as_array();
        for (place, item) in (0..).zip(output.into_iter().flatten()) {
            let is_told = match text_of(&item["type"]) {
                // Told once is done once, whatever place it had; of its arguments this is the last word.
                "function_call" if let Some(call) = self.calls.find(text_of(&item["call_id"])) => {
                    let arguments = text_of(&item["arguments"]);
                    if !arguments.is_empty() {
                        arguments.clone_into(&mut call.arguments);
                    }
                    true
                }
                _ if self.numbers => self.streamed.contains(&place),
                "message" => !self.text.is_empty(),
                "reasoning" => !self.thinking.is_empty(),
                _ => false,
            };
            if !is_told {
                self.item(place, item, pieces);
            }
        }
        let reason = text_of(&response["incomplete_details"]["reason"]);
        self.end = Some(match (kind, reason) {
            ("response.incomplete", "content_filter") => End::Withheld,
            ("response.incomplete", _) => End::Cut,
            _ => End::Completed,
        });
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Reply, Fault> {
        let is_cut = match self.end {
            Some(End::Completed) => false,
            Some(End::Cut) => true,
            Some(End::Withheld) => return Err(Fault::Withheld),
            None => return Err(Fault::Incomplete),
        };
        Ok(Reply {
            is_cut,
            usage: self.usage,
            said: Said {
                text: self.text,
                thinking: self.thinking,
                calls: self.calls.finish(),
                items: self.items,
            },
        })
    }
}

#[cfg(test)]
mod tests;
