//! What is wrong with a request, as far as the real API would say so.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Asked, KEY};

/// The status and the words of a refusal.
pub(super) fn fault(asked: &Asked) -> Option<(u16, String)> {
    let key = asked.headers.get("authorization");
    if key.is_none_or(|key| key != &format!("Bearer {KEY}")) {
        // The real one shows the key's ends; others show all of it.
        let shown = key.and_then(|key| key.to_str().ok()).unwrap_or_default();
        return Some((401, format!("Incorrect API key provided: {shown}.")));
    }
    let problem = if asked.path.ends_with("/responses") {
        responses(&asked.body)
    } else {
        chat(&asked.body)
    };
    problem.err().map(|problem| (400, problem))
}

type Judged = Result<(), String>;

fn list<'a>(body: &'a Value, key: &str) -> Result<&'a [Value], String> {
    match &body[key] {
        Value::Array(list) if !list.is_empty() => Ok(list),
        other => Err(format!(
            "`{key}` must be a list that is not empty, not {other}"
        )),
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value[key]
        .as_str()
        .ok_or_else(|| format!("`{key}` must be a text in {value}"))
}

fn one_of(value: &Value, key: &str, known: &[&str]) -> Judged {
    let text = text(value, key)?;
    if known.contains(&text) {
        return Ok(());
    }
    Err(format!("`{key}` must be one of {known:?} in {value}"))
}

fn chat(body: &Value) -> Judged {
    text(body, "model")?;
    if body["stream"] != true {
        return Err("`stream` must be true".to_owned());
    }
    let mut open: BTreeSet<String> = BTreeSet::new();
    for message in list(body, "messages")? {
        one_of(message, "role", &["system", "user", "assistant", "tool"])?;
        let role = text(message, "role")?;
        if role != "tool" && !open.is_empty() {
            return Err(format!(
                "tool calls without a result before {message}: {open:?}"
            ));
        }
        match role {
            "tool" => {
                text(message, "content")?;
                let id = text(message, "tool_call_id")?;
                if !open.remove(id) {
                    return Err(format!("a result without a call: {message}"));
                }
            }
            "assistant" => {
                let calls = message["tool_calls"].as_array();
                if calls.is_none() {
                    text(message, "content")?;
                }
                for call in calls.into_iter().flatten() {
                    let function = &call["function"];
                    name(text(function, "name")?)?;
                    arguments(text(function, "arguments")?)?;
                    open.insert(text(call, "id")?.to_owned());
                }
            }
            _ => content(&message["content"], "text", "image_url")?,
        }
    }
    if !open.is_empty() {
        return Err(format!("tool calls without a result: {open:?}"));
    }
    let functions = body["tools"].as_array().into_iter().flatten();
    functions.map(|tool| &tool["function"]).try_for_each(tool)
}

fn responses(body: &Value) -> Judged {
    text(body, "model")?;
    if body["stream"] != true {
        return Err("`stream` must be true".to_owned());
    }
    let mut open: BTreeSet<String> = BTreeSet::new();
    for item in list(body, "input")? {
        let kinds = [
            "message",
            "function_call",
            "function_call_output",
            "reasoning",
        ];
        one_of(item, "type", &kinds)?;
        match text(item, "type")? {
            "message" => {
                one_of(item, "role", &["user", "assistant"])?;
                let kind = match text(item, "role")? {
                    "user" => "input_text",
                    _ => "output_text",
                };
                content(&item["content"], kind, "input_image")?;
            }
            "function_call" => {
                name(text(item, "name")?)?;
                arguments(text(item, "arguments")?)?;
                open.insert(text(item, "call_id")?.to_owned());
            }
            "function_call_output" => {
                let id = text(item, "call_id")?;
                if !open.remove(id) {
                    return Err(format!("a result without a call: {item}"));
                }
            }
            // Nothing is stored, so only what is in the item itself can be read again.
            _ => text(item, "encrypted_content").map(drop)?,
        }
    }
    if !open.is_empty() {
        return Err(format!("No tool output found for function calls {open:?}"));
    }
    body["tools"]
        .as_array()
        .into_iter()
        .flatten()
        .try_for_each(tool)
}

fn content(content: &Value, text_kind: &str, image_kind: &str) -> Judged {
    let parts = match content {
        Value::String(_) => return Ok(()),
        Value::Array(parts) if !parts.is_empty() => parts,
        other => return Err(format!("content must be a text or a list, not {other}")),
    };
    for part in parts {
        one_of(part, "type", &[text_kind, image_kind])?;
        if part["type"] == text_kind {
            text(part, "text")?;
            continue;
        }
        let url = match &part["image_url"] {
            Value::String(url) if image_kind == "input_image" => url,
            object if image_kind == "image_url" => text(object, "url")?,
            other => return Err(format!("no image: {other}")),
        };
        if !url.starts_with("data:image/") || !url.contains(";base64,") {
            return Err(format!("no image: {url}"));
        }
    }
    Ok(())
}

fn tool(tool: &Value) -> Judged {
    name(text(tool, "name")?)?;
    text(tool, "description")?;
    match tool["parameters"]["type"] == "object" {
        true => Ok(()),
        false => Err(format!("`parameters` must be an object's schema in {tool}")),
    }
}

fn name(name: &str) -> Judged {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    match !name.is_empty() && name.len() <= 64 && name.chars().all(fits) {
        true => Ok(()),
        false => Err(format!(
            "a function's name must match ^[a-zA-Z0-9_-]{{1,64}}$, not {name}"
        )),
    }
}

/// Some servers read them.
fn arguments(arguments: &str) -> Judged {
    match serde_json::from_str(arguments) {
        Ok(Value::Object(_)) => Ok(()),
        _ => Err(format!("arguments that are no JSON object: {arguments}")),
    }
}
