use super::*;
use crate::session::{Forms, TurnPageRequest};

async fn of_history(store: &SqliteStore, session: SessionId) -> Numbering {
    let page = TurnPageRequest::newest(10);
    let page = store.history(&owner(), session, page).await.unwrap();
    page.numbering
}

async fn positions(store: &SqliteStore, session: SessionId, turn: usize) -> Vec<(u64, u64)> {
    let page = TurnPageRequest::newest(10);
    let page = store.agent_history(session, page).await.unwrap();
    let records = assistant(&page.turns[turn]).records.iter();
    records
        .map(|record| (record.seq_from, record.seq))
        .collect()
}

#[tokio::test]
async fn a_session_has_a_numbering_from_its_creation() {
    let (folder, store) = new_store().await;
    let (one, two) = (new_session(&store).await.id, new_session(&store).await.id);
    let first = store.numbering(one).await.unwrap();
    assert_eq!(first.last_seq, 0);
    assert_eq!(of_history(&store, one).await, first);
    assert_ne!(store.numbering(two).await.unwrap().epoch, first.epoch);
    store.close().await.unwrap();
    let store = open(folder.path()).await;
    assert_eq!(store.numbering(one).await.unwrap(), first);
}

#[tokio::test]
async fn a_numbering_goes_on_from_run_to_run() {
    let (folder, store) = new_store().await;
    let session = new_session(&store).await.id;
    let first = begin(session, "a");
    store.begin_run(first.clone()).await.unwrap();
    // What a client does not have yet begins after it.
    assert_eq!(of_history(&store, session).await, numbering("first", 0));
    store.finish_run(finish(first.run, "b")).await.unwrap();
    assert_eq!(of_history(&store, session).await, numbering("first", 9));

    let mut second = begin(session, "c");
    second.first_seq = 10;
    store.begin_run(second.clone()).await.unwrap();
    assert_eq!(of_history(&store, session).await, numbering("first", 9));
    let mut end = finish(second.run, "d");
    end.last_seq = 12;
    store.finish_run(end).await.unwrap();
    store.close().await.unwrap();
    let store = open(folder.path()).await;
    assert_eq!(store.recover().await.unwrap(), []);
    let known = store.numbering(session).await.unwrap();
    assert_eq!(known, numbering("first", 12));
}

#[tokio::test]
async fn a_run_whose_end_was_not_saved_begins_a_new_numbering_when_that_is_asked_for() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await.id;
    talk(&store, session, "a", "b").await;
    let mut orphan = begin(session, "c");
    orphan.first_seq = 10;
    store.begin_run(orphan.clone()).await.unwrap();
    let dropped = StoredRecord {
        forms: Forms::Dropped("{}".into()),
        ..delta(10, 10, "")
    };
    let records = vec![dropped, delta(11, 15, "half"), delta(17, 20, " an")];
    let refused = store.append_records(records_of(orphan.run, records)).await;
    assert_eq!(refused.unwrap(), []);

    let begun = store.numbering(session).await.unwrap();
    assert_ne!(begun.epoch, Epoch::new("first"));
    assert_eq!(begun.last_seq, 12);
    assert_eq!(
        positions(&store, session, 3).await,
        [(1, 1), (2, 6), (8, 11)]
    );
    // It is one that goes on from now on.
    assert_eq!(store.numbering(session).await.unwrap(), begun);
    assert_eq!(of_history(&store, session).await, begun);
    let run = store.latest_run(session, 1000).await.unwrap().unwrap();
    assert_eq!((run.run, run.status), (orphan.run, RunStatus::Lost));
    assert_eq!((run.first_seq, run.last_seq), (1, 12));

    let mut next = begin(session, "d");
    (next.epoch, next.first_seq) = (begun.epoch.clone(), 13);
    store.begin_run(next).await.unwrap();
    assert_eq!(of_history(&store, session).await, begun);
}

#[tokio::test]
async fn a_lost_run_of_which_nothing_was_saved_has_a_begin_and_an_end() {
    let (folder, store) = new_store().await;
    let session = new_session(&store).await.id;
    let mut orphan = begin(session, "a");
    orphan.first_seq = 7;
    store.begin_run(orphan).await.unwrap();
    drop(store);
    let store = open(folder.path()).await;
    store.recover().await.unwrap();
    assert_eq!(of_history(&store, session).await.last_seq, 2);
    let run = store.latest_run(session, 1000).await.unwrap().unwrap();
    assert_eq!((run.first_seq, run.last_seq), (1, 2));
}

#[tokio::test]
async fn a_run_that_begins_in_this_process_goes_on_with_the_numbering_in_memory() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await.id;
    let orphan = begin(session, "a");
    store.begin_run(orphan.clone()).await.unwrap();
    let records = records_of(orphan.run, vec![delta(2, 5, "half")]);
    store.append_records(records).await.unwrap();

    // Its end had position 6, and was seen.
    let mut next = begin(session, "b");
    next.first_seq = 7;
    store.begin_run(next).await.unwrap();
    assert_eq!(of_history(&store, session).await, numbering("first", 6));
    assert_eq!(positions(&store, session, 1).await, [(2, 5)]);
}

#[tokio::test]
async fn recovery_leaves_a_run_alone_that_began_before_it() {
    let (folder, store) = new_store().await;
    let session = new_session(&store).await.id;
    store.begin_run(begin(session, "a")).await.unwrap();
    drop(store);
    let store = open(folder.path()).await;
    let running = begin(session, "b");
    store.begin_run(running.clone()).await.unwrap();
    store.recover().await.unwrap();
    store.finish_run(finish(running.run, "c")).await.unwrap();
    assert_eq!(of_history(&store, session).await, numbering("first", 9));
}
