//! What a server says, made fit to be shown: without secrets, not endless, and on one line where it is logged.

use std::cmp::Reverse;
use std::fmt;

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
    pub(crate) fn new<'a>(secrets: impl Iterator<Item = &'a str>) -> Self {
        // A file usually ends with a line break.
        let secrets = secrets.map(|secret| secret.trim().to_owned());
        let mut secrets: Vec<_> = secrets
            .filter(|secret| secret.len() >= SECRET_BYTES)
            .collect();
        // The longest first, should one hold another.
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        Self(secrets)
    }

    /// A text from outside, fit to be passed on.
    pub(crate) fn without(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "***");
            }
        }
        cut(&text, MESSAGE_CHARS)
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
        let secrets = Secrets::new(["sk-12345\n", "sk-1", "sk-12345-more"].into_iter());
        assert_eq!(
            secrets.without("wrong: sk-12345! sk-12345-more"),
            "wrong: ***! ***"
        );
        assert_eq!(secrets.without("sk-1"), "sk-1");
        let long = secrets.without(&"ä".repeat(2000));
        assert_eq!(long.chars().count(), MESSAGE_CHARS + 4);
        assert_eq!(format!("{secrets:?}"), "***");
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
