use super::*;
use crate::session::memory::MAX_ENTRIES;
use crate::session::{MemoryEntry, MemoryPut, StoreError};

fn entry(key: &str, text: &str, updated_at_ms: u64) -> MemoryEntry {
    MemoryEntry {
        key: key.to_owned(),
        text: text.to_owned(),
        updated_at_ms,
    }
}

async fn put(store: &SqliteStore, owner: &Owner, entry: MemoryEntry) -> bool {
    let owner = owner.clone();
    store.memory_put(MemoryPut { owner, entry }).await.unwrap()
}

async fn keys(store: &SqliteStore, owner: &Owner, query: &str) -> Vec<String> {
    let found = store.memory_search(owner, query, 10).await.unwrap();
    found.into_iter().map(|entry| entry.key).collect()
}

#[tokio::test]
async fn what_is_remembered_is_found_by_its_words() {
    let (_folder, store) = new_store().await;
    let (anna, ben) = (Owner::new("anna"), Owner::new("ben"));
    assert!(put(&store, &anna, entry("tea", "Anna likes green tea", 1)).await);
    assert!(put(&store, &anna, entry("city", "Lives in Düsseldorf", 2)).await);
    assert!(put(&store, &ben, entry("tea", "Ben likes black tea", 3)).await);

    assert_eq!(keys(&store, &anna, "TEA?").await, ["tea"]);
    // The beginning of a word, without its dots.
    assert_eq!(keys(&store, &anna, "dussel").await, ["city"]);
    // The name counts as well.
    assert_eq!(keys(&store, &anna, "which city").await, ["city"]);
    assert_eq!(keys(&store, &anna, "coffee").await, [""; 0]);
    // No words: the latest first.
    assert_eq!(keys(&store, &anna, " * ").await, ["city", "tea"]);

    // Another text takes the place of the first, also for the search.
    assert!(!put(&store, &anna, entry("tea", "Coffee after all", 4)).await);
    assert_eq!(keys(&store, &anna, "coffee").await, ["tea"]);
    assert_eq!(keys(&store, &anna, "green").await, [""; 0]);
    let found = store.memory_get(&anna, "tea").await.unwrap();
    assert_eq!(found, Some(entry("tea", "Coffee after all", 4)));

    assert!(store.memory_delete(&anna, "tea").await.unwrap());
    assert!(!store.memory_delete(&anna, "tea").await.unwrap());
    assert_eq!(store.memory_get(&anna, "tea").await.unwrap(), None);
    assert_eq!(keys(&store, &anna, "coffee").await, [""; 0]);
    assert_eq!(keys(&store, &ben, "tea").await, ["tea"]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_owner_has_only_so_many_entries() {
    let (folder, store) = new_store().await;
    // Put there directly: one by one would take a while.
    let conn = rusqlite::Connection::open(folder.path().join("roundhouse.db")).unwrap();
    conn.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO memory (owner, name, text, updated_at_ms) SELECT 'anna', 'k' || i, 'x', 0 FROM n",
        [i64::try_from(MAX_ENTRIES).unwrap()],
    )
    .unwrap();
    drop(conn);
    let anna = Owner::new("anna");
    // One that is there can be changed.
    assert!(!put(&store, &anna, entry("k1", "y", 1)).await);
    let one_more = MemoryPut {
        owner: anna,
        entry: entry("new", "y", 1),
    };
    let error = store.memory_put(one_more).await.unwrap_err();
    assert!(matches!(error, StoreError::MemoryFull), "{error:?}");
    assert!(put(&store, &Owner::new("ben"), entry("new", "y", 1)).await);
    store.close().await.unwrap();
}
