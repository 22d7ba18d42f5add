//! What a server says, made fit to be shown: without secrets, not endless, and on one line where it is logged.

use std::fmt;

use plugin_api::serde_json;

/// The most characters of a server's own words that are passed on.
const MESSAGE_CHARS: usize = 1000;

/// A secret is looked for in what a server says if it has at least so many bytes; a shorter one is none.
const SECRET_BYTES: usize = 6;

/// What must not be read anywhere.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Secrets {
    /// Each is hidden whole, line by line, and as it stands in JSON.
    pub(crate) fn new(secrets: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut hidden = Vec::new();
        for secret in secrets {
            let secret = secret.as_ref();
            // A file usually ends with a line break.
            for part in [secret].into_iter().chain(secret.lines()) {
                let part = part.trim();
                if part.len() >= SECRET_BYTES {
                    let json = serde_json::Value::from(part).to_string();
                    hidden.extend([part.to_owned(), json[1..json.len() - 1].to_owned()]);
                }
            }
        }
        // The longest first, should one hold another.
        hidden.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        hidden.dedup();
        Self(hidden)
    }

    /// A text from outside, fit to be passed on.
    pub(crate) fn without(&self, text: &str) -> String {
        cut(&self.hidden(text), MESSAGE_CHARS)
    }

    fn hidden(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "***");
            }
        }
        text
    }

    /// The beginning of a line, of which the rest was not kept: without secrets, and without the beginning of one at its
    /// end.
    pub(crate) fn beginning(&self, line: &[u8]) -> String {
        let text = String::from_utf8_lossy(line);
        // Half a letter.
        let text = text.trim_end_matches('\u{fffd}');
        self.hidden(&text[..text.len() - self.begun(text)])
    }

    /// How much at the end of a text is a secret, or the beginning of one.
    fn begun(&self, text: &str) -> usize {
        let begun = |secret: &String| {
            let ends = secret
                .char_indices()
                .map(|(at, letter)| at + letter.len_utf8());
            ends.rev().find(|end| text.ends_with(&secret[..*end]))
        };
        self.0.iter().filter_map(begun).max().unwrap_or(0)
    }

    /// As [`without`](Self::without), on one line: what controls a terminal is shown as an escape.
    pub(crate) fn line(&self, text: &str) -> String {
        let text = self.without(text.trim_end());
        if !text.contains(char::is_control) {
            return text;
        }
        let shown = |c: char| match c.is_control() && c != '\t' {
            true => c.escape_default().collect::<String>(),
            false => c.to_string(),
        };
        text.chars().map(shown).collect()
    }
}

/// The beginning of a text.
pub(crate) fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{} […]", &text[..end]),
        None => text.to_owned(),
    }
}

/// An error and what caused it, each told once.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_are_passed_on_without_secrets_and_not_endlessly() {
        let secrets = Secrets::new(["sk-12345\n", "sk-1", "sk-12345-more"]);
        assert_eq!(
            secrets.without("wrong: sk-12345! sk-12345-more"),
            "wrong: ***! ***"
        );
        assert_eq!(secrets.without("sk-1"), "sk-1");
        assert_eq!(secrets.beginning(b"sk-12345-more sk-1234"), "*** ");
        assert_eq!(secrets.beginning(b"sk-12345 sk-12345-mor"), "*** ");
        assert_eq!(secrets.beginning(b"all of it"), "all of it");
        let long = secrets.without(&"ä".repeat(2000));
        assert_eq!(long.chars().count(), MESSAGE_CHARS + 4);
        assert_eq!(format!("{secrets:?}"), "***");
        let secrets = Secrets::new(["-----BEGIN-----\nline \"one\"\n-----END-----\n"]);
        assert_eq!(
            secrets.without("-----BEGIN-----\nline \"one\"\n-----END-----"),
            "***"
        );
        assert_eq!(secrets.without(r#"{"x":"line \"one\""}"#), r#"{"x":"***"}"#);
    }

    #[test]
    fn a_line_of_a_log_stays_one() {
        let secrets = Secrets::default();
        assert_eq!(
            secrets.line("red \u{1b}[31m\nnext\r\n"),
            "red \\u{1b}[31m\\nnext"
        );
        assert_eq!(secrets.line("täglich\t\n"), "täglich");
    }

    #[test]
    fn each_cause_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer: {0}")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("inner"));
        assert_eq!(causes(&error), "outer: inner");
    }
}
