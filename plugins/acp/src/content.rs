//! What comes of a call, and what a message says, as text.

use std::path::Path;

use agent_client_protocol_schema::v1::{
    ContentBlock, Diff, EmbeddedResourceResource, ToolCall, ToolCallContent,
};
use plugin_api::serde_json::{Value, json};

/// The longest result that is shown whole.
const RESULT_BYTES: usize = 256 * 1024;
/// The largest text of a difference that is shown.
const DIFF_BYTES: usize = 128 * 1024;

/// A change of a file; of a large one how large it is.
pub(crate) fn difference(diff: &Diff) -> Value {
    let size = diff.new_text.len() + diff.old_text.as_ref().map_or(0, String::len);
    match size <= DIFF_BYTES {
        true => json!({"path": diff.path, "old_text": diff.old_text, "new_text": diff.new_text}),
        false => json!({"path": diff.path, "bytes": size}),
    }
}

/// What a call has given: its content, otherwise its output as it is.
pub(crate) fn result_text(call: &ToolCall) -> String {
    let text = content_text(&call.content);
    if !text.is_empty() {
        return text;
    }
    match &call.raw_output {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => cut(text.clone()),
        Some(output) => cut(output.to_string()),
    }
}

/// The content as text.
pub(crate) fn content_text(content: &[ToolCallContent]) -> String {
    let texts = content.iter().map(|content| match content {
        ToolCallContent::Content(content) => block_text(&content.content),
        ToolCallContent::Diff(diff) => changed(&diff.path, diff.old_text.is_none()),
        _ => String::new(),
    });
    let texts: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
    cut(texts.join("\n"))
}

fn changed(path: &Path, is_new: bool) -> String {
    match is_new {
        true => format!("Written: {}", path.display()),
        false => format!("Changed: {}", path.display()),
    }
}

fn cut(mut text: String) -> String {
    if text.len() > RESULT_BYTES {
        text.truncate(text.floor_char_boundary(RESULT_BYTES));
        text += "\n[cut]";
    }
    text
}

/// A piece of content as text: what is none is named.
pub(crate) fn block_text(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => format!("[image: {}]", image.mime_type),
        ContentBlock::Audio(audio) => format!("[audio: {}]", audio.mime_type),
        ContentBlock::ResourceLink(link) => format!("[{}]({})", link.name, link.uri),
        ContentBlock::Resource(resource) => match &resource.resource {
            EmbeddedResourceResource::TextResourceContents(text) => text.text.clone(),
            EmbeddedResourceResource::BlobResourceContents(blob) => format!("[{}]", blob.uri),
            _ => String::new(),
        },
        _ => String::new(),
    }
}
