//! What agents remember for an owner, across sessions: texts under names, found by their words.

use super::ids::Owner;

/// The most entries that an owner has.
pub const MAX_ENTRIES: u64 = 10_000;

/// The most entries that one search gives.
pub const MAX_FOUND: u32 = 100;

/// The longest name of an entry, in bytes.
pub const MAX_KEY_BYTES: usize = 200;

/// The longest text of an entry, in bytes.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// Something that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryEntry {
    /// Its name, unique for its owner.
    pub key: String,
    pub text: String,
    /// When it was last written.
    pub updated_at_ms: u64,
}

/// Something to be remembered, in place of what has the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPut {
    pub owner: Owner,
    pub entry: MemoryEntry,
}
