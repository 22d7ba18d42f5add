//! Encoding of what the log hands out.

use bytes::Bytes;

use super::record::{Delta, Record};
use crate::protocol::{RunEvent, v1};

/// Encodes a delta as version 1 frames are, without making an event of it.
pub(super) fn delta(kind: Delta, text: &str, out: &mut Vec<u8>) {
    match kind {
        Delta::Stream => v1::encode_stream_delta(text, out),
        Delta::Thinking => v1::encode_thinking_delta(text, out),
    }
}

/// The frame of an event.
pub(super) fn event(event: &RunEvent) -> Bytes {
    event.frame_v1()
}

/// The frame of what lies in `record` at `next` and after it.
pub(super) fn rest(record: &Record, next: u64) -> Bytes {
    match record.cut(next) {
        Some(cut) => event(&cut),
        None => event(&record.event),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_borrowed_delta_is_encoded_like_the_event(text in any::<String>(), thinking in any::<bool>()) {
            let kind = if thinking { Delta::Thinking } else { Delta::Stream };
            let mut out = Vec::new();
            delta(kind, &text, &mut out);
            prop_assert_eq!(Bytes::from(out), kind.event(text).frame_v1());
        }
    }
}
