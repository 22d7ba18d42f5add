//! Records: what a log keeps of a run's events, adjacent deltas folded into one.

use crate::protocol::{Position, RunEvent};

/// The most text one folded record holds, in bytes (fixed by the wire contract).
pub const FOLD_BYTES: usize = 16 * 1024;

/// The most deltas one folded record holds (fixed by the wire contract).
pub const FOLD_DELTAS: usize = 1024;

/// The two kinds of text that fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delta {
    /// `stream_delta`.
    Stream,
    /// `thinking_delta`.
    Thinking,
}

impl Delta {
    /// The event that carries `text`.
    pub fn event(self, text: String) -> RunEvent {
        match self {
            Self::Stream => RunEvent::StreamDelta { delta: text },
            Self::Thinking => RunEvent::ThinkingDelta { delta: text },
        }
    }

    /// Which delta `event` is, if it is one, and its text.
    pub fn of(event: &RunEvent) -> Option<(Self, &str)> {
        match event {
            RunEvent::StreamDelta { delta } => Some((Self::Stream, delta)),
            RunEvent::ThinkingDelta { delta } => Some((Self::Thinking, delta)),
            _ => None,
        }
    }
}

/// In which of the two histories a record stands: the client's, or the agent's too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Sent as the agent emitted it.
    AsEmitted,
    /// Made by a mapper; what the agent emitted instead is kept apart.
    Mapped,
    /// Emitted by the agent; a mapper dropped it or put others in its place.
    Unsent,
}

/// One or more adjacent events of a session, `seq_from..=seq`.
///
/// More than one only where all are deltas of one kind; `bounds` then says where each of them ends in the
/// text, so that a reader in the middle of a record can be given exactly the rest.
#[derive(Clone, Debug)]
pub struct Record {
    /// Position of the first event.
    pub seq_from: u64,
    /// Position of the last event.
    pub seq: u64,
    /// The event, with the text of all.
    pub event: RunEvent,
    /// Whose form it is.
    pub form: Form,
    bounds: Vec<u32>,
}

impl Record {
    /// A record of one event.
    pub fn new(seq: u64, event: RunEvent, form: Form) -> Self {
        Self {
            seq_from: seq,
            seq,
            event,
            form,
            bounds: Vec::new(),
        }
    }

    /// Takes the delta at position `seq`, which must follow this record's, if it folds into it.
    pub fn fold(&mut self, seq: u64, kind: Delta, text: &str, form: Form) -> bool {
        let own = match (&mut self.event, kind) {
            (RunEvent::StreamDelta { delta }, Delta::Stream) => delta,
            (RunEvent::ThinkingDelta { delta }, Delta::Thinking) => delta,
            _ => return false,
        };
        let count = self.bounds.len().max(1);
        if form != self.form || count >= FOLD_DELTAS || own.len() + text.len() > FOLD_BYTES {
            return false;
        }
        debug_assert_eq!(seq, self.seq + 1);
        if self.bounds.is_empty() {
            self.bounds.push(bound(own.len()));
        }
        own.push_str(text);
        self.bounds.push(bound(own.len()));
        self.seq = seq;
        true
    }

    /// Where each folded delta ends in the text, in bytes; empty for a record of one event.
    pub fn bounds(&self) -> &[u32] {
        &self.bounds
    }

    /// Its positions.
    pub fn position(&self) -> Position {
        Position {
            seq_from: self.seq_from,
            seq: self.seq,
        }
    }

    /// What of this record lies at `next` and after it; `None` when that is the whole record.
    pub fn cut(&self, next: u64) -> Option<RunEvent> {
        let (kind, text) = Delta::of(&self.event)?;
        if next <= self.seq_from || next > self.seq {
            return None;
        }
        let index = usize::try_from(next - self.seq_from - 1).ok()?;
        let start = usize::try_from(*self.bounds.get(index)?).ok()?;
        Some(kind.event(text.get(start..)?.to_owned()))
    }

    /// What of this record lies after position `saved`; `None` when that is all of it or nothing.
    pub fn after(&self, saved: u64) -> Option<Self> {
        let event = self.cut(saved + 1)?;
        let skip = usize::try_from(saved - self.seq_from).ok()? + 1;
        let start = *self.bounds.get(skip - 1)?;
        let bounds: Vec<u32> = self.bounds[skip..].iter().map(|end| end - start).collect();
        Some(Self {
            seq_from: saved + 1,
            seq: self.seq,
            event,
            form: self.form,
            // A record of one event keeps none.
            bounds: if bounds.len() > 1 { bounds } else { Vec::new() },
        })
    }

    /// A record that was stored, with the ends of the deltas that are folded into it.
    pub fn restored(at: Position, event: RunEvent, bounds: Vec<u32>) -> Self {
        Self {
            seq_from: at.seq_from,
            seq: at.seq,
            event,
            form: Form::AsEmitted,
            bounds,
        }
    }

    /// Bytes this record holds in memory, about.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.event.size() + self.bounds.len() * size_of::<u32>()
    }
}

/// A delta's end in the text; the fold's bound keeps it far below `u32::MAX`, and a record of one event,
/// which alone may be larger, keeps no bounds until something folds into it.
fn bound(end: usize) -> u32 {
    u32::try_from(end).unwrap_or(u32::MAX)
}

/// An event on its way into a log.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// A delta, borrowed: folding it copies its text once.
    Delta(Delta, &'a str),
    /// Anything else.
    Event(RunEvent),
}

impl Incoming<'_> {
    /// The event itself.
    pub fn into_event(self) -> RunEvent {
        match self {
            Self::Delta(kind, text) => kind.event(text.to_owned()),
            Self::Event(event) => event,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text_of(event: &RunEvent) -> &str {
        Delta::of(event).map_or("", |(_, text)| text)
    }

    proptest! {
        #[test]
        fn a_cut_is_the_rest_of_the_text(parts in prop::collection::vec("\\PC{0,8}", 1..50), at in 0usize..60) {
            let mut record = Record::new(10, Delta::Stream.event(parts[0].clone()), Form::AsEmitted);
            for (index, part) in parts.iter().enumerate().skip(1) {
                prop_assert!(record.fold(10 + index as u64, Delta::Stream, part, Form::AsEmitted));
            }
            let next = 10 + at as u64;
            let got = record.cut(next);
            if at == 0 || at >= parts.len() {
                prop_assert!(got.is_none());
            } else {
                let rest = parts[at..].concat();
                prop_assert_eq!(got.as_ref().map(text_of), Some(rest.as_str()));
            }
        }
    }

    #[test]
    fn what_is_after_a_place_folds_on_like_the_whole() {
        let mut record = Record::new(5, Delta::Stream.event("ab".into()), Form::AsEmitted);
        for (seq, text) in [(6, "c"), (7, "def"), (8, "g")] {
            assert!(record.fold(seq, Delta::Stream, text, Form::AsEmitted));
        }
        assert!(record.after(4).is_none(), "all of it");
        assert!(record.after(8).is_none(), "nothing");
        let rest = record.after(5).unwrap();
        assert_eq!(
            (rest.seq_from, rest.seq, text_of(&rest.event)),
            (6, 8, "cdefg")
        );
        assert_eq!(rest.bounds(), [1, 4, 5]);
        let last = record.after(7).unwrap();
        assert_eq!((last.seq_from, last.seq, text_of(&last.event)), (8, 8, "g"));
        assert!(last.bounds().is_empty());
    }

    #[test]
    fn folding_stops_at_both_bounds() {
        let mut by_count = Record::new(1, Delta::Stream.event("a".into()), Form::AsEmitted);
        let mut folded = 1;
        while by_count.fold(folded + 1, Delta::Stream, "a", Form::AsEmitted) {
            folded += 1;
        }
        assert_eq!(folded, FOLD_DELTAS as u64);

        let mut by_bytes = Record::new(
            1,
            Delta::Stream.event("a".repeat(FOLD_BYTES - 1)),
            Form::AsEmitted,
        );
        assert!(by_bytes.fold(2, Delta::Stream, "b", Form::AsEmitted));
        assert!(!by_bytes.fold(3, Delta::Stream, "c", Form::AsEmitted));
    }

    #[test]
    fn only_alike_folds() {
        let mut record = Record::new(1, Delta::Stream.event("a".into()), Form::AsEmitted);
        assert!(!record.fold(2, Delta::Thinking, "b", Form::AsEmitted));
        assert!(!record.fold(2, Delta::Stream, "b", Form::Mapped));
        let mut end = Record::new(1, RunEvent::ThinkingEnd, Form::AsEmitted);
        assert!(!end.fold(2, Delta::Thinking, "b", Form::AsEmitted));
    }
}
