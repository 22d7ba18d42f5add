//! What agents remember for an owner.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::columns::Count;
use super::fault::Fault;
use crate::session::ids::Owner;
use crate::session::memory::{MAX_ENTRIES, MAX_FOUND, MemoryEntry, MemoryPut};
use crate::session::store::StoreError;

/// Whether it is a new entry.
pub(super) fn put(conn: &Connection, put: &MemoryPut) -> Result<bool, Fault> {
    let MemoryPut { owner, entry } = put;
    let updated_at = Count(entry.updated_at_ms);
    let values = params![owner, entry.key, entry.text, updated_at];
    let changed = conn
        .prepare_cached(
            "UPDATE memory SET text = ?3, updated_at_ms = ?4 WHERE owner = ?1 AND name = ?2",
        )?
        .execute(values)?;
    if changed > 0 {
        return Ok(false);
    }
    let entries: Count = conn
        .prepare_cached("SELECT count(*) FROM memory WHERE owner = ?1")?
        .query_row([owner], |row| row.get(0))?;
    if entries.0 >= MAX_ENTRIES {
        return Err(StoreError::MemoryFull.into());
    }
    conn.prepare_cached(
        "INSERT INTO memory (owner, name, text, updated_at_ms) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(values)?;
    Ok(true)
}

pub(super) fn get(
    conn: &Connection,
    owner: &Owner,
    key: &str,
) -> Result<Option<MemoryEntry>, Fault> {
    Ok(conn
        .prepare_cached(
            "SELECT name, text, updated_at_ms FROM memory WHERE owner = ?1 AND name = ?2",
        )?
        .query_row(params![owner, key], read)
        .optional()?)
}

/// Those with any of the words, the best match first; without words the latest.
pub(super) fn search(
    conn: &Connection,
    owner: &Owner,
    query: &str,
    limit: u32,
) -> Result<Vec<MemoryEntry>, Fault> {
    let limit = limit.clamp(1, MAX_FOUND);
    let Some(words) = words(query) else {
        return Ok(conn
            .prepare_cached(
                "SELECT name, text, updated_at_ms FROM memory WHERE owner = ?1
                 ORDER BY updated_at_ms DESC, key DESC LIMIT ?2",
            )?
            .query_map(params![owner, limit], read)?
            .collect::<Result<_, _>>()?);
    };
    Ok(conn
        .prepare_cached(
            "SELECT memory.name, memory.text, memory.updated_at_ms FROM memory_words
             JOIN memory ON memory.key = memory_words.rowid
             WHERE memory_words MATCH ?2 AND memory.owner = ?1
             ORDER BY memory_words.rank, memory.key DESC LIMIT ?3",
        )?
        .query_map(params![owner, words, limit], read)?
        .collect::<Result<_, _>>()?)
}

/// Whether there was one.
pub(super) fn delete(conn: &Connection, owner: &Owner, key: &str) -> Result<bool, Fault> {
    let deleted = conn
        .prepare_cached("DELETE FROM memory WHERE owner = ?1 AND name = ?2")?
        .execute(params![owner, key])?;
    Ok(deleted > 0)
}

fn read(row: &Row<'_>) -> rusqlite::Result<MemoryEntry> {
    Ok(MemoryEntry {
        key: row.get(0)?,
        text: row.get(1)?,
        updated_at_ms: row.get::<_, Count>(2)?.0,
    })
}

/// The most words of a query that are looked for.
const MAX_WORDS: usize = 32;

/// A query in the index's own language: any of the words, each also as the beginning of a longer one. In
/// quotation marks nothing in them is a sign of that language.
fn words(query: &str) -> Option<String> {
    let words: Vec<String> = query
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(MAX_WORDS)
        .map(|word| format!("\"{word}\"*"))
        .collect();
    (!words.is_empty()).then(|| words.join(" OR "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_words_and_nothing_else() {
        let expected = "\"NEAR\"* OR \"x\"* OR \"größe\"*";
        assert_eq!(words("NEAR(\"x\"* -größe"), Some(expected.to_owned()));
        assert_eq!(words(" \"*-^ "), None);
    }
}
