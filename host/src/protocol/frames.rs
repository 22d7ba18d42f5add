//! Frames as they go over a WebSocket: text frames (RFC 6455, section 5.2), one behind the other. A server masks nothing, so
//! a frame's bytes are the same for every client, header and all: what is encoded once is written as it is, and a client
//! that takes a thousand frames at once costs one write of a few shared pieces.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// FIN, and the opcode of text.
const TEXT: u8 = 0x81;

/// The lengths from which on two, or eight, further bytes tell the length.
const SHORT: usize = 126;
const MEDIUM: usize = 1 << 16;

/// A tail of this length is given away as a piece, and a new one begun.
const PIECE: usize = 16 * 1024;

/// Appends the text that `write` writes to `out` as a frame; nothing when it writes nothing. Answers whether there is one.
pub fn append_frame(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    let begin = out.len();
    // Most frames are short; the text of others is moved once.
    out.extend_from_slice(&[TEXT, 0]);
    let body = begin + 2;
    write(out);
    let length = out.len() - body;
    match length {
        0 => {
            out.truncate(begin);
            return false;
        }
        // Lossless: it is less than 126.
        1..SHORT => out[begin + 1] = length as u8,
        SHORT..MEDIUM => {
            out[begin + 1] = 126;
            let length = (length as u16).to_be_bytes();
            out.splice(body..body, length);
        }
        _ => {
            out[begin + 1] = 127;
            out.splice(body..body, (length as u64).to_be_bytes());
        }
    }
    true
}

/// Takes the first frame off bytes that hold whole frames; `None` when there is none. Answers its text.
pub fn take_frame(bytes: &mut Bytes) -> Option<Bytes> {
    let (&first, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    debug_assert_eq!(first, TEXT);
    let (header, length) = match short {
        126 => (4, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*rest.first_chunk()?)),
        short => (2, u64::from(short)),
    };
    let length = usize::try_from(length).ok()?;
    if bytes.len() - header < length {
        return None;
    }
    bytes.advance(header);
    Some(bytes.split_to(length))
}

/// Frames on their way to one client: some shared with others, some its own. As a [`Buf`] it is what is left to write.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    pieces: VecDeque<Bytes>,
    /// The client's own frames behind `pieces`.
    tail: Vec<u8>,
    count: u64,
}

impl Frames {
    /// Appends a message, as one frame.
    pub fn push(&mut self, message: &[u8]) {
        self.push_with(|out| out.extend_from_slice(message));
    }

    /// Appends the message that `write` writes, as one frame; nothing when it writes nothing.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.count += u64::from(append_frame(&mut self.tail, write));
        if self.tail.len() >= PIECE {
            self.close_tail();
        }
    }

    /// Appends `count` frames that others have, too.
    pub fn push_shared(&mut self, frames: Bytes, count: u64) {
        self.count += count;
        if !frames.is_empty() {
            self.close_tail();
            self.pieces.push_back(frames);
        }
    }

    /// Moves the frames of `other` behind its own.
    pub fn append(&mut self, other: &mut Self) {
        other.close_tail();
        if !other.pieces.is_empty() {
            self.close_tail();
            self.pieces.append(&mut other.pieces);
        }
        self.count += std::mem::take(&mut other.count);
    }

    /// How many frames were appended.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.tail.is_empty()
    }

    /// The messages in the frames. Of frames of which something was written already, nothing is to be had.
    pub fn into_messages(mut self) -> impl Iterator<Item = Bytes> {
        self.close_tail();
        self.pieces
            .into_iter()
            .flat_map(|mut piece| std::iter::from_fn(move || take_frame(&mut piece)))
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces
                .push_back(Bytes::from(std::mem::take(&mut self.tail)));
        }
    }
}

impl Buf for Frames {
    fn remaining(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum::<usize>() + self.tail.len()
    }

    fn has_remaining(&self) -> bool {
        !self.is_empty()
    }

    fn chunk(&self) -> &[u8] {
        self.pieces
            .front()
            .map_or(&self.tail[..], |piece| &piece[..])
    }

    fn chunks_vectored<'a>(&'a self, to: &mut [IoSlice<'a>]) -> usize {
        let pieces = self.pieces.iter().map(|piece| &piece[..]);
        let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
        let mut filled = 0;
        for (slot, piece) in to.iter_mut().zip(pieces.chain(tail)) {
            *slot = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut written: usize) {
        while written > 0 {
            if self.pieces.is_empty() {
                self.close_tail();
            }
            let Some(first) = self.pieces.front_mut() else {
                debug_assert!(false, "more was written than there is");
                break;
            };
            let part = written.min(first.len());
            first.advance(part);
            written -= part;
            if first.is_empty() {
                self.pieces.pop_front();
            }
        }
        if self.is_empty() {
            self.count = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocket};

    use super::*;

    /// What a WebSocket library makes of the bytes.
    fn read_back(bytes: &[u8]) -> Vec<String> {
        struct Stream<'a>(&'a [u8]);
        impl std::io::Read for Stream<'_> {
            fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
                self.0.read(to)
            }
        }
        impl std::io::Write for Stream<'_> {
            fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
                Ok(from.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut socket = WebSocket::from_raw_socket(Stream(bytes), Role::Client, None);
        std::iter::from_fn(|| match socket.read() {
            Ok(Message::Text(text)) => Some(text.as_str().to_owned()),
            Ok(other) => panic!("{other:?}"),
            Err(_) => None,
        })
        .collect()
    }

    fn message() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-zé]{1,40}",
            2 => Just("x".repeat(125)),
            2 => Just("y".repeat(126)),
            1 => Just("z".repeat(MEDIUM - 1)),
            1 => Just("w".repeat(MEDIUM)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is shared and however it is written, a client reads what was pushed.
        #[test]
        fn a_client_reads_what_was_pushed(
            messages in prop::collection::vec((message(), any::<bool>()), 0..12),
            steps in prop::collection::vec(1usize..50_000, 1..40),
        ) {
            let mut frames = Frames::default();
            for (text, shared) in &messages {
                if *shared {
                    let mut bytes = Vec::new();
                    append_frame(&mut bytes, |out| out.extend_from_slice(text.as_bytes()));
                    frames.push_shared(bytes.into(), 1);
                } else {
                    frames.push(text.as_bytes());
                }
            }
            prop_assert_eq!(frames.count(), messages.len() as u64);
            let mut written = Vec::new();
            for step in steps.iter().cycle() {
                let mut slices = [IoSlice::new(&[]); 4];
                let filled = frames.chunks_vectored(&mut slices);
                let all: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
                if all.is_empty() {
                    break;
                }
                prop_assert!(all.starts_with(frames.chunk()));
                let part = (*step).min(all.len());
                written.extend_from_slice(&all[..part]);
                let left = frames.remaining();
                frames.advance(part);
                prop_assert_eq!(frames.remaining(), left - part);
            }
            prop_assert!(frames.is_empty());
            let texts: Vec<_> = messages.into_iter().map(|(text, _)| text).collect();
            prop_assert_eq!(read_back(&written), texts);
        }
    }

    #[test]
    fn messages_come_out_again_and_nothing_makes_no_frame() {
        let mut frames = Frames::default();
        frames.push(b"one");
        frames.push_with(|_| {});
        let mut more = Frames::default();
        more.push(&[b'2'; 300]);
        frames.append(&mut more);
        assert_eq!((frames.count(), more.count()), (2, 0));
        let messages: Vec<_> = frames.into_messages().collect();
        assert_eq!(messages, [&b"one"[..], &[b'2'; 300]]);
    }
}
