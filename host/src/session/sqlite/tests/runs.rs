use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::session::{
    Entity, FileRef, ImageData, ImageMeta, PageRequest, RunFailure, StatePut, StateValue,
    StoreError, TurnPageRequest, TwoForms,
};

#[tokio::test]
async fn a_run_takes_two_turns() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    let image = |byte, len| ImageData {
        media_type: "image/png".into(),
        bytes: Bytes::from(vec![byte; len]),
    };
    let mut first = begin(session.id, "");
    let file = FileRef {
        name: "a.txt".into(),
        path: "/up/a.txt".into(),
    };
    first.turn = NewUserTurn {
        content: "look\n\n[notes]".into(),
        user_text: "look".into(),
        images: vec![image(1, 3), image(2, 100_000)],
        files: vec![file.clone()],
    };
    let begun = store.begin_run(first.clone()).await.unwrap();
    assert_eq!((begun.user_turn, begun.assistant_turn), (1, 2));

    // The user's turn is there before the answer is.
    let page = store.history(&owner(), session.id, newest()).await.unwrap();
    assert_eq!(page.turns.len(), 1);
    let said = user(&page.turns[0]);
    assert_eq!(said.content, "look\n\n[notes]");
    assert_eq!(said.user_text, "look");
    assert_eq!(said.files, [file]);
    let meta = |bytes| ImageMeta {
        media_type: "image/png".into(),
        bytes,
    };
    assert_eq!(said.images, [meta(3), meta(100_000)]);
    assert_eq!(store.image(first.run, 1).await.unwrap(), image(2, 100_000));
    assert!(matches!(
        store.image(first.run, 2).await,
        Err(StoreError::NotFound(Entity::Image))
    ));

    store.finish_run(finish(first.run, "seen")).await.unwrap();
    let second = store.begin_run(begin(session.id, "more")).await.unwrap();
    assert_eq!((second.user_turn, second.assistant_turn), (3, 4));

    let page = store.history(&owner(), session.id, newest()).await.unwrap();
    let numbers: Vec<_> = page.turns.iter().map(|turn| turn.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(page.turns[0].run, page.turns[1].run);
    assert_eq!(page.turns[1].created_at_ms, 2_000);
    let answered = assistant(&page.turns[1]);
    assert_eq!(answered.content, "seen");
    assert_eq!(answered.agent, "echo");
    assert_eq!(answered.status, RunStatus::Completed);
    assert_eq!(answered.outcome, Some(finish(first.run, "").outcome));
    assert_eq!(user(&page.turns[2]).user_text, "more");
}

#[tokio::test]
async fn runs_are_listed_with_their_ends() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    let completed = talk(&store, session.id, "a", "b").await;

    let failing = begin(session.id, "c");
    store.begin_run(failing.clone()).await.unwrap();
    let mut end = finish(failing.run, "");
    end.status = RunStatus::Error;
    end.outcome.token_count = u64::MAX;
    end.failure = Some(RunFailure {
        code: "agent".into(),
        text: TwoForms {
            emitted: "no access with key 123".into(),
            sent: Some("no access with key ***".into()),
        },
    });
    store.finish_run(end).await.unwrap();

    let mut running = begin(session.id, "d");
    running.first_seq = 20;
    store.begin_run(running.clone()).await.unwrap();
    let records = records_of(running.run, vec![delta(20, 25, "x")]);
    assert_eq!(store.append_records(records).await.unwrap(), []);

    let page = PageRequest::first(10);
    let runs = store.runs(&owner(), session.id, page).await.unwrap().items;
    let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
    assert_eq!(ids, [running.run, failing.run, completed]);

    assert_eq!(runs[0].status, RunStatus::Running);
    assert_eq!((runs[0].outcome, runs[0].ended_at_ms), (None, None));
    assert_eq!((runs[0].first_seq, runs[0].last_seq), (20, 25));
    assert_eq!(runs[1].status, RunStatus::Error);
    let failure = runs[1].failure.as_ref().unwrap();
    assert_eq!(
        (&*failure.code, &*failure.text),
        ("agent", "no access with key ***")
    );
    assert_eq!(runs[1].outcome.unwrap().token_count, i64::MAX as u64);
    assert_eq!(runs[2].status, RunStatus::Completed);
    assert_eq!(runs[2].ended_at_ms, Some(2_000));
    assert_eq!((runs[2].turn, runs[2].last_seq), (2, 9));
    assert_eq!(runs[2].failure, None);
}

#[tokio::test]
async fn records_reach_only_running_runs() {
    let (_folder, store) = new_store().await;
    let (one, two) = (new_session(&store).await, new_session(&store).await);
    let ended = talk(&store, one.id, "a", "b").await;
    let (a, b) = (begin(one.id, "a"), begin(two.id, "b"));
    store.begin_run(a.clone()).await.unwrap();
    store.begin_run(b.clone()).await.unwrap();
    let nobody = RunId::new();

    let batch = [a.run, ended, b.run, nobody]
        .map(|run| RunRecords {
            run,
            records: numbered(0, vec![delta(2, 2, "x"), delta(3, 4, "yz")]),
        })
        .to_vec();
    assert_eq!(store.append_records(batch).await.unwrap(), [ended, nobody]);
    assert_eq!(count(&store, "records").await, 4);

    let mut end = finish(a.run, "xyz!");
    end.records = numbered(2, vec![delta(5, 5, "!")]);
    store.finish_run(end).await.unwrap();
    let page = store.history(&owner(), one.id, newest()).await.unwrap();
    let records = &assistant(&page.turns[3]).records;
    let seqs: Vec<_> = records
        .iter()
        .map(|record| (record.seq_from, record.seq))
        .collect();
    assert_eq!(seqs, [(2, 2), (3, 4), (5, 5)]);
}

#[tokio::test]
async fn records_that_are_saved_again_are_saved_once() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    let begin = begin(session.id, "a");
    store.begin_run(begin.clone()).await.unwrap();
    // Dropped events have no position of their own: numbers tell records apart, not positions.
    let dropped = |json: &str| StoredRecord {
        forms: Forms::Dropped(json.into()),
        ..delta(3, 3, "")
    };
    let first = vec![delta(2, 3, "ab"), dropped("{}"), dropped("{}")];
    for _ in 0..2 {
        let records = records_of(begin.run, first.clone());
        assert_eq!(store.append_records(records).await.unwrap(), []);
        assert_eq!(count(&store, "records").await, 3);
    }

    // The end repeats what nobody knows to be saved, and adds to it.
    let mut end = finish(begin.run, "");
    end.content = None;
    end.records = numbered(1, [&first[1..], &[delta(4, 4, "c")]].concat());
    store.finish_run(end).await.unwrap();
    assert_eq!(count(&store, "records").await, 4);
    let page = store.history(&owner(), session.id, newest()).await.unwrap();
    assert_eq!(assistant(&page.turns[1]).content, "abc");
}

#[tokio::test]
async fn a_run_ends_once() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    let run = talk(&store, session.id, "a", "b").await;
    // The same call again, which got no answer in time, is answered like the first; another end is refused.
    store.finish_run(finish(run, "c")).await.unwrap();
    let mut other = finish(run, "c");
    other.ended_at_ms += 1;
    let error = store.finish_run(other).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("run {run} is saved as completed already")
    );
    assert!(matches!(
        store.finish_run(finish(RunId::new(), "c")).await,
        Err(StoreError::NotFound(Entity::Run))
    ));
    assert_eq!(count(&store, "turns").await, 2);
}

#[tokio::test]
async fn a_run_whose_end_was_not_saved_does_not_block_the_session() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    let orphan = begin(session.id, "a");
    store.begin_run(orphan.clone()).await.unwrap();
    let records = records_of(orphan.run, vec![delta(2, 3, "half")]);
    store.append_records(records).await.unwrap();

    let next = store.begin_run(begin(session.id, "b")).await.unwrap();
    assert_eq!(next.user_turn, 3);
    let page = store.history(&owner(), session.id, newest()).await.unwrap();
    let lost = assistant(&page.turns[1]);
    assert_eq!((lost.status, &*lost.content), (RunStatus::Lost, "half"));
    assert!(matches!(
        store.finish_run(finish(orphan.run, "late")).await,
        Err(StoreError::Conflict(_))
    ));
}

#[tokio::test]
async fn an_agents_data_is_its_own_and_stays_until_replaced() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    let data = async |agent| store.previous_data(session.id, agent).await.unwrap();
    assert_eq!(data("echo").await, None);

    for (agent, left) in [
        ("echo", Some(json!({"n": 1}))),
        ("other", Some(json!([2]))),
        ("echo", None),
    ] {
        let mut begin = begin(session.id, "a");
        begin.agent = agent.into();
        let mut end = finish(begin.run, "b");
        end.data = left;
        store.begin_run(begin).await.unwrap();
        store.finish_run(end).await.unwrap();
    }
    assert_eq!(data("echo").await, Some(json!({"n": 1})));
    assert_eq!(data("other").await, Some(json!([2])));
    assert_eq!(data("third").await, None);

    // A null that was left on purpose is not nothing.
    let begin = begin(session.id, "a");
    let mut end = finish(begin.run, "b");
    end.data = Some(json!(null));
    store.begin_run(begin).await.unwrap();
    store.finish_run(end).await.unwrap();
    assert_eq!(data("echo").await, Some(json!(null)));
}

#[tokio::test]
async fn state_is_committed_with_the_turn_or_not_at_all() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    let get = async |key| store.state_get(session.id, "echo", key).await.unwrap();
    let put = |key: &str, expected, version| StatePut {
        agent: "echo".into(),
        key: key.into(),
        value: json!({"v": version}),
        expected,
        version,
    };
    let end_with = async |puts: Vec<StatePut>| {
        let begin = begin(session.id, "a");
        let mut end = finish(begin.run, "b");
        end.state = puts;
        store.begin_run(begin).await.unwrap();
        store.finish_run(end).await
    };
    let value = |version| {
        Some(StateValue {
            value: json!({"v": version}),
            version,
        })
    };
    assert_eq!(get("k").await, None);

    // Three writes in one run arrive as the last of them.
    end_with(vec![put("k", Some(0), 3)]).await.unwrap();
    assert_eq!(get("k").await, value(3));
    end_with(vec![put("k", Some(3), 4), put("l", None, 1)])
        .await
        .unwrap();
    assert_eq!((get("k").await, get("l").await), (value(4), value(1)));

    let turns = count(&store, "turns").await;
    let stale = end_with(vec![put("l", Some(1), 2), put("k", Some(3), 5)]).await;
    assert_eq!(
        stale.unwrap_err().to_string(),
        "the state \"k\" of agent \"echo\" has version 4, not 3"
    );
    assert_eq!((get("k").await, get("l").await), (value(4), value(1)));
    // The user's turn was saved, the assistant's was not.
    assert_eq!(count(&store, "turns").await, turns + 1);

    assert_eq!(
        store.state_get(session.id, "other", "k").await.unwrap(),
        None
    );
}

fn newest() -> TurnPageRequest {
    TurnPageRequest::newest(10)
}

#[tokio::test]
async fn the_answer_of_a_stopped_run_is_what_was_streamed() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    let begin = begin(session.id, "go");
    let mut end = finish(begin.run, "");
    store.begin_run(begin).await.unwrap();
    end.status = RunStatus::Stopped;
    end.content = None;
    end.records = numbered(0, vec![delta(2, 2, "half an "), delta(3, 3, "answer")]);
    store.finish_run(end).await.unwrap();
    let page = store.history(&owner(), session.id, newest()).await.unwrap();
    let answered = assistant(&page.turns[1]);
    assert_eq!(
        (answered.status, answered.content.as_str()),
        (RunStatus::Stopped, "half an answer")
    );
}
