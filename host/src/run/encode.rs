//! Encoding of what the log hands out.

use super::record::{Delta, Incoming, Record};
use crate::protocol::{Position, Version, encode};

/// Appends an event on its way into the log as a message. A delta becomes one without an event being made of it.
pub(super) fn incoming(event: &Incoming<'_>, version: Version, seq: u64, out: &mut Vec<u8>) {
    let at = Position::of(seq);
    match event {
        Incoming::Delta(Delta::Stream, text) => encode::stream_delta(text, version, at, out),
        Incoming::Delta(Delta::Thinking, text) => encode::thinking_delta(text, version, at, out),
        Incoming::Event(event) => event.encode(version, at, out),
    }
}

/// Appends what lies in `record` at position `next` and after it as a message; nothing when the version does not have its
/// event.
pub(super) fn rest(record: &Record, next: u64, version: Version, out: &mut Vec<u8>) {
    match record.cut(next) {
        Some(cut) => {
            let at = Position {
                seq_from: next,
                seq: record.seq,
            };
            cut.encode(version, at, out);
        }
        None => record.event.encode(version, record.position(), out),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_borrowed_delta_is_encoded_like_the_event(text in any::<String>(), thinking in any::<bool>()) {
            let kind = if thinking { Delta::Thinking } else { Delta::Stream };
            for version in Version::ALL {
                let mut out = Vec::new();
                incoming(&Incoming::Delta(kind, &text), version, 7, &mut out);
                prop_assert_eq!(Bytes::from(out), kind.event(text.clone()).frame(version, Position::of(7)));
            }
        }
    }
}
