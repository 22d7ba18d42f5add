use super::*;
use crate::session::{RunFailure, TwoForms};

async fn latest(
    store: &SqliteStore,
    session: SessionId,
    bytes: usize,
) -> crate::session::StoredRun {
    store.latest_run(session, bytes).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_session_without_runs_has_no_latest() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await.id;
    assert_eq!(store.latest_run(session, 1000).await.unwrap(), None);
}

#[tokio::test]
async fn the_latest_run_is_read_as_clients_were_sent_it() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await.id;
    talk(&store, session, "a", "b").await;
    let mut begin = begin(session, "c");
    begin.first_seq = 10;
    store.begin_run(begin.clone()).await.unwrap();
    let mut folded = delta(11, 13, "abc");
    folded.bounds = Some(vec![1, 2, 3]);
    let masked = StoredRecord {
        forms: Forms::Mapped {
            emitted: "{\"secret\":1}".into(),
            sent: "{\"secret\":0}".into(),
        },
        kind: "tool_call".into(),
        ..delta(14, 14, "")
    };
    let hidden = StoredRecord {
        forms: Forms::Dropped("{}".into()),
        ..delta(14, 14, "")
    };
    let records = vec![folded.clone(), masked, hidden];
    let refused = store.append_records(records_of(begin.run, records)).await;
    assert_eq!(refused.unwrap(), []);

    let running = latest(&store, session, 1000).await;
    assert_eq!(running.status, RunStatus::Running);
    assert_eq!((running.first_seq, running.last_seq), (10, 14));
    assert_eq!(running.content, "abc");
    assert_eq!((running.ended_at_ms, running.outcome), (None, None));

    let mut end = finish(begin.run, "");
    end.status = RunStatus::Error;
    end.last_seq = 16;
    let changed = |emitted: &str, sent: &str| TwoForms {
        emitted: emitted.into(),
        sent: Some(sent.into()),
    };
    end.content = Some(changed("whole 1", "whole *"));
    end.failure = Some(RunFailure {
        code: "agent".into(),
        text: changed("failed 1", "failed *"),
    });
    store.finish_run(end.clone()).await.unwrap();

    let run = latest(&store, session, 1000).await;
    assert_eq!((run.run, run.status), (begin.run, RunStatus::Error));
    assert_eq!((run.started_at_ms, run.ended_at_ms), (1_000, Some(2_000)));
    assert_eq!((run.first_seq, run.last_seq), (10, 16));
    assert_eq!(run.content, "whole *");
    assert_eq!(run.outcome, Some(end.outcome));
    assert_eq!(run.failure.unwrap().text, "failed *");
    let first = &run.records[0];
    assert_eq!((first.seq_from, first.seq), (11, 13));
    assert_eq!(first.bounds, Some(vec![1, 2, 3]));
    assert_eq!(Some(&*first.json), folded.forms.sent());
    assert_eq!(
        (run.records[1].seq, &*run.records[1].kind),
        (14, "tool_call")
    );
    assert_eq!(run.records[1].json, "{\"secret\":0}");
    assert_eq!(run.records.len(), 2);
}

#[tokio::test]
async fn the_latest_records_are_kept_when_not_all_fit() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await.id;
    let begin = begin(session, "a");
    store.begin_run(begin.clone()).await.unwrap();
    let records: Vec<_> = (2..12).map(|seq| delta(seq, seq, "text")).collect();
    let each = records[0].forms.len();
    let mut end = finish(begin.run, "b");
    end.records = numbered(0, records);
    store.finish_run(end).await.unwrap();

    for (bytes, expected) in [
        (0, vec![]),
        (each - 1, vec![]),
        (each, vec![11]),
        (each * 4 - 1, vec![9, 10, 11]),
        (usize::MAX, (2..12).collect()),
    ] {
        let run = latest(&store, session, bytes).await;
        let seqs: Vec<_> = run.records.iter().map(|record| record.seq).collect();
        assert_eq!(seqs, expected, "{bytes} bytes");
    }
}
