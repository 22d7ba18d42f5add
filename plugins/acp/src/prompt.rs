//! What an agent is asked: the message as blocks of content, and what it has missed before.

use std::path::{Path, PathBuf};

use agent_client_protocol_schema::v1::{
    ContentBlock, EmbeddedResource, EmbeddedResourceResource, ImageContent, PromptCapabilities,
    ResourceLink, TextContent, TextResourceContents,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plugin_api::{FileInfo, HistoryTurn, RunError, RunRequest, tokio};
use url::Url;

/// The largest upload that is sent whole.
const EMBEDDED_BYTES: u64 = 256 * 1024;
/// How much of an earlier turn is told, and of all of them.
const TURN_BYTES: usize = 16 * 1024;
const HISTORY_BYTES: usize = 192 * 1024;

/// The prompt, with the turns that the agent does not know.
pub(crate) async fn blocks(
    request: &RunRequest,
    capabilities: &PromptCapabilities,
    missed: &[HistoryTurn],
) -> Result<Vec<ContentBlock>, RunError> {
    let mut blocks = Vec::new();
    if let Some(told) = history(missed) {
        blocks.push(text(told));
    }
    let mut message = request.user_text.clone();
    if message.is_empty() {
        message.clone_from(&request.content);
    }
    let images = request.images.len();
    if images > 0 && !capabilities.image {
        let s = if images == 1 { "" } else { "s" };
        message +=
            &format!("\n\n[{images} image{s} came with this message, and cannot be shown to you.]");
    }
    blocks.push(text(message));
    if capabilities.image {
        for image in &request.images {
            let data = STANDARD.encode(image.bytes()?);
            blocks.push(ContentBlock::Image(ImageContent::new(
                data,
                image.media_type(),
            )));
        }
    }
    for file in &request.files {
        blocks.push(upload(file, capabilities.embedded_context).await);
    }
    Ok(blocks)
}

/// The paths of the message's uploads.
pub(crate) fn uploads(request: &RunRequest) -> impl Iterator<Item = PathBuf> {
    request.files.iter().map(|file| PathBuf::from(&file.path))
}

fn text(text: String) -> ContentBlock {
    ContentBlock::Text(TextContent::new(text))
}

/// An upload: itself where it is a short text and the agent takes it, otherwise where it is.
async fn upload(file: &FileInfo, embedded: bool) -> ContentBlock {
    let uri = Url::from_file_path(&file.path).map_or_else(|()| file.path.clone(), String::from);
    let content = match embedded {
        true => short_text(Path::new(&file.path)).await,
        false => None,
    };
    match content {
        Some(content) => {
            let text = TextResourceContents::new(content, uri);
            let text = EmbeddedResourceResource::TextResourceContents(text);
            ContentBlock::Resource(EmbeddedResource::new(text))
        }
        None => ContentBlock::ResourceLink(ResourceLink::new(file.name.clone(), uri)),
    }
}

async fn short_text(path: &Path) -> Option<String> {
    let size = tokio::fs::metadata(path).await.ok()?.len();
    match size <= EMBEDDED_BYTES {
        true => tokio::fs::read_to_string(path).await.ok(),
        false => None,
    }
}

/// The turns in words, the latest of them where they are many.
fn history(turns: &[HistoryTurn]) -> Option<String> {
    let mut told = Vec::new();
    let mut bytes = 0;
    for turn in turns.iter().rev() {
        let text = self::turn(turn);
        bytes += text.len();
        if bytes > HISTORY_BYTES {
            break;
        }
        told.push(text);
    }
    if told.is_empty() {
        return None;
    }
    told.reverse();
    Some(format!(
        "[This conversation has begun before you came to it. What was said until now:]\n\n{}\n\n[That was the conversation \
         until now. The user's next message follows.]",
        told.join("\n\n")
    ))
}

fn turn(turn: &HistoryTurn) -> String {
    if turn.role == "user" {
        let text = turn.user_text.as_deref().unwrap_or(&turn.content);
        return format!("User: {}", cut(text));
    }
    let note = match turn.status.as_str() {
        "completed" => "",
        "stopped" => " [stopped by the user]",
        _ => " [broken off by an error]",
    };
    format!("Assistant: {}{note}", cut(&turn.content))
}

fn cut(text: &str) -> String {
    match text.len() > TURN_BYTES {
        true => format!("{} […]", &text[..text.floor_char_boundary(TURN_BYTES)]),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(texts: &[(&str, &str)]) -> Vec<HistoryTurn> {
        let turn = |(role, text): &(&str, &str)| {
            let mut turn = HistoryTurn::default();
            turn.role = (*role).to_owned();
            turn.content = (*text).to_owned();
            turn.status = "completed".to_owned();
            turn
        };
        texts.iter().map(turn).collect()
    }

    #[test]
    fn what_was_missed_is_told_in_its_order() {
        assert_eq!(history(&[]), None);
        let mut missed = turns(&[("user", "Who?"), ("assistant", "Bob.")]);
        missed[1].status = "stopped".to_owned();
        let told = history(&missed).unwrap();
        assert!(
            told.contains("\n\nUser: Who?\n\nAssistant: Bob. [stopped by the user]\n\n"),
            "{told}"
        );
    }

    #[test]
    fn much_is_cut_and_the_latest_is_kept() {
        let long = "x".repeat(2 * TURN_BYTES);
        let mut all = vec![("user", long.as_str()); 100];
        all.push(("assistant", "the latest"));
        let told = history(&turns(&all)).unwrap();
        assert!(told.len() < HISTORY_BYTES + 1000, "{}", told.len());
        assert!(told.contains("the latest") && told.contains("x […]"));
    }
}
