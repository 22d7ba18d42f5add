//! What is secret, taken out of texts that the program may have written.

use plugin_api::serde_json;

/// What is shorter is no secret, and is found in many a text.
const SECRET_BYTES: usize = 6;
/// How much of a line is looked at.
const LINE_BYTES: usize = 4096;

/// The secrets of an agent.
#[derive(Debug, Default)]
pub(crate) struct Mask {
    /// Longer ones first, so that none is taken for a shorter one that it contains.
    secrets: Vec<String>,
}

impl Mask {
    /// Each of them is hidden whole, line by line, and as it stands in JSON.
    pub(crate) fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut secrets = Vec::new();
        for value in values {
            for part in [value].into_iter().chain(value.lines()) {
                let part = part.trim();
                if part.len() < SECRET_BYTES {
                    continue;
                }
                secrets.push(part.to_owned());
                let json = serde_json::Value::from(part).to_string();
                secrets.push(json[1..json.len() - 1].to_owned());
            }
        }
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        Self { secrets }
    }

    /// The text with `***` in the place of each, then cut to `most` bytes.
    pub(crate) fn text(&self, text: &str, most: usize) -> String {
        cut(self.hidden(text), most)
    }

    /// The same of a line, of which the beginning may be all that there is.
    pub(crate) fn line(&self, line: &[u8], most: usize) -> String {
        let text = String::from_utf8_lossy(&line[..line.len().min(LINE_BYTES)]);
        let mut text = text.trim();
        if line.len() >= LINE_BYTES {
            // Half a letter, and then the beginning of a secret of which the rest was cut off.
            text = text.trim_end_matches('\u{fffd}');
            text = &text[..text.len() - self.begun_at_end(text)];
        }
        cut(self.hidden(text), most)
    }

    fn hidden(&self, text: &str) -> String {
        let hide = |text: String, secret: &String| text.replace(secret, "***");
        self.secrets.iter().fold(text.to_owned(), hide)
    }

    /// How much at the end of a text is a secret, or the beginning of one.
    fn begun_at_end(&self, text: &str) -> usize {
        let begun = |secret: &String| {
            let ends = secret
                .char_indices()
                .map(|(at, letter)| at + letter.len_utf8());
            ends.rev().find(|end| text.ends_with(&secret[..*end]))
        };
        self.secrets.iter().filter_map(begun).max().unwrap_or(0)
    }
}

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

/// A line as it is read, of which no more is kept than [`Mask::line`] looks at.
#[derive(Debug, Default)]
pub(crate) struct Line(Vec<u8>);

impl Line {
    pub(crate) fn push(&mut self, byte: u8) {
        if self.0.len() < LINE_BYTES {
            self.0.push(byte);
        }
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_secret_is_left() {
        let mask = Mask::new([
            "sk-123",
            "sk-123456",
            "BEGIN\nfirst \"line\"\nsecond line\n}",
            "short",
        ]);
        let text = |text: &str| mask.text(text, 1000);
        assert_eq!(text("the key sk-123456, or sk-123"), "the key ***, or ***");
        assert_eq!(text("BEGIN\nfirst \"line\"\nsecond line\n}"), "***");
        assert_eq!(text("second line }"), "*** }");
        assert_eq!(text(r#"{"x":"first \"line\""}"#), r#"{"x":"***"}"#);
        assert_eq!(text("in short"), "in short");
    }

    #[test]
    fn what_is_cut_was_masked_before() {
        let mask = Mask::new(["secret-secret"]);
        assert_eq!(mask.text("a secret-secret b", 8), "a *** b");
        assert_eq!(mask.text("a secret-secret b and more", 7), "a *** b…");
        let mut line = Line::default();
        let long = "secret-secret".repeat(LINE_BYTES);
        long.bytes().for_each(|byte| line.push(byte));
        let line = mask.line(&line.take(), 10_000);
        assert_eq!(line.trim_matches('*'), "");
        assert_eq!(line.len(), 3 * (LINE_BYTES / "secret-secret".len()));
    }
}
