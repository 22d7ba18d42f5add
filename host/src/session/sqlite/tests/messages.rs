use super::*;
use crate::session::{KnownMessage, MESSAGE_ID_KEPT_MS, MessageState, StoreError};

async fn known(
    store: &SqliteStore,
    session: SessionId,
    id: u128,
    now_ms: u64,
) -> Option<KnownMessage> {
    store
        .message(session, &owner(), message_id(id), now_ms)
        .await
        .unwrap()
}

fn is_known<T: std::fmt::Debug>(result: Result<T, StoreError>) -> KnownMessage {
    match result {
        Err(StoreError::KnownMessage(known)) => known,
        other => panic!("{other:?}"),
    }
}

/// A run whose message has an id.
fn begin_with(session: SessionId, key: MessageKey, at_ms: u64) -> BeginRun {
    BeginRun {
        message: Some(key),
        started_at_ms: at_ms,
        ..begin(session, "a")
    }
}

#[tokio::test]
async fn a_message_is_known_from_its_runs_begin_on() {
    let (folder, store) = new_store().await;
    let session = new_session(&store).await.id;
    assert_eq!(known(&store, session, 1, 1_000).await, None);
    let first = begin_with(session, message(1, 7), 1_000);
    store.begin_run(first.clone()).await.unwrap();
    let expected = |status| {
        Some(KnownMessage {
            digest: [7; 32],
            run: first.run,
            state: MessageState::Run(status),
        })
    };
    assert_eq!(
        known(&store, session, 1, 1_000).await,
        expected(RunStatus::Running)
    );
    assert_eq!(known(&store, session, 2, 1_000).await, None);
    drop(store);
    let store = open(folder.path()).await;
    store.recover().await.unwrap();
    assert_eq!(
        known(&store, session, 1, 1_000).await,
        expected(RunStatus::Lost)
    );
}

#[tokio::test]
async fn a_known_message_changes_nothing() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await.id;
    let first = begin_with(session, message(1, 7), 1_000);
    store.begin_run(first.clone()).await.unwrap();

    // An unfinished run is there, which a run that begins would end.
    let again = is_known(
        store
            .begin_run(begin_with(session, message(1, 8), 1_000))
            .await,
    );
    let expected = KnownMessage {
        digest: [7; 32],
        run: first.run,
        state: MessageState::Run(RunStatus::Running),
    };
    assert_eq!(again, expected);
    let mut waiting = queued(session, "b");
    waiting.message = Some(message(1, 7));
    assert_eq!(is_known(store.enqueue(waiting.clone()).await), expected);
    // Nor does it matter that there is no room.
    waiting.limit = 0;
    assert_eq!(is_known(store.enqueue(waiting).await), expected);

    assert_eq!(known(&store, session, 1, 1_000).await, Some(expected));
    for (table, rows) in [("runs", 1), ("turns", 1), ("messages", 1), ("queue", 0)] {
        assert_eq!(count(&store, table).await, rows, "{table}");
    }
    store.finish_run(finish(first.run, "b")).await.unwrap();
}

#[tokio::test]
async fn what_is_refused_leaves_no_id() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await.id;
    let mut full = queued(session, "b");
    (full.message, full.limit) = (Some(message(1, 7)), 0);
    assert!(matches!(
        store.enqueue(full).await,
        Err(StoreError::QueueFull)
    ));
    assert_eq!(known(&store, session, 1, 1_000).await, None);

    // A run that has begun is begun no second time; a repetition of the call is answered like the first.
    let first = begin(session, "a");
    let begun = store.begin_run(first.clone()).await.unwrap();
    let mut twice = begin_with(session, message(1, 7), 1_000);
    twice.run = first.run;
    assert_eq!(store.begin_run(twice).await.unwrap(), begun);
    assert_eq!(count(&store, "runs").await, 1);
    assert_eq!(known(&store, session, 1, 1_000).await, None);
    assert_eq!(count(&store, "messages").await, 0);
}

#[tokio::test]
async fn ids_are_the_owners_and_the_sessions_own() {
    let (_folder, store) = new_store().await;
    let (one, two) = (new_session(&store).await.id, new_session(&store).await.id);
    let first = begin_with(one, message(1, 7), 1_000);
    store.begin_run(first).await.unwrap();
    assert_eq!(known(&store, two, 1, 1_000).await, None);
    let second = begin_with(two, message(1, 8), 1_000);
    store.begin_run(second.clone()).await.unwrap();
    assert_eq!(known(&store, two, 1, 1_000).await.unwrap().run, second.run);

    let key = MessageKey {
        owner: Owner::new("ben"),
        ..message(1, 9)
    };
    store.begin_run(begin_with(one, key, 1_000)).await.unwrap();
    assert_eq!(known(&store, one, 1, 1_000).await.unwrap().digest, [7; 32]);
}

#[tokio::test]
async fn an_id_is_kept_for_a_day() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await.id;
    let begun = async |id, content, at_ms| {
        let begin = begin_with(session, message(id, content), at_ms);
        let run = begin.run;
        store.begin_run(begin).await?;
        store.finish_run(finish(run, "b")).await?;
        Ok::<_, StoreError>(run)
    };
    let first = begun(1, 7, 5_000).await.unwrap();
    let last = 5_000 + MESSAGE_ID_KEPT_MS;
    assert_eq!(known(&store, session, 1, last).await.unwrap().run, first);
    is_known(begun(1, 7, last).await);
    assert_eq!(known(&store, session, 1, last + 1).await, None);

    // The same id again is another message from then on.
    let second = begun(1, 8, last + 1).await.unwrap();
    assert_eq!(
        known(&store, session, 1, last + 1).await.unwrap().run,
        second
    );
    assert_eq!(count(&store, "messages").await, 1);

    // Old ones go when others come, those of other sessions too.
    let other = new_session(&store).await.id;
    store
        .begin_run(begin_with(other, message(2, 1), last + 2))
        .await
        .unwrap();
    assert_eq!(count(&store, "messages").await, 2);
    begun(3, 1, last + 3 + MESSAGE_ID_KEPT_MS).await.unwrap();
    assert_eq!(count(&store, "messages").await, 1);
}

#[tokio::test]
async fn old_ids_are_deleted_without_reading_the_others() {
    let (_folder, store) = new_store().await;
    let plan = store
        .writer
        .call("explain", 0, |conn| {
            let sql = "EXPLAIN QUERY PLAN SELECT key FROM messages WHERE created_at_ms < 5
                ORDER BY created_at_ms LIMIT 64";
            Ok(conn.query_row(sql, [], |row| row.get::<_, String>(3))?)
        })
        .await
        .unwrap();
    assert!(plan.contains("messages_by_age"), "{plan}");
}
