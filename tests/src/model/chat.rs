//! Answers of Chat Completions.

use serde_json::{Value, json};

use super::Answer;

/// A chunk with this delta.
#[must_use]
pub fn chunk(delta: &Value) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_770_000_000, "model": "test-model",
        "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}], "usage": null,
    })
}

/// The chunk that says why the answer ends.
#[must_use]
pub fn finish(reason: &str) -> Value {
    let mut chunk = chunk(&json!({}));
    chunk["choices"][0]["finish_reason"] = reason.into();
    chunk
}

/// The chunk with the tokens, sent and generated.
#[must_use]
pub fn usage(sent: u64, came: u64) -> Value {
    let mut chunk = chunk(&json!({}));
    chunk["choices"] = json!([]);
    chunk["usage"] = json!({
        "prompt_tokens": sent, "completion_tokens": came, "total_tokens": sent + came,
    });
    chunk
}

impl Answer {
    /// Then a chunk with this delta.
    #[must_use]
    pub fn delta(self, delta: &Value) -> Self {
        self.data(&chunk(delta))
    }

    /// Then a piece of text.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.delta(&json!({"content": text}))
    }

    /// Then a piece of reasoning, as DeepSeek, vLLM and llama.cpp send it.
    #[must_use]
    pub fn reasoning(self, text: &str) -> Self {
        self.delta(&json!({"reasoning_content": text}))
    }

    /// Then the end: why, the tokens, `[DONE]`.
    #[must_use]
    pub fn end(self, reason: &str, sent: u64, came: u64) -> Self {
        self.data(&finish(reason))
            .data(&usage(sent, came))
            .bytes("data: [DONE]\n\n")
    }
}

/// A stream that has begun as the real one does.
#[must_use]
pub fn begin() -> Answer {
    Answer::stream().delta(&json!({"role": "assistant", "content": "", "refusal": null}))
}

/// A whole answer of these pieces of text; 10 tokens sent, 5 generated.
#[must_use]
pub fn says(pieces: &[&str]) -> Answer {
    let text = pieces
        .iter()
        .fold(begin(), |answer, piece| answer.text(piece));
    text.end("stop", 10, 5)
}

/// Tool calls, each id, name and arguments. The arguments come in fragments of three characters, those of all calls
/// in turn.
#[must_use]
pub fn fragments(answer: Answer, calls: &[(&str, &str, &str)]) -> Answer {
    let mut answer = answer;
    let mut rest: Vec<Vec<char>> = Vec::new();
    for (index, (id, name, arguments)) in calls.iter().enumerate() {
        answer = answer.delta(&json!({"tool_calls": [{
            "index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""},
        }]}));
        rest.push(arguments.chars().collect());
    }
    while rest.iter().any(|rest| !rest.is_empty()) {
        for (index, rest) in rest.iter_mut().enumerate() {
            let piece: String = rest.drain(..rest.len().min(3)).collect();
            if !piece.is_empty() {
                answer = answer.delta(&json!({"tool_calls": [{
                    "index": index, "function": {"arguments": piece},
                }]}));
            }
        }
    }
    answer
}

/// A whole answer of tool calls; 10 tokens sent, 5 generated.
#[must_use]
pub fn calls(calls: &[(&str, &str, &str)]) -> Answer {
    fragments(begin(), calls).end("tool_calls", 10, 5)
}
