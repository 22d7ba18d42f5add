//! What a run has streamed as its answer.

/// The most bytes of streamed text that are kept. A script may stream gigabytes, which are the host's to
/// keep or not; the words of all of it are counted.
const MAX_KEPT_BYTES: usize = 256 * 1024;

/// The text of a run's `stream_delta`s: its beginning, and how many words there are in all of it.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    text: String,
    full: bool,
    words: u64,
    in_word: bool,
}

impl Answer {
    /// Adds a delta.
    pub(crate) fn push(&mut self, delta: &str) {
        if delta.is_ascii() {
            for byte in delta.bytes() {
                self.count(matches!(byte, b'\t'..=b'\r' | b' '));
            }
        } else {
            for character in delta.chars() {
                self.count(character.is_whitespace());
            }
        }
        if !self.full {
            let room = MAX_KEPT_BYTES - self.text.len();
            self.full = delta.len() > room;
            self.text
                .push_str(&delta[..delta.floor_char_boundary(room)]);
        }
    }

    fn count(&mut self, blank: bool) {
        self.words += u64::from(!blank && !self.in_word);
        self.in_word = !blank;
    }

    /// The text, as far as it is kept.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The number of words.
    pub(crate) fn words(&self) -> u64 {
        self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_across_deltas() {
        let mut answer = Answer::default();
        for delta in ["on", "e two", " ", "\nthree ", "", "f", "our"] {
            answer.push(delta);
        }
        assert_eq!(answer.words(), 4);
        assert_eq!(answer.text(), "one two \nthree four");
    }

    #[test]
    fn ascii_has_the_blanks_that_all_text_has() {
        for code in 0..128_u8 {
            let character = char::from(code);
            let mut answer = Answer::default();
            answer.push(&format!("a{character}b"));
            let words = if character.is_whitespace() { 2 } else { 1 };
            assert_eq!(answer.words(), words, "{character:?}");
        }
    }

    #[test]
    fn the_text_kept_is_a_bounded_beginning_without_gaps() {
        let mut answer = Answer::default();
        answer.push(&"x".repeat(MAX_KEPT_BYTES - 1));
        answer.push("é y");
        answer.push("z");
        assert_eq!(answer.text().len(), MAX_KEPT_BYTES - 1);
        assert_eq!(answer.words(), 2);
    }
}
