//! The two forms in which a cursor's reader takes what there is: as frames to be written, or message by message.

use bytes::Bytes;

use crate::protocol::frames::{Frames, take_frame};

/// The pieces of one read; mostly one, so that nothing is allocated for them under the log's lock.
#[derive(Default)]
pub(super) struct Pieces {
    first: Option<Bytes>,
    others: Vec<Bytes>,
}

impl Pieces {
    pub(super) fn push(&mut self, piece: Bytes) {
        match self.first {
            None => self.first = Some(piece),
            Some(_) => self.others.push(piece),
        }
    }
}

impl IntoIterator for Pieces {
    type Item = Bytes;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Bytes>, std::vec::IntoIter<Bytes>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.others)
    }
}

/// Who is given what a cursor reads.
pub(super) trait Reader {
    /// Takes `count` frames that follow each other, the first one's event at position `from`.
    fn shared(&mut self, from: u64, count: u64, pieces: Pieces);

    /// Takes the message that `encode` writes, if any, whose last event is at position `seq`.
    fn record(&mut self, seq: u64, encode: impl FnOnce(&mut Vec<u8>));
}

impl Reader for Frames {
    fn shared(&mut self, _: u64, count: u64, pieces: Pieces) {
        let mut count = count;
        for piece in pieces {
            self.push_shared(piece, std::mem::take(&mut count));
        }
    }

    fn record(&mut self, _: u64, encode: impl FnOnce(&mut Vec<u8>)) {
        self.push_with(encode);
    }
}

/// A function that takes each message, with the position of its last event.
pub(super) struct Each<F>(pub(super) F);

impl<F: FnMut(u64, &[u8])> Reader for Each<F> {
    fn shared(&mut self, from: u64, _: u64, pieces: Pieces) {
        let mut seq = from;
        for mut piece in pieces {
            while let Some(message) = take_frame(&mut piece) {
                (self.0)(seq, &message);
                seq += 1;
            }
        }
    }

    fn record(&mut self, seq: u64, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut message = Vec::new();
        encode(&mut message);
        if !message.is_empty() {
            (self.0)(seq, &message);
        }
    }
}
