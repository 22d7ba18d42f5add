//! What a model is asked and what it answers, whichever of the two APIs carries it.
//!
//! [`Prompt`] becomes a request body, and the events of its answer go through a [`Decoder`], which says what is
//! to be shown at once ([`Piece`]) and in the end what the answer was ([`Reply`]).

pub(crate) mod calls;
pub(crate) mod chat;
mod fault;
pub(crate) mod responses;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plugin_api::serde_json::{self, Map, Value};

pub(crate) use self::fault::{Fault, message_of};
use crate::config::Api;

/// What a model is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prompt<'a> {
    pub(crate) model: &'a str,
    /// May be empty: then there is none.
    pub(crate) system: &'a str,
    pub(crate) messages: &'a [Message],
    pub(crate) tools: &'a [ToolDefinition],
    /// More keys of the request.
    pub(crate) parameters: &'a Map<String, Value>,
    /// Whether reasoning is sent back.
    pub(crate) return_reasoning: bool,
}

impl Prompt<'_> {
    /// The parameters, of which the API refuses those about tools where there are none.
    fn fitting_parameters(&self) -> impl Iterator<Item = (&String, &Value)> {
        let about_tools = ["parallel_tool_calls", "tool_choice"];
        let fits = move |key: &str| !self.tools.is_empty() || !about_tools.contains(&key);
        self.parameters.iter().filter(move |(key, _)| fits(key))
    }

    /// The body of a request.
    pub(crate) fn body(&self, api: Api) -> Value {
        match api {
            Api::ChatCompletions => chat::body(self),
            Api::Responses => responses::body(self),
        }
    }
}

/// A tool, as models are told of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolDefinition {
    pub(crate) name: String,
    pub(crate) description: String,
    /// JSON Schema of the arguments.
    pub(crate) schema: Value,
}

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    User {
        text: String,
        images: Vec<ImageUrl>,
    },
    Assistant(Said),
    ToolResult {
        call_id: String,
        text: String,
        images: Vec<ImageUrl>,
    },
}

/// A `data:` URL.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ImageUrl(pub(crate) String);

impl ImageUrl {
    pub(crate) fn of(media_type: &str, bytes: &[u8]) -> Self {
        let data = STANDARD.encode(bytes);
        Self(format!("data:{media_type};base64,{data}"))
    }
}

/// What a model said once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) thinking: String,
    pub(crate) calls: Vec<Call>,
    /// Items of the API's own that it wants back as they are (reasoning, encrypted).
    pub(crate) items: Vec<Value>,
}

/// A tool call that a model asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    /// JSON, as the model wrote it: perhaps none.
    pub(crate) arguments: String,
}

impl Message {
    pub(crate) fn user(text: impl Into<String>) -> Self {
        Self::User {
            text: text.into(),
            images: Vec::new(),
        }
    }

    /// About how many tokens it takes: a token is about four bytes of text, an image some hundreds of tokens.
    pub(crate) fn estimate(&self) -> u64 {
        const IMAGE_TOKENS: u64 = 800;
        const AROUND: u64 = 4;
        let (bytes, images) = match self {
            Self::User { text, images } | Self::ToolResult { text, images, .. } => {
                (text.len(), images.len())
            }
            Self::Assistant(said) => {
                let calls = said.calls.iter();
                let calls: usize = calls
                    .map(|call| call.name.len() + call.arguments.len())
                    .sum();
                (said.text.len() + calls, 0)
            }
        };
        bytes as u64 / BYTES_PER_TOKEN + images as u64 * IMAGE_TOKENS + AROUND
    }
}

/// A rule of thumb for English text, on the safe side for code.
pub(crate) const BYTES_PER_TOKEN: u64 = 4;

/// Tokens, as the API counts them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Usage {
    /// What was sent and what came, together.
    pub(crate) total: u64,
    /// What came, reasoning included.
    pub(crate) generated: u64,
}

impl Usage {
    /// Reads either API's `usage`; none where there is no number in it.
    fn read(usage: &Value) -> Option<Self> {
        let number = |keys: [&str; 2]| keys.iter().find_map(|key| usage.get(*key)?.as_u64());
        let sent = number(["prompt_tokens", "input_tokens"]);
        let came = number(["completion_tokens", "output_tokens"]);
        let sum = match (sent, came) {
            (None, None) => None,
            (sent, came) => Some(sent.unwrap_or(0).saturating_add(came.unwrap_or(0))),
        };
        let total = usage.get("total_tokens").and_then(Value::as_u64).or(sum)?;
        // Nothing is asked with no tokens: such a server counts nothing.
        (total > 0).then_some(Self {
            total,
            generated: came.unwrap_or(0),
        })
    }
}

/// What is to be shown of an answer while it comes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Piece {
    Text(String),
    Thinking(String),
    /// A tool call has begun: the thinking is over.
    Call,
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reply {
    pub(crate) said: Said,
    pub(crate) usage: Option<Usage>,
    /// Whether the answer ends because it has reached its greatest length.
    pub(crate) is_cut: bool,
}

/// Reads the events of an answer.
#[derive(Debug)]
pub(crate) enum Decoder {
    Chat(chat::Decoder),
    Responses(responses::Decoder),
}

impl Decoder {
    pub(crate) fn new(api: Api) -> Self {
        match api {
            Api::ChatCompletions => Self::Chat(chat::Decoder::default()),
            Api::Responses => Self::Responses(responses::Decoder::default()),
        }
    }

    /// Reads an event; `name` is its `event:` line, or empty.
    pub(crate) fn event(&mut self, name: &str, data: &str) -> Result<Vec<Piece>, Fault> {
        if data.trim() == "[DONE]" {
            if let Self::Chat(decoder) = self {
                decoder.is_done = true;
            }
            return Ok(Vec::new());
        }
        let value: Value = serde_json::from_str(data)
            .map_err(|error| Fault::Malformed(format!("an event is not JSON ({error})")))?;
        match self {
            Self::Chat(decoder) => decoder.chunk(&value),
            Self::Responses(decoder) => decoder.event(name, &value),
        }
    }

    /// Reads an answer that came in one piece, from a server that does not stream.
    pub(crate) fn whole(&mut self, body: &Value) -> Result<Vec<Piece>, Fault> {
        match self {
            Self::Chat(decoder) => {
                let pieces = decoder.chunk(body)?;
                match body["choices"].is_array() {
                    true => Ok(pieces),
                    false => Err(Fault::Malformed("there are no `choices`".to_owned())),
                }
            }
            Self::Responses(decoder) => decoder.whole(body),
        }
    }

    /// Whether nothing more comes, although the connection may stay open.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Chat(decoder) => decoder.is_done,
            Self::Responses(decoder) => decoder.is_done(),
        }
    }

    /// The answer, when all events have come.
    pub(crate) fn finish(self) -> Result<Reply, Fault> {
        match self {
            Self::Chat(decoder) => decoder.finish(),
            Self::Responses(decoder) => decoder.finish(),
        }
    }
}

/// The text of a JSON string; empty for anything else.
fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::json;

    use super::*;

    #[test]
    fn parameters_about_tools_are_sent_with_tools_alone() {
        let Value::Object(parameters) =
            json!({"temperature": 1, "parallel_tool_calls": false, "tool_choice": "auto"})
        else {
            unreachable!()
        };
        let tool = ToolDefinition {
            name: "add".to_owned(),
            description: String::new(),
            schema: json!({}),
        };
        let messages = [Message::user("hello")];
        for api in [Api::ChatCompletions, Api::Responses] {
            for tools in [&[][..], std::slice::from_ref(&tool)] {
                let prompt = Prompt {
                    model: "m",
                    system: "",
                    messages: &messages,
                    tools,
                    parameters: &parameters,
                    return_reasoning: false,
                };
                let body = prompt.body(api);
                assert_eq!(body["temperature"], 1);
                for key in ["tools", "parallel_tool_calls", "tool_choice"] {
                    assert_eq!(body.get(key).is_some(), !tools.is_empty(), "{key}");
                }
            }
        }
    }
}
