//! The window of encoded frames that live cursors read: one encoding, header of the WebSocket and all, shared by all who
//! watch. Frames that follow each other lie next to each other, so a reader takes a thousand of them as one piece.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::protocol::frames::append_frame;

/// Capacity of the largest chunk that frames are written into, in bytes.
const CHUNK: usize = 16 * 1024;

/// Capacity of a window's first chunk; a session with a few events keeps little.
const FIRST_CHUNK: usize = 512;

/// Frames of consecutive positions, bounded by bytes. Empty while nobody watches.
///
/// A place in it is counted in bytes ever pushed, so it says how far behind a reader is, and where its bytes are.
#[derive(Debug, Default)]
pub struct Window {
    /// Position of the first frame, or of the next one while there is none.
    first: u64,
    /// The place where the first frame begins.
    start: u64,
    /// Of every frame, the place where it ends.
    ends: VecDeque<u64>,
    /// What readers were given pieces of, each with the place where it begins.
    pieces: VecDeque<(u64, Bytes)>,
    /// What no reader was given yet, behind `pieces`.
    fresh: BytesMut,
    /// Where a frame is written before its size is known.
    scratch: Vec<u8>,
    chunk_size: usize,
}

/// What a reader is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Events; each is a frame but for those that the version does not have.
    pub events: u64,
    /// Frames.
    pub frames: u64,
    /// The place behind them.
    pub place: u64,
}

impl Window {
    /// Forgets all frames; the next one pushed is that of position `next`.
    pub fn restart(&mut self, next: u64) {
        let pushed = self.pushed();
        *self = Self {
            first: next,
            start: pushed,
            ..Self::default()
        };
    }

    /// Position of the oldest frame.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The place where the oldest frame begins.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Bytes of the frames it keeps.
    pub fn bytes(&self) -> usize {
        // Lossless: so much is in memory.
        (self.pushed() - self.start) as usize
    }

    /// Bytes ever pushed, the place of the next frame.
    pub fn pushed(&self) -> u64 {
        self.ends.back().copied().unwrap_or(self.start)
    }

    /// Appends the frame of the message that `encode` writes, and drops the oldest above `limit` bytes.
    pub fn push(&mut self, limit: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        self.scratch.clear();
        append_frame(&mut self.scratch, encode);
        let size = self.scratch.len();
        let end = self.pushed() + size as u64;
        if self.fresh.capacity() - self.fresh.len() < size {
            self.close_fresh();
            self.chunk_size = (self.chunk_size * 2).clamp(FIRST_CHUNK, CHUNK);
            self.fresh = BytesMut::with_capacity(self.chunk_size.max(size));
        }
        self.fresh.extend_from_slice(&self.scratch);
        if self.scratch.capacity() > CHUNK {
            self.scratch = Vec::new();
        }
        self.ends.push_back(end);
        if self.bytes() > limit {
            self.shrink(limit);
        }
    }

    /// Drops the oldest frames above `limit` bytes, but for the last one.
    fn shrink(&mut self, limit: usize) {
        while self.bytes() > limit && self.ends.len() > 1 {
            self.drop_oldest();
        }
        self.drop_pieces();
    }

    /// Drops the frames before position `next`, which nobody will read.
    pub fn trim(&mut self, next: u64) {
        while self.first < next && !self.ends.is_empty() {
            self.drop_oldest();
        }
        self.drop_pieces();
    }

    fn drop_oldest(&mut self) {
        if let Some(end) = self.ends.pop_front() {
            self.start = end;
            self.first += 1;
        }
    }

    /// Drops the pieces of which no frame is left.
    fn drop_pieces(&mut self) {
        if self.start > self.fresh_from() {
            self.close_fresh();
        }
        while let Some((from, piece)) = self.pieces.front()
            && from + piece.len() as u64 <= self.start
        {
            self.pieces.pop_front();
        }
        if self.ends.is_empty() {
            self.ends = VecDeque::new();
            self.pieces = VecDeque::new();
            // The rest of a chunk keeps all of it.
            self.fresh = BytesMut::new();
            self.scratch = Vec::new();
            self.chunk_size = 0;
        }
    }

    fn fresh_from(&self) -> u64 {
        self.pushed() - self.fresh.len() as u64
    }

    /// Makes what is fresh a piece that can be shared.
    fn close_fresh(&mut self) {
        if !self.fresh.is_empty() {
            let from = self.fresh_from();
            self.pieces.push_back((from, self.fresh.split().freeze()));
        }
    }

    /// Hands out the frames from position `next` to `last`, or as many as hold `most` bytes and one at least, in pieces.
    /// `None` when `next` is before the window.
    pub fn take(
        &mut self,
        next: u64,
        last: u64,
        most: usize,
        mut give: impl FnMut(Bytes),
    ) -> Option<Taken> {
        let skip = usize::try_from(next.checked_sub(self.first)?).ok()?;
        let upto = usize::try_from((last + 1).saturating_sub(self.first)).ok()?;
        let begin = match skip {
            0 => self.start,
            skip => self.ends.get(skip - 1).copied().unwrap_or(self.pushed()),
        };
        let fit = self.ends.partition_point(|end| *end <= begin + most as u64);
        let upto = fit.max(skip + 1).min(upto).min(self.ends.len());
        if upto <= skip {
            let (events, frames, place) = (0, 0, begin);
            return Some(Taken {
                events,
                frames,
                place,
            });
        }
        let place = self.ends[upto - 1];
        let mut frames = 0;
        let mut before = begin;
        for end in self.ends.range(skip..upto) {
            frames += u64::from(*end != before);
            before = *end;
        }
        if place > self.fresh_from() {
            self.close_fresh();
        }
        self.give(begin..place, &mut give);
        Some(Taken {
            events: (upto - skip) as u64,
            frames,
            place,
        })
    }

    fn give(&self, places: Range<u64>, give: &mut impl FnMut(Bytes)) {
        let first = self
            .pieces
            .partition_point(|(from, piece)| from + piece.len() as u64 <= places.start);
        for (from, piece) in self.pieces.range(first..) {
            if *from >= places.end {
                return;
            }
            // Lossless: both lie in the piece.
            let begin = places.start.saturating_sub(*from) as usize;
            let end = (places.end - from).min(piece.len() as u64) as usize;
            give(piece.slice(begin..end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frames::Frames;

    fn push(window: &mut Window, text: &str) {
        window.push(12, |out| out.extend_from_slice(text.as_bytes()));
    }

    fn taken(window: &mut Window, next: u64, last: u64, most: usize) -> Option<(Taken, String)> {
        let mut frames = Frames::default();
        let taken = window.take(next, last, most, |piece| frames.push_shared(piece, 1))?;
        let texts: Vec<_> = frames.into_messages().collect();
        let texts: Vec<_> = texts
            .iter()
            .map(|text| std::str::from_utf8(text).unwrap())
            .collect();
        Some((taken, texts.join(" ")))
    }

    /// Events, frames and texts.
    fn counts(window: &mut Window, next: u64) -> Option<(u64, u64, String)> {
        let (taken, texts) = taken(window, next, u64::MAX - 1, usize::MAX >> 1)?;
        Some((taken.events, taken.frames, texts))
    }

    #[test]
    fn the_oldest_go_first() {
        let mut window = Window::default();
        window.restart(5);
        for text in ["aaaa", "bbbb", "cccc"] {
            push(&mut window, text);
        }
        assert_eq!(window.first(), 6);
        assert_eq!(counts(&mut window, 5), None);
        assert_eq!(counts(&mut window, 7), Some((1, 1, "cccc".into())));
        assert_eq!(counts(&mut window, 8), Some((0, 0, String::new())));
        window.trim(8);
        assert_eq!(
            (window.bytes(), window.first(), window.pushed()),
            (0, 8, 18)
        );
        push(&mut window, "dd");
        assert_eq!(counts(&mut window, 8), Some((1, 1, "dd".into())));
    }

    #[test]
    fn a_frame_over_the_limit_is_kept_alone() {
        let mut window = Window::default();
        window.restart(1);
        push(&mut window, "aaaa");
        push(&mut window, "bbbbbbbbbbbbbbbb");
        assert_eq!(window.first(), 2);
        assert_eq!(
            counts(&mut window, 2),
            Some((1, 1, "bbbbbbbbbbbbbbbb".into()))
        );
    }

    #[test]
    fn a_reader_gets_what_it_asks_for_wherever_others_read() {
        let mut window = Window::default();
        window.restart(1);
        let push = |window: &mut Window, text: &str| {
            window.push(1 << 20, |out| out.extend_from_slice(text.as_bytes()));
        };
        push(&mut window, "a");
        push(&mut window, "b");
        assert_eq!(counts(&mut window, 2), Some((1, 1, "b".into())));
        // One that the version does not have.
        push(&mut window, "");
        push(&mut window, "c");
        push(&mut window, "d");
        assert_eq!(counts(&mut window, 1), Some((5, 4, "a b c d".into())));
        assert_eq!(counts(&mut window, 3), Some((3, 2, "c d".into())));
        let (part, texts) = taken(&mut window, 1, 4, 1 << 20).unwrap();
        assert_eq!((part.events, part.place, texts.as_str()), (4, 9, "a b c"));
        let (part, texts) = taken(&mut window, 1, 5, 7).unwrap();
        assert_eq!((part.events, part.place, texts.as_str()), (3, 6, "a b"));
        let (part, texts) = taken(&mut window, 4, 5, 1).unwrap();
        assert_eq!((part.events, texts.as_str()), (1, "c"));
        // Chunks that are full follow each other.
        let long = "x".repeat(300);
        for _ in 0..200 {
            push(&mut window, &long);
        }
        let (all, texts) = taken(&mut window, 5, 205, 1 << 20).unwrap();
        assert_eq!((all.events, texts.len()), (201, 1 + 200 * 301));
        window.trim(205);
        assert_eq!(counts(&mut window, 205), Some((1, 1, long)));
    }
}
