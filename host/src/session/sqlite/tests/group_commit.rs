use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::session::{ImageData, SessionPatch, StatePut, StoreError, TurnPageRequest};

#[tokio::test]
async fn what_waits_is_committed_together() {
    let (_folder, store) = new_store().await;
    let store = Arc::new(store);
    let held = Held::writer_of(&store).await;
    let mut calls = join_all((0..100).map(|_| new_session(&store)));
    start(&mut calls).await;
    let before = store.writer.transactions();
    held.release().await;
    assert_eq!(calls.await.len(), 100);
    // One for the call that held the writer, one for all the others.
    assert_eq!(store.writer.transactions() - before, 2);
    assert_eq!(count(&store, "sessions").await, 100);
}

#[tokio::test]
async fn one_that_fails_leaves_nothing_and_fails_alone() {
    let (_folder, store) = new_store().await;
    let store = Arc::new(store);
    let (one, two) = (new_session(&store).await, new_session(&store).await);
    let (a, b) = (begin(one.id, "a"), begin(two.id, "b"));
    store.begin_run(a.clone()).await.unwrap();
    store.begin_run(b.clone()).await.unwrap();

    let held = Held::writer_of(&store).await;
    // Fails at its very end, after it has written its records and its turn.
    let mut bad = finish(a.run, "bad");
    bad.records = numbered(0, vec![delta(2, 2, "bad")]);
    bad.state = vec![StatePut {
        agent: "echo".into(),
        key: "k".into(),
        value: json!(1),
        expected: Some(7),
        version: 8,
    }];
    let good = finish(b.run, "good");
    let mut calls = join_all([store.finish_run(bad), store.finish_run(good)]);
    start(&mut calls).await;
    let before = store.writer.transactions();
    held.release().await;
    let results = calls.await;
    assert!(matches!(results[0], Err(StoreError::Conflict(_))));
    assert!(results[1].is_ok());
    assert_eq!(store.writer.transactions() - before, 2);

    assert_eq!(count(&store, "records").await, 0);
    // Its run goes on, and may end otherwise.
    store.finish_run(finish(a.run, "better")).await.unwrap();
    let page = TurnPageRequest::newest(10);
    let turns = store.history(&owner(), one.id, page).await.unwrap().turns;
    assert_eq!(assistant(&turns[1]).content, "better");
}

#[tokio::test]
async fn a_full_disk_is_told_and_stops_only_who_needs_more() {
    let (_folder, store) = new_store().await;
    let store = Arc::new(store);
    let session = new_session(&store).await;
    let held = Held::writer_of(&store).await;
    let limited = store.writer.call("limit", 0, |conn| {
        let pages: u32 = conn.pragma_query_value(None, "page_count", |row| row.get(0))?;
        let sql = format!("PRAGMA max_page_count = {pages}");
        Ok(conn.query_row(&sql, [], |_| Ok(()))?)
    });
    let mut large = begin(session.id, "a");
    large.turn.images = vec![ImageData {
        media_type: "image/png".into(),
        bytes: Bytes::from(vec![0; 1 << 20]),
    }];
    let patch = |title: &str| SessionPatch {
        title: Some(Some(title.into())),
        ..SessionPatch::default()
    };
    let owner = owner();
    let mut limited = Box::pin(limited);
    let mut large = Box::pin(store.begin_run(large));
    let mut before = Box::pin(store.update(&owner, session.id, patch("a")));
    let mut after = Box::pin(store.update(&owner, session.id, patch("b")));
    start(&mut limited).await;
    start(&mut before).await;
    start(&mut large).await;
    start(&mut after).await;
    held.release().await;
    limited.await.unwrap();
    let error = large.await.unwrap_err();
    assert!(matches!(error, StoreError::Full), "{error:?}");
    assert_eq!(error.to_string(), "the disk or the quota is full");
    before.await.unwrap();
    after.await.unwrap();
    let read = store.get(&owner, session.id).await.unwrap();
    assert_eq!(read.title.as_deref(), Some("b"));

    execute(&store, "PRAGMA max_page_count = 1000000").await;
    store.begin_run(begin(session.id, "a")).await.unwrap();
}

#[tokio::test]
async fn a_file_that_can_only_be_read_is_told() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    execute(&store, "PRAGMA query_only = 1").await;
    let error = store.begin_run(begin(session.id, "a")).await.unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly), "{error:?}");
    assert_eq!(error.to_string(), "the data folder can only be read");
    store.get(&owner(), session.id).await.unwrap();
}

#[tokio::test]
async fn a_call_is_bounded_in_time_and_one_given_up_does_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(SqliteOptions {
        limit: Duration::from_millis(50),
        ..SqliteOptions::new(folder.path())
    });
    let store = Arc::new(store.await.unwrap());
    let held = Held::writer_of(&store).await;
    let error = store.create(NewSession::of(owner())).await.unwrap_err();
    assert!(matches!(error, StoreError::Timeout(_)), "{error:?}");
    assert_eq!(error.to_string(), "the store did not answer within 0.05 s");
    held.release().await;
    assert_eq!(count(&store, "sessions").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sessions_talk_at_once() {
    let (_folder, store) = new_store().await;
    let store = Arc::new(store);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..50u64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let session = new_session(&store).await.id;
            for turn in 0..4 {
                let begin = begin(session, &format!("{n} {turn}"));
                let run = begin.run;
                store.begin_run(begin).await.unwrap();
                let records = records_of(run, vec![delta(2, 2, "x")]);
                assert_eq!(store.append_records(records).await.unwrap(), []);
                store
                    .finish_run(finish(run, &format!("{n}")))
                    .await
                    .unwrap();
                // What was answered is there to read at once.
                let page = TurnPageRequest::newest(1);
                let page = store.agent_history(session, page).await.unwrap();
                assert_eq!(page.turns[0].run, run);
                assert_eq!(assistant(&page.turns[0]).records.len(), 1);
            }
            let page = TurnPageRequest::newest(100);
            let turns = store.agent_history(session, page).await.unwrap().turns;
            let said: Vec<_> = turns
                .iter()
                .step_by(2)
                .map(|t| user(t).content.clone())
                .collect();
            assert_eq!(said, (0..4).map(|t| format!("{n} {t}")).collect::<Vec<_>>());
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
}
