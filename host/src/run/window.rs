//! The window of encoded frames that live cursors read: one encoding, shared by all who watch.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Capacity of the largest chunk that frames are cut from, in bytes.
const CHUNK: usize = 16 * 1024;

/// Capacity of a window's first chunk; a session with a few events keeps little.
const FIRST_CHUNK: usize = 512;

/// Frames of consecutive positions, bounded by bytes. Empty while nobody watches.
#[derive(Debug, Default)]
pub struct Window {
    frames: VecDeque<Bytes>,
    /// Position of the first frame, or of the next one while there is none.
    first: u64,
    bytes: usize,
    /// Bytes ever pushed; a frame's place in this count says how far behind a reader is.
    pushed: u64,
    /// Where a frame is written before its size is known.
    scratch: Vec<u8>,
    /// What frames are cut from, so that many share one allocation.
    chunk: BytesMut,
    chunk_size: usize,
}

impl Window {
    /// Forgets all frames; the next one pushed is that of position `next`.
    pub fn restart(&mut self, next: u64) {
        self.frames = VecDeque::new();
        self.scratch = Vec::new();
        self.chunk = BytesMut::new();
        self.chunk_size = 0;
        self.bytes = 0;
        self.first = next;
    }

    /// Position of the oldest frame.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Bytes of the frames it keeps.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes ever pushed.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Appends the frame that `encode` writes, and drops the oldest above `limit` bytes.
    pub fn push(&mut self, limit: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        self.scratch.clear();
        encode(&mut self.scratch);
        let size = self.scratch.len();
        if self.chunk.capacity() < size {
            self.chunk_size = (self.chunk_size * 2).clamp(FIRST_CHUNK, CHUNK);
            self.chunk = BytesMut::with_capacity(self.chunk_size.max(size));
        }
        self.chunk.extend_from_slice(&self.scratch);
        if self.scratch.capacity() > CHUNK {
            self.scratch = Vec::new();
        }
        let frame = self.chunk.split().freeze();
        self.bytes += frame.len();
        self.pushed += frame.len() as u64;
        self.frames.push_back(frame);
        while self.bytes > limit && self.frames.len() > 1 {
            self.drop_oldest();
        }
    }

    /// Drops the frames before position `next`, which nobody will read.
    pub fn trim(&mut self, next: u64) {
        while self.first < next && !self.frames.is_empty() {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(frame) = self.frames.pop_front() {
            self.bytes -= frame.len();
            self.first += 1;
        }
    }

    /// The frames from position `next` on; `None` when `next` is before the window.
    pub fn from(&self, next: u64) -> Option<impl Iterator<Item = &Bytes>> {
        let skip = usize::try_from(next.checked_sub(self.first)?).ok()?;
        Some(self.frames.range(skip.min(self.frames.len())..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(window: &mut Window, text: &str) {
        window.push(10, |out| out.extend_from_slice(text.as_bytes()));
    }

    #[test]
    fn the_oldest_go_first() {
        let mut window = Window::default();
        window.restart(5);
        for text in ["aaaa", "bbbb", "cccc"] {
            push(&mut window, text);
        }
        assert_eq!(window.first(), 6);
        assert!(window.from(5).is_none());
        assert_eq!(window.from(7).map(|frames| frames.count()), Some(1));
        assert_eq!(window.from(8).map(|frames| frames.count()), Some(0));
        window.trim(8);
        assert_eq!(
            (window.bytes(), window.first(), window.pushed()),
            (0, 8, 12)
        );
    }

    #[test]
    fn a_frame_over_the_limit_is_kept_alone() {
        let mut window = Window::default();
        window.restart(1);
        push(&mut window, "aaaa");
        push(&mut window, "bbbbbbbbbbbbbbbb");
        assert_eq!(window.first(), 2);
        assert_eq!(window.from(2).map(|frames| frames.count()), Some(1));
    }
}
