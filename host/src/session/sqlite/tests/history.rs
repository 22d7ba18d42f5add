use serde_json::json;

use super::*;
use crate::session::{RunFailure, TurnPageRequest, TurnRecord, TwoForms};

fn record(seq: u64, kind: &str, forms: Forms) -> StoredRecord {
    StoredRecord {
        seq_from: seq,
        seq,
        kind: kind.into(),
        forms,
        bounds: None,
    }
}

fn read(seq: u64, kind: &str, json: &str) -> TurnRecord {
    TurnRecord {
        seq_from: seq,
        seq,
        kind: kind.into(),
        json: json.into(),
        bounds: None,
    }
}

#[tokio::test]
async fn clients_and_agents_each_get_their_form() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    let begin = begin(session.id, "hi");
    store.begin_run(begin.clone()).await.unwrap();
    let mut folded = delta(2, 4, "hello");
    folded.bounds = Some(vec![1, 3, 5]);
    let records = vec![
        folded,
        record(
            5,
            "tool_call",
            Forms::Mapped {
                emitted: "{\"secret\":1}".into(),
                sent: "{\"secret\":0}".into(),
            },
        ),
        record(6, "note", Forms::Inserted("{\"note\":1}".into())),
        record(6, "internal", Forms::Dropped("{\"internal\":1}".into())),
    ];
    store
        .append_records(records_of(begin.run, records))
        .await
        .unwrap();
    let mut end = finish(begin.run, "");
    end.status = RunStatus::Error;
    let changed = |emitted: &str, sent: &str| TwoForms {
        emitted: emitted.into(),
        sent: Some(sent.into()),
    };
    end.content = Some(changed("hello 1", "hello *"));
    end.failure = Some(RunFailure {
        code: "agent".into(),
        text: changed("failed 1", "failed *"),
    });
    end.data = Some(json!(7));
    end.truncated = true;
    store.finish_run(end).await.unwrap();

    let hello = json!({"type": "stream_delta", "delta": "hello"}).to_string();
    let folded = |bounds| TurnRecord {
        seq_from: 2,
        bounds,
        ..read(4, "stream_delta", &hello)
    };

    let page = TurnPageRequest::newest(10);
    let sent = store.history(&owner(), session.id, page).await.unwrap();
    let sent = assistant(&sent.turns[1]);
    assert_eq!(sent.content, "hello *");
    assert_eq!(sent.failure.as_ref().unwrap().text, "failed *");
    assert_eq!((sent.data.as_ref(), sent.truncated), (None, true));
    assert_eq!(
        sent.records,
        [
            folded(Some(vec![1, 3, 5])),
            read(5, "tool_call", "{\"secret\":0}"),
            read(6, "note", "{\"note\":1}"),
        ]
    );

    let emitted = store.agent_history(session.id, page).await.unwrap();
    let emitted = assistant(&emitted.turns[1]);
    assert_eq!(emitted.content, "hello 1");
    assert_eq!(emitted.failure.as_ref().unwrap().text, "failed 1");
    assert_eq!(emitted.data, Some(json!(7)));
    assert_eq!(
        emitted.records,
        [
            folded(None),
            read(5, "tool_call", "{\"secret\":1}"),
            read(6, "internal", "{\"internal\":1}"),
        ]
    );
}

#[tokio::test]
async fn pages_go_back_to_the_beginning() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    for n in 0..5 {
        talk(&store, session.id, &format!("q{n}"), &format!("a{n}")).await;
    }
    let running = store.begin_run(begin(session.id, "q5")).await.unwrap();

    let mut request = TurnPageRequest::before(running.user_turn, 4);
    let mut pages = Vec::new();
    loop {
        let page = store.agent_history(session.id, request).await.unwrap();
        pages.push(
            page.turns
                .iter()
                .map(|turn| turn.number)
                .collect::<Vec<_>>(),
        );
        let Some(before) = page.before else { break };
        // What is said meanwhile changes nothing further back.
        talk(&store, session.id, "x", "y").await;
        request.before = Some(before);
    }
    assert_eq!(pages, [vec![7, 8, 9, 10], vec![3, 4, 5, 6], vec![1, 2]]);
}

#[tokio::test]
async fn a_page_ends_when_it_is_large_enough() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    for _ in 0..3 {
        talk(&store, session.id, "q", &"a".repeat(1000)).await;
    }
    let request = TurnPageRequest {
        max_bytes: 1500,
        ..TurnPageRequest::newest(100)
    };
    let page = store.history(&owner(), session.id, request).await.unwrap();
    let numbers: Vec<_> = page.turns.iter().map(|turn| turn.number).collect();
    assert_eq!(numbers, [4, 5, 6]);
    assert_eq!(page.before, Some(4));

    // However small, a page makes progress.
    let request = TurnPageRequest {
        max_bytes: 0,
        ..TurnPageRequest::before(4, 0)
    };
    let page = store.history(&owner(), session.id, request).await.unwrap();
    assert_eq!((page.turns.len(), page.before), (1, Some(3)));
}

#[tokio::test]
async fn an_empty_session_has_an_empty_history() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await;
    let page = TurnPageRequest::newest(10);
    let page = store.history(&owner(), session.id, page).await.unwrap();
    assert_eq!((page.turns, page.before), (vec![], None));
}
