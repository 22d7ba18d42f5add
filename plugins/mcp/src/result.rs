//! What a tool gave, as the host takes it.

use plugin_api::serde_json::{Map, Value, json};
use plugin_api::{Part, ToolOutput, serde_json};
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};

/// A structured result that clients see as metadata has at most so many bytes of JSON.
const METADATA_BYTES: usize = 64 << 10;

/// The output of a call.
pub(crate) fn output(result: CallToolResult, server: &str, tool: &str) -> ToolOutput {
    let mut texts = Vec::new();
    let mut parts = Vec::new();
    for block in result.content {
        content(block, &mut texts, &mut parts);
    }
    let mut metadata = Map::new();
    metadata.insert("mcp".to_owned(), json!({"server": server, "tool": tool}));
    if let Some(value) = result.structured_content {
        let json = value.to_string();
        if json.len() <= METADATA_BYTES {
            metadata.insert("structured_content".to_owned(), value.clone());
        }
        parts.push(Part::json(value));
        if texts.is_empty() {
            texts.push(json);
        }
    }
    let text = texts.join("\n");
    let output = match result.is_error {
        Some(true) if text.is_empty() => ToolOutput::failure("it says no more than that it failed"),
        Some(true) => ToolOutput::failure(text),
        _ => ToolOutput::text(text),
    };
    parts
        .into_iter()
        .fold(output.with_metadata(metadata), ToolOutput::with_part)
}

/// A piece of content as text, which models read, and what else there is of it.
fn content(block: ContentBlock, texts: &mut Vec<String>, parts: &mut Vec<Part>) {
    match block {
        ContentBlock::Text(text) => texts.push(text.text),
        ContentBlock::Image(image) => {
            texts.push(format!("[image, {}]", image.mime_type));
            parts.push(Part::image(image.mime_type, image.data));
        }
        ContentBlock::Audio(audio) => {
            texts.push(format!("[audio, {}]", audio.mime_type));
            parts.push(Part::json(json!({
                "type": "audio", "media_type": audio.mime_type, "data": audio.data
            })));
        }
        ContentBlock::Resource(resource) => embedded(resource.resource, texts, parts),
        ContentBlock::ResourceLink(link) => {
            let name = link.title.as_deref().unwrap_or(&link.name);
            texts.push(match &link.description {
                Some(description) => format!("[resource {}: {name} – {description}]", link.uri),
                None => format!("[resource {}: {name}]", link.uri),
            });
            if let Ok(value) = serde_json::to_value(&link) {
                parts.push(Part::json(
                    json!({"type": "resource_link", "resource": value}),
                ));
            }
        }
        _ => texts.push("[content of a kind that is not known]".to_owned()),
    }
}

fn embedded(resource: ResourceContents, texts: &mut Vec<String>, parts: &mut Vec<Part>) {
    match resource {
        ResourceContents::TextResourceContents { uri, text, .. } => {
            texts.push(format!("[resource {uri}]\n{text}"));
        }
        ResourceContents::BlobResourceContents {
            uri,
            mime_type,
            blob,
            ..
        } => {
            let kind = mime_type.unwrap_or_else(|| "application/octet-stream".to_owned());
            texts.push(format!("[resource {uri}, {kind}]"));
            parts.push(match kind.starts_with("image/") {
                true => Part::image(kind, blob),
                false => Part::json(json!({
                    "type": "resource", "uri": uri, "media_type": kind, "data": blob
                })),
            });
        }
        _ => texts.push("[a resource of a kind that is not known]".to_owned()),
    }
}

/// A result in which not all is what it should be: what of it is. None when it is no result of a tool at all.
pub(crate) fn lenient(mut value: Value) -> Option<CallToolResult> {
    let fields = value.as_object_mut()?;
    let Some(Value::Array(blocks)) = fields.get_mut("content").map(Value::take) else {
        return None;
    };
    let known = |block: Value| match serde_json::from_value::<ContentBlock>(block.clone()) {
        Ok(_) => block,
        Err(_) => {
            let kind = block["type"].as_str().unwrap_or("none").to_owned();
            json!({"type": "text", "text": format!("[content of a kind that is not known: {}]", kind.escape_debug())})
        }
    };
    let blocks = blocks.into_iter().map(known).collect();
    fields.insert("content".to_owned(), Value::Array(blocks));
    serde_json::from_value(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(result: Value) -> ToolOutput {
        output(serde_json::from_value(result).unwrap(), "s", "t")
    }

    #[test]
    fn text_is_text_and_the_rest_are_parts() {
        let output = of(json!({"content": [
            {"type": "text", "text": "one"},
            {"type": "image", "data": "AAAA", "mimeType": "image/png"},
            {"type": "audio", "data": "BBBB", "mimeType": "audio/wav"},
            {"type": "resource", "resource": {"uri": "a:1", "text": "two"}},
            {"type": "resource", "resource": {"uri": "a:2", "mimeType": "image/gif", "blob": "CCCC"}},
            {"type": "resource", "resource": {"uri": "a:3", "blob": "DDDD"}},
            {"type": "resource_link", "uri": "a:4", "name": "four", "description": "the fourth"}
        ]}));
        assert_eq!(
            output.text,
            "one\n[image, image/png]\n[audio, audio/wav]\n[resource a:1]\ntwo\n[resource a:2, image/gif]\n\
             [resource a:3, application/octet-stream]\n[resource a:4: four – the fourth]"
        );
        let parts = serde_json::to_value(&output.parts).unwrap();
        let data = |at: usize| match &parts[at]["value"] {
            Value::Null => parts[at]["data"].clone(),
            value => value["data"].clone(),
        };
        assert_eq!(
            [data(0), data(1), data(2), data(3)],
            ["AAAA", "BBBB", "CCCC", "DDDD"]
        );
        assert_eq!(parts[4]["value"]["resource"]["uri"], "a:4");
        assert_eq!(
            output.metadata.unwrap()["mcp"],
            json!({"server": "s", "tool": "t"})
        );
        assert!(output.success);
    }

    #[test]
    fn a_structured_result_is_a_part_and_metadata_and_text_where_there_is_none() {
        let output = of(json!({"content": [], "structuredContent": {"a": 1}}));
        assert_eq!(output.text, r#"{"a":1}"#);
        assert_eq!(output.parts, [Part::json(json!({"a": 1}))]);
        assert_eq!(
            output.metadata.unwrap()["structured_content"],
            json!({"a": 1})
        );
        let large = "x".repeat(METADATA_BYTES);
        let output =
            of(json!({"content": [{"type": "text", "text": "t"}], "structuredContent": large}));
        assert_eq!((output.text.as_str(), output.parts.len()), ("t", 1));
        assert_eq!(output.metadata.unwrap().len(), 1);
    }

    #[test]
    fn a_failure_is_one() {
        let output = of(json!({"content": [{"type": "text", "text": "no"}], "isError": true}));
        assert_eq!((output.success, output.text.as_str()), (false, "no"));
        let output = of(json!({"content": [], "isError": true}));
        assert_eq!(output.text, "it says no more than that it failed");
    }

    #[test]
    fn content_of_an_unknown_kind_does_not_cost_the_rest() {
        let result =
            json!({"content": [{"type": "smell", "data": 1}, {"type": "text", "text": "b"}]});
        let output = output(lenient(result).unwrap(), "s", "t");
        assert_eq!(
            output.text,
            "[content of a kind that is not known: smell]\nb"
        );
        assert!(lenient(json!({"contents": []})).is_none());
        assert!(lenient(json!(7)).is_none());
    }
}
