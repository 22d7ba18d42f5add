//! What the agent receives as content: the client's text and a note each about images and files.

/// `content` followed by the notes.
///
/// `images` is their number; `files` are names and paths as the guard admitted them.
#[must_use]
pub fn with_notes<'a>(
    content: &str,
    images: usize,
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut text = content.to_owned();
    if images > 0 {
        let noun = if images == 1 { "image" } else { "images" };
        text.push_str(&format!(
            "\n\n[{images} {noun} attached inline — already in your context, no extra loading needed.]"
        ));
    }
    let mut files = files.into_iter().peekable();
    if files.peek().is_some() {
        text.push_str("\n\n[Uploaded files on disk:");
        for (name, path) in files {
            text.push_str("\n- ");
            text.push_str(name);
            text.push_str(" → ");
            text.push_str(path);
        }
        text.push(']');
    }
    text
}
