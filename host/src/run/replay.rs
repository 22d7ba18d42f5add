//! What a client is given of the past before it reads on.

use std::sync::Arc;

use super::encode;
use super::record::Record;
use crate::protocol::Version;
use crate::protocol::frames::Frames;

/// Events that a client is given before it reads on, not encoded yet: it shares them with the log, and is given them piece
/// by piece, so that a client that takes them slowly costs little.
#[derive(Debug)]
pub struct Replay {
    version: Version,
    /// The position before which nothing is given.
    from: u64,
    records: std::vec::IntoIter<Arc<Record>>,
}

impl Replay {
    pub(super) fn new(version: Version, from: u64, records: Vec<Arc<Record>>) -> Self {
        Self {
            version,
            from,
            records: records.into_iter(),
        }
    }

    /// How many messages are left.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Replay {
    /// Appends the next message to `out`. Answers the position of the last event in it; `None` when none is left.
    pub fn encode_next(&mut self, out: &mut Vec<u8>) -> Option<u64> {
        let record = self.records.next()?;
        encode::rest(&record, self.from, self.version, out);
        Some(record.seq)
    }

    /// Appends the next frames to `out`, about `bytes` of them. Answers whether there are more.
    pub fn pump(&mut self, bytes: usize, out: &mut Frames) -> bool {
        let mut given = 0;
        while given < bytes && !self.is_empty() {
            out.push_with(|out| {
                let begin = out.len();
                self.encode_next(out);
                given += out.len() - begin;
            });
        }
        !self.is_empty()
    }
}
