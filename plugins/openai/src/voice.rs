//! Showing what a model says while it says it.

use plugin_api::{EmitError, Event, RunContext, RunError, tracing};

use crate::api::Piece;

/// The most bytes of one delta; longer ones are shown in pieces. Far below what a host lets through in one event.
const DELTA_BYTES: usize = 16 * 1024;

/// What of an answer is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Show {
    /// Text and thinking.
    All,
    /// The thinking alone: the text is for the agent.
    Thinking,
    Nothing,
}

/// The stream of a run, as far as it is the model's.
#[derive(Debug)]
pub(crate) struct Voice<'a> {
    ctx: &'a RunContext,
    show: Show,
    /// All text of the run.
    said: String,
    /// Whether the present answer has shown any text.
    has_text: bool,
    has_shown: bool,
    is_thinking: bool,
}

impl<'a> Voice<'a> {
    pub(crate) fn new(ctx: &'a RunContext) -> Self {
        Self {
            ctx,
            show: Show::All,
            said: String::new(),
            has_text: false,
            has_shown: false,
            is_thinking: false,
        }
    }

    /// All text of the run so far: its deltas, one after the other.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    /// Whether anything of the present answer was shown.
    pub(crate) fn has_shown(&self) -> bool {
        self.has_shown
    }

    /// An answer begins.
    pub(crate) fn begin(&mut self, show: Show) {
        self.show = show;
        (self.has_text, self.has_shown, self.is_thinking) = (false, false, false);
    }

    pub(crate) async fn piece(&mut self, piece: Piece) -> Result<(), RunError> {
        match piece {
            Piece::Thinking(text) if self.show != Show::Nothing => {
                self.is_thinking = true;
                self.has_shown = true;
                for part in parts(&text) {
                    self.ctx.emit(Event::thinking_delta(part)).await?;
                }
            }
            Piece::Thinking(_) => {}
            Piece::Call => self.end_thinking().await?,
            Piece::Text(text) => {
                self.end_thinking().await?;
                if self.show == Show::All {
                    self.text(text).await?;
                }
            }
        }
        Ok(())
    }

    async fn text(&mut self, text: String) -> Result<(), RunError> {
        let apart = !self.has_text && !self.said.is_empty() && !self.said.ends_with('\n');
        // What was said before a tool was called is a paragraph of its own.
        let text = if apart { format!("\n\n{text}") } else { text };
        (self.has_text, self.has_shown) = (true, true);
        for part in parts(&text) {
            // It is out as soon as it is emitted, whatever becomes of the waiting.
            self.said.push_str(part);
            self.ctx.emit(Event::stream_delta(part)).await?;
        }
        Ok(())
    }

    async fn end_thinking(&mut self) -> Result<(), RunError> {
        if std::mem::take(&mut self.is_thinking) {
            self.ctx.emit(Event::thinking_end()).await?;
        }
        Ok(())
    }

    /// An answer has ended, with this thinking in all.
    pub(crate) async fn end(&mut self, thinking: &str) -> Result<(), RunError> {
        self.end_thinking().await?;
        if thinking.is_empty() || self.show == Show::Nothing {
            return Ok(());
        }
        match self.ctx.emit(Event::turn_thinking(thinking)).await {
            // The deltas have told it.
            Err(EmitError::TooLarge) => {
                tracing::warn!(
                    bytes = thinking.len(),
                    "thinking too large to be shown in one piece"
                );
                Ok(())
            }
            shown => Ok(shown?),
        }
    }

    /// An answer broke off.
    pub(crate) async fn break_off(&mut self) -> Result<(), RunError> {
        self.end_thinking().await
    }
}

/// A text in pieces of at most [`DELTA_BYTES`].
fn parts(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (part, rest) = text.split_at(text.floor_char_boundary(DELTA_BYTES));
        text = rest;
        (!part.is_empty()).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_shown_in_pieces() {
        let text = "ä".repeat(DELTA_BYTES);
        let parts: Vec<_> = parts(&text).collect();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts.concat(), text);
        assert_eq!(super::parts("").count(), 0);
    }
}
