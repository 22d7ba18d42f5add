use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::session::{
    Entity, FileRef, ImageData, PageRequest, StatePut, StoreError, TurnPageRequest,
};

const TABLES: [&str; 10] = [
    "sessions",
    "runs",
    "turns",
    "images",
    "records",
    "state",
    "uploads",
    "messages",
    "queue",
    "queue_images",
];

/// A session with rows in every table and a file in its folder.
async fn full_session(store: &SqliteStore) -> SessionId {
    let session = new_session(store).await.id;
    let mut begin = begin(session, "look");
    begin.turn.images = vec![
        ImageData {
            media_type: "image/png".into(),
            bytes: Bytes::from_static(b"png"),
        };
        10
    ];
    let run = begin.run;
    store.begin_run(begin).await.unwrap();
    let records = (2..2500).map(|seq| delta(seq, seq, "x")).collect();
    store
        .append_records(records_of(run, records))
        .await
        .unwrap();
    let mut end = finish(run, "seen");
    end.state = vec![StatePut {
        agent: "echo".into(),
        key: "k".into(),
        value: json!(1),
        expected: None,
        version: 1,
    }];
    store.finish_run(end).await.unwrap();
    let mut waiting = queued(session, "wait");
    waiting.message = Some(message(1, 1));
    waiting.turn.images = vec![
        ImageData {
            media_type: "image/png".into(),
            bytes: Bytes::from_static(b"png"),
        };
        10
    ];
    store.enqueue(waiting).await.unwrap();
    let folder = store.upload_folders().create(session).unwrap();
    let path = folder.join("a.txt");
    std::fs::write(&path, "a").unwrap();
    let file = FileRef {
        name: "a.txt".into(),
        path: path.to_str().unwrap().into(),
    };
    store.add_upload(&owner(), session, file, 1).await.unwrap();
    session
}

#[tokio::test]
async fn nothing_is_left_of_a_deleted_session() {
    let (_folder, store) = new_store().await;
    let kept = full_session(&store).await;
    let mut before = Vec::new();
    for table in TABLES {
        before.push(count(&store, table).await);
    }
    let gone = full_session(&store).await;
    let running = begin(gone, "more");
    store.begin_run(running.clone()).await.unwrap();

    store.delete(&owner(), gone).await.unwrap();
    for (table, before) in TABLES.iter().zip(before) {
        assert_eq!(count(&store, table).await, before, "{table}");
    }
    assert!(!store.upload_folders().of(gone).exists());
    assert!(store.upload_folders().of(kept).exists());

    // Its run is over, however late it notices.
    let records = records_of(running.run, vec![delta(2, 2, "x")]);
    assert_eq!(store.append_records(records).await.unwrap(), [running.run]);
    assert!(matches!(
        store.finish_run(finish(running.run, "late")).await,
        Err(StoreError::NotFound(Entity::Run))
    ));
    assert!(matches!(
        store.delete(&owner(), gone).await,
        Err(StoreError::NotFound(Entity::Session))
    ));
}

#[tokio::test]
async fn a_deletion_that_was_interrupted_is_completed_by_the_next_start() {
    let (folder, store) = new_store().await;
    let store = Arc::new(store);
    let gone = full_session(&store).await;
    let running = begin(gone, "more");
    store.begin_run(running.clone()).await.unwrap();

    // The first step is done, the next is not.
    let held = Held::writer_of(&store).await;
    let owner = owner();
    let mut deletion = Box::pin(store.delete(&owner, gone));
    start(&mut deletion).await;
    held.release().await;
    while store.get(&owner, gone).await.is_ok() {
        start(&mut deletion).await;
    }
    drop(deletion);

    let page = PageRequest::first(10);
    assert_eq!(store.list(&owner, page).await.unwrap().items, []);
    let turns = TurnPageRequest::newest(10);
    assert!(store.agent_history(gone, turns).await.is_err());
    assert!(store.image(running.run, 0).await.is_err());
    assert!(matches!(
        store.finish_run(finish(running.run, "late")).await,
        Err(StoreError::NotFound(Entity::Run))
    ));
    assert_eq!(store.queues().await.unwrap(), []);
    assert!(store.enqueue(queued(gone, "late")).await.is_err());
    assert_eq!(count(&store, "sessions").await, 1);
    store.close().await.unwrap();
    drop(store);

    let store = open(folder.path()).await;
    assert_eq!(store.recover().await.unwrap(), []);
    for table in TABLES {
        assert_eq!(count(&store, table).await, 0, "{table}");
    }
    assert!(!store.upload_folders().of(gone).exists());
}
