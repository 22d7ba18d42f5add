//! Reading in pages.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::model::{Numbering, Turn};

/// The most entries of one page, whatever was asked for.
pub const MAX_PAGE: u32 = 500;

/// The text given as a cursor was not made by this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of an earlier page")]
pub struct InvalidCursor;

/// Where the next page of a list begins. Opaque: pass on what the page before
/// said. It stays valid when entries come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(Uuid);

impl Cursor {
    /// The cursor behind the entry with this id.
    #[must_use]
    pub const fn after(id: Uuid) -> Self {
        Self(id)
    }

    /// The id of the last entry that was read.
    #[must_use]
    pub const fn last_read(&self) -> Uuid {
        self.0
    }

    /// Reads a cursor's text.
    ///
    /// # Errors
    /// The text is not one that [`Display`](fmt::Display) gave.
    pub fn parse(text: &str) -> Result<Self, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        Uuid::from_slice(&bytes)
            .map(Self)
            .map_err(|_| InvalidCursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.as_bytes()))
    }
}

/// Which page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// None for the first page.
    pub cursor: Option<Cursor>,
    /// How many entries at most; taken as between 1 and [`MAX_PAGE`].
    pub limit: u32,
}

impl PageRequest {
    #[must_use]
    pub const fn first(limit: u32) -> Self {
        Self {
            cursor: None,
            limit,
        }
    }
}

/// One page of a list, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins; None after the last one.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The page of the first `limit` of `items`, which were read with one more than that to see whether there is a
    /// next page; `id` tells an entry's id.
    pub(in crate::session) fn cut(mut items: Vec<T>, limit: u32, id: impl Fn(&T) -> Uuid) -> Self {
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let last = items.last().filter(|_| more);
        let next = last.map(|last| Cursor::after(id(last)));
        Self { items, next }
    }
}

/// Which page of a session's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnPageRequest {
    /// Only turns with a smaller number; None for the newest.
    pub before: Option<u64>,
    /// How many turns at most; taken as between 1 and [`MAX_PAGE`].
    pub limit: u32,
    /// The page ends early with the turn that brings it to this size (contents
    /// and records), so it exceeds it by one turn at most.
    pub max_bytes: u64,
}

impl TurnPageRequest {
    /// The newest turns, up to 8 MiB.
    #[must_use]
    pub const fn newest(limit: u32) -> Self {
        Self {
            before: None,
            limit,
            max_bytes: 8 << 20,
        }
    }

    /// The turns before the one with this number, up to 8 MiB.
    #[must_use]
    pub const fn before(turn: u64, limit: u32) -> Self {
        Self {
            before: Some(turn),
            ..Self::newest(limit)
        }
    }
}

/// One page of a session's history.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnPage {
    /// In the order they were spoken (ascending numbers). The turn of a run
    /// that is still running is not among them.
    pub turns: Vec<Turn>,
    /// What to ask for to get the turns before these; None at the beginning.
    pub before: Option<u64>,
    /// The session's numbering at the moment of reading, and the position up to
    /// which the newest page is complete: while a run is in progress, the one
    /// before its `stream_start`. A client that resumes from there misses
    /// nothing and gets nothing twice.
    pub numbering: Numbering,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_nonsense_is_refused() {
        let cursor = Cursor::after(Uuid::now_v7());
        assert_eq!(Cursor::parse(&cursor.to_string()), Ok(cursor));
        for text in ["", "x", "1234", "!!!!", &"A".repeat(23), "é"] {
            assert_eq!(Cursor::parse(text), Err(InvalidCursor), "{text}");
        }
    }
}
