//! The file's schema, version by version.

use rusqlite::{Connection, TransactionBehavior};

/// Marks the file as ours (`RHSE`), so that another program's is refused.
pub(super) const APPLICATION_ID: i32 = 0x5248_5345;

/// What leads from each version to the next; the file's `user_version` counts
/// how many were applied. Never edited once released, only appended to.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_record_numbers.sql"),
    include_str!("migrations/0003_epochs.sql"),
    include_str!("migrations/0004_messages.sql"),
    include_str!("migrations/0005_profiles_and_memory.sql"),
];

/// Why a file could not be brought to the present schema.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A newer host has written to it. Going back would lose data.
    #[error(
        "its schema has version {found}, this host knows up to {known}; start a newer host, or \
         point `storage.path` elsewhere"
    )]
    Newer { found: u32, known: u32 },
    #[error("it belongs to another program")]
    NotOurs,
    #[error("bringing its schema to version {version} failed; it is left at version {}", version - 1)]
    Failed {
        version: u32,
        #[source]
        source: rusqlite::Error,
    },
    #[error("its schema's version cannot be read")]
    Unreadable(#[source] rusqlite::Error),
}

/// Brings the file to the last of the given versions, each step in a
/// transaction of its own.
pub(super) fn migrate(conn: &mut Connection, migrations: &[&str]) -> Result<(), MigrationError> {
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    let (id, found) = identity(conn).map_err(MigrationError::Unreadable)?;
    if id != APPLICATION_ID && !is_empty(conn).map_err(MigrationError::Unreadable)? {
        return Err(MigrationError::NotOurs);
    }
    if found > known {
        return Err(MigrationError::Newer { found, known });
    }
    for (version, sql) in (1..).zip(migrations).skip(found as usize) {
        apply(conn, version, sql).map_err(|source| MigrationError::Failed { version, source })?;
    }
    Ok(())
}

fn apply(conn: &mut Connection, version: u32, sql: &str) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(sql)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", version)?;
    tx.commit()
}

fn identity(conn: &Connection) -> rusqlite::Result<(i32, u32)> {
    Ok((
        conn.pragma_query_value(None, "application_id", |row| row.get(0))?,
        conn.pragma_query_value(None, "user_version", |row| row.get(0))?,
    ))
}

fn is_empty(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row(
        "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)",
        [],
        |row| row.get(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_file_gets_only_what_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        let first = ["CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1);"];
        migrate(&mut Connection::open(&path).unwrap(), &first).unwrap();

        let both = [first[0], "ALTER TABLE a ADD COLUMN y TEXT;"];
        for _ in 0..2 {
            let mut conn = Connection::open(&path).unwrap();
            migrate(&mut conn, &both).unwrap();
            assert_eq!(identity(&conn).unwrap(), (APPLICATION_ID, 2));
            let row: (i64, Option<String>) = conn
                .query_row("SELECT x, y FROM a", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .unwrap();
            assert_eq!(row, (1, None));
        }
    }

    #[test]
    fn records_of_a_file_that_knew_no_numbers_get_theirs() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, &MIGRATIONS[..1]).unwrap();
        conn.execute_batch(
            "INSERT INTO sessions (id, owner, created_at_ms, updated_at_ms, metadata)
                VALUES ('s', 'local', 0, 0, '{}');
             INSERT INTO runs (id, session, turn, agent, status, started_at_ms, first_seq, last_seq)
                VALUES ('a', 1, 2, 'echo', 'running', 0, 1, 1), ('b', 1, 4, 'echo', 'running', 0, 1, 1);
             INSERT INTO records (run, seq_from, seq, kind, form, sent)
                VALUES (1, 2, 2, 'x', 'same', '{}'), (2, 9, 9, 'x', 'same', '{}'), (1, 3, 4, 'x', 'same', '{}');",
        )
        .unwrap();
        migrate(&mut conn, MIGRATIONS).unwrap();
        let rows: Vec<(i64, i64, i64)> = conn
            .prepare("SELECT run, number, seq FROM records ORDER BY run, number")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(rows, [(1, 0, 2), (1, 1, 4), (2, 0, 9)]);
    }

    #[test]
    fn sessions_of_a_file_that_knew_no_epochs_get_theirs() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, &MIGRATIONS[..2]).unwrap();
        conn.execute_batch(
            "INSERT INTO sessions (id, owner, created_at_ms, updated_at_ms, metadata, epoch)
                VALUES ('a', 'local', 0, 0, '{}', NULL), ('b', 'local', 0, 0, '{}', NULL),
                    ('c', 'local', 0, 0, '{}', 'kept');",
        )
        .unwrap();
        migrate(&mut conn, MIGRATIONS).unwrap();
        let epochs: Vec<String> = conn
            .prepare("SELECT epoch FROM sessions ORDER BY id")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!((epochs[0].len(), epochs[1].len()), (32, 32));
        assert_ne!(epochs[0], epochs[1]);
        assert_eq!(epochs[2], "kept");
    }

    #[test]
    fn a_failing_step_leaves_the_version_before() {
        let mut conn = Connection::open_in_memory().unwrap();
        let steps = [
            "CREATE TABLE a (x) ;",
            "CREATE TABLE b (x); INSERT INTO nowhere VALUES (1);",
        ];
        let error = migrate(&mut conn, &steps).unwrap_err();
        assert_eq!(
            error.to_string(),
            "bringing its schema to version 2 failed; it is left at version 1"
        );
        assert_eq!(identity(&conn).unwrap().1, 1);
        let tables: i64 = conn
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 1);
    }

    #[test]
    fn a_newer_file_and_a_strangers_are_refused() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, &["CREATE TABLE a (x);", "CREATE TABLE b (x);"]).unwrap();
        assert!(matches!(
            migrate(&mut conn, &["CREATE TABLE a (x);"]),
            Err(MigrationError::Newer { found: 2, known: 1 })
        ));

        let mut conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE theirs (x);").unwrap();
        assert!(matches!(
            migrate(&mut conn, MIGRATIONS),
            Err(MigrationError::NotOurs)
        ));
    }
}
