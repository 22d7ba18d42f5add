//! The tool `text_stats`.

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::{Deserialize, Serialize};
use plugin_api::{Part, ToolOutput, serde_json};

pub(crate) const DESCRIPTION: &str = "Counts the characters, words, lines, paragraphs and bytes of a text. \
    Use it to check lengths; do not count by eye.";

/// The arguments of `text_stats`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct TextStatsArgs {
    /// The text.
    pub text: String,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(crate = "plugin_api::serde")]
struct TextStats {
    /// Unicode scalar values.
    characters: usize,
    characters_without_blanks: usize,
    /// Runs of characters other than blanks.
    words: usize,
    /// A last line without a line break counts, an empty one after the last break does not.
    lines: usize,
    /// Runs of lines that are not blank.
    paragraphs: usize,
    /// In UTF-8.
    bytes: usize,
}

impl TextStats {
    fn of(text: &str) -> Self {
        let mut stats = Self {
            words: text.split_whitespace().count(),
            bytes: text.len(),
            ..Self::default()
        };
        for character in text.chars() {
            stats.characters += 1;
            stats.characters_without_blanks += usize::from(!character.is_whitespace());
        }
        let mut in_paragraph = false;
        for line in text.lines() {
            let blank = line.trim().is_empty();
            stats.lines += 1;
            stats.paragraphs += usize::from(!blank && !in_paragraph);
            in_paragraph = !blank;
        }
        stats
    }
}

pub(crate) fn call(args: &TextStatsArgs) -> ToolOutput {
    let stats = TextStats::of(&args.text);
    let TextStats {
        characters,
        characters_without_blanks,
        words,
        lines,
        paragraphs,
        bytes,
    } = stats;
    let output = ToolOutput::text(format!(
        "characters: {characters}\ncharacters without blanks: {characters_without_blanks}\nwords: {words}\n\
         lines: {lines}\nparagraphs: {paragraphs}\nbytes: {bytes}"
    ));
    match serde_json::to_value(&stats) {
        Ok(stats) => output.with_part(Part::json(stats)),
        // Numbers always encode.
        Err(_) => output,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_counted() {
        let stats = TextStats::of("Grüße,\r\n two  words\n\n \nlast é");
        assert_eq!(
            stats,
            TextStats {
                characters: 29,
                characters_without_blanks: 19,
                words: 5,
                lines: 5,
                paragraphs: 2,
                bytes: 32,
            }
        );
        assert_eq!(TextStats::of(""), TextStats::default());
        assert_eq!(TextStats::of("one\n").lines, 1);
    }

    #[test]
    fn the_result_is_text_for_models_and_json_for_callers() {
        let output = call(&TextStatsArgs {
            text: "a b".to_owned(),
        });
        assert_eq!(
            output.text,
            "characters: 3\ncharacters without blanks: 2\nwords: 2\nlines: 1\nparagraphs: 1\nbytes: 3"
        );
        let Some(Part::Json { value, .. }) = output.parts.first() else {
            panic!("no JSON: {:?}", output.parts);
        };
        assert_eq!(value["words"], 2);
    }
}
