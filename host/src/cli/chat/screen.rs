//! What a conversation looks like: the answer on standard output, everything else on standard error.

use std::io::{IsTerminal, Write};

use super::super::output;

/// How much of a tool's arguments and result is shown, in characters.
const WIDTH: usize = 160;

/// See the module.
pub(super) struct Screen {
    /// Whether people see the answer: then what could command their terminal is taken out.
    out_is_terminal: bool,
    /// Whether both come together on one screen.
    is_shared: bool,
    is_dim: bool,
    /// Whether standard output is in the middle of a line.
    in_line: bool,
    /// Whether standard error is in the middle of thinking.
    in_thought: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        let out_is_terminal = std::io::stdout().is_terminal();
        let err_is_terminal = std::io::stderr().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            out_is_terminal,
            is_shared: out_is_terminal && err_is_terminal,
            is_dim: err_is_terminal && !no_color,
            in_line: false,
            in_thought: false,
        }
    }

    /// A piece of the answer.
    pub(super) fn text(&mut self, text: &str) -> anyhow::Result<()> {
        self.end_thought();
        let Some(last) = text.chars().last() else {
            return Ok(());
        };
        self.in_line = last != '\n';
        if self.out_is_terminal {
            output::print(&plain(text))
        } else {
            output::print(text)
        }
    }

    /// The answer is complete.
    pub(super) fn end_of_text(&mut self) -> anyhow::Result<()> {
        self.end_thought();
        if std::mem::take(&mut self.in_line) {
            output::print("\n")?;
        }
        Ok(())
    }

    /// A piece of what the agent thinks.
    pub(super) fn thought(&mut self, text: &str) {
        if !self.in_thought {
            self.begin_note();
        }
        self.in_thought = true;
        self.err(&plain(text));
    }

    /// The thought is complete.
    pub(super) fn end_thought(&mut self) {
        if std::mem::take(&mut self.in_thought) {
            self.err("\n");
        }
    }

    /// A line about what happens.
    pub(super) fn note(&mut self, text: &str) {
        self.end_thought();
        self.begin_note();
        self.err(&format!("{}\n", plain(text)));
    }

    /// Asks for a line, where people are asked.
    pub(super) fn prompt(&mut self) {
        if self.is_shared && std::io::stdin().is_terminal() {
            self.err("> ");
        }
    }

    fn begin_note(&mut self) {
        if self.is_shared && std::mem::take(&mut self.in_line) {
            self.err("\n");
        }
    }

    fn err(&self, text: &str) {
        let mut err = std::io::stderr().lock();
        // Nobody can be told that standard error is closed.
        let _ = if self.is_dim && text.trim() != "" {
            write!(err, "\u{1b}[2m{text}\u{1b}[0m")
        } else {
            write!(err, "{text}")
        };
        let _ = err.flush();
    }
}

/// Text that cannot command a terminal.
fn plain(text: &str) -> String {
    let is_harmless = |sign: &char| !sign.is_control() || matches!(sign, '\n' | '\t');
    text.chars().filter(is_harmless).collect()
}

/// A value on one line that is not too long.
pub(super) fn short(text: &str) -> String {
    let mut signs = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = signs.char_indices().nth(WIDTH) {
        signs.truncate(end);
        signs.push('…');
    }
    signs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_commanded() {
        assert_eq!(plain("a\u{1b}[2J\tb\r\n\u{9b}c\u{7}"), "a[2J\tb\nc");
    }

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!(short(" a\n b "), "a b");
        let cut = short(&"ä".repeat(500));
        assert_eq!(cut.chars().count(), WIDTH + 1);
        assert!(cut.ends_with('…'));
    }
}
