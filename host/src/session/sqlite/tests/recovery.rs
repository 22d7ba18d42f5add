use super::super::DATABASE;
use super::child::{self, CHILD};
use super::*;
use crate::session::{PageRequest, StoreError, TurnPageRequest};

/// What [`half_a_run`] left behind, as found by a new start.
async fn assert_recovered(store: &SqliteStore, session: SessionId) {
    let lost = store.recover().await.unwrap();
    assert_eq!(lost.len(), 1);
    assert_eq!((lost[0].session, &*lost[0].agent), (session, "echo"));
    assert_eq!(store.recover().await.unwrap(), []);

    let page = TurnPageRequest::newest(10);
    let history = store.history(&owner(), session, page).await.unwrap();
    assert_eq!(history.turns.len(), 4);
    assert_eq!(assistant(&history.turns[1]).content, "whole");
    assert_eq!(user(&history.turns[2]).content, "second");
    let answer = assistant(&history.turns[3]);
    assert_eq!(answer.status, RunStatus::Lost);
    assert_eq!(answer.content, "what was *");
    assert_eq!(answer.outcome, None);
    assert_eq!(answer.records.len(), 3);
    let emitted = store.agent_history(session, page).await.unwrap();
    assert_eq!(assistant(&emitted.turns[3]).content, "what was streamed");

    // Clients may have seen more than was stored: the old numbering is over.
    let numbering = store.numbering(session).await.unwrap();
    assert_ne!(numbering.epoch, Epoch::new("first"));
    assert_eq!(numbering.last_seq, 6);
    assert_eq!(history.numbering, numbering);
    let positions: Vec<_> = answer.records.iter().map(|r| (r.seq_from, r.seq)).collect();
    assert_eq!(positions, [(2, 3), (4, 4), (5, 5)]);
    let page = PageRequest::first(2);
    let runs = store.runs(&owner(), session, page).await.unwrap().items;
    assert_eq!((runs[0].id, runs[0].status), (lost[0].run, RunStatus::Lost));
    assert_eq!((runs[0].first_seq, runs[0].last_seq), (1, 6));
    assert_eq!((runs[0].ended_at_ms, runs[0].outcome), (None, None));

    // The run before it is as it was, and the next goes on in the new numbering.
    assert_eq!((runs[1].first_seq, runs[1].last_seq), (1, 9));
    let next = store.begin_run(begin(session, "third")).await.unwrap();
    assert_eq!(next.user_turn, 5);
}

/// One exchange, and another that is cut off.
pub(super) async fn half_a_run(store: &SqliteStore) -> SessionId {
    let session = new_session(store).await.id;
    talk(store, session, "first", "whole").await;
    let mut second = begin(session, "second");
    second.first_seq = 10;
    let run = second.run;
    store.begin_run(second).await.unwrap();
    let append = async |first, records| {
        let records = numbered(first, records);
        let refused = store
            .append_records(vec![RunRecords { run, records }])
            .await;
        assert_eq!(refused.unwrap(), []);
    };
    append(0, vec![delta(11, 12, "what was ")]).await;
    let tool = StoredRecord {
        kind: "tool_started".into(),
        ..delta(13, 13, "not the answer")
    };
    let mut masked = delta(14, 14, "");
    masked.forms = Forms::Mapped {
        emitted: serde_json::json!({"type": "stream_delta", "delta": "streamed"}).to_string(),
        sent: serde_json::json!({"type": "stream_delta", "delta": "*"}).to_string(),
    };
    append(1, vec![tool, masked]).await;
    session
}

#[tokio::test]
async fn a_run_without_an_end_is_lost_with_what_was_saved() {
    let (folder, store) = new_store().await;
    let session = half_a_run(&store).await;
    drop(store);
    assert_recovered(&open(folder.path()).await, session).await;
}

#[tokio::test]
async fn the_files_of_a_running_host_are_enough() {
    let (folder, store) = new_store().await;
    let session = half_a_run(&store).await;
    // As the disk would be if the machine went away now.
    let copy = tempfile::tempdir().unwrap();
    for name in [DATABASE.to_owned(), format!("{DATABASE}-wal")] {
        std::fs::copy(folder.path().join(&name), copy.path().join(&name)).unwrap();
    }
    assert_recovered(&open(copy.path()).await, session).await;
}

#[tokio::test]
async fn a_process_that_was_killed_leaves_a_usable_folder() {
    let folder = tempfile::tempdir().unwrap();
    let output = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child::TEST, "--ignored", "--nocapture"])
        .env(CHILD, folder.path())
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(child::CODE), "{output:?}");
    let session = std::fs::read_to_string(folder.path().join("session")).unwrap();
    assert_recovered(&open(folder.path()).await, session.parse().unwrap()).await;
}

#[tokio::test]
async fn runs_of_this_process_are_not_lost() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    let begin = begin(session.id, "a");
    store.begin_run(begin.clone()).await.unwrap();
    assert_eq!(store.recover().await.unwrap(), []);
    store.finish_run(finish(begin.run, "b")).await.unwrap();
}

#[tokio::test]
async fn what_waits_when_the_store_is_dropped_is_written() {
    let (folder, store) = new_store().await;
    let session = new_session(&store).await;
    let call = store.begin_run(begin(session.id, "a"));
    assert!(call.await.is_ok());
    let result = store.close().await;
    assert!(result.is_ok());
    assert!(matches!(
        store.begin_run(begin(session.id, "b")).await,
        Err(StoreError::Closed)
    ));
    drop(store);
    assert_eq!(open(folder.path()).await.recover().await.unwrap().len(), 1);
}
