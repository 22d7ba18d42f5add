use bytes::Bytes;

use super::*;
use crate::session::{FileRef, ImageData, MessageState, SessionQueue, StoreError};

async fn runs(store: &SqliteStore) -> Vec<Vec<RunId>> {
    let queues = store.queues().await.unwrap();
    queues.into_iter().map(|queue| queue.runs).collect()
}

#[tokio::test]
async fn a_queued_message_survives_a_restart_whole() {
    let (folder, store) = new_store().await;
    let session = new_session(&store).await.id;
    let mut waiting = queued(session, "");
    let image = |byte, len| ImageData {
        media_type: "image/png".into(),
        bytes: Bytes::from(vec![byte; len]),
    };
    waiting.turn = NewUserTurn {
        content: "look\n\n[notes]".into(),
        user_text: "look".into(),
        images: vec![image(1, 3), image(2, 100_000)],
        files: vec![FileRef {
            name: "a.txt".into(),
            path: "/up/a.txt".into(),
        }],
    };
    store.enqueue(waiting.clone()).await.unwrap();
    let plain = queued(session, "plain");
    store.enqueue(plain.clone()).await.unwrap();
    drop(store);

    let store = open(folder.path()).await;
    store.recover().await.unwrap();
    let expected = SessionQueue {
        session,
        owner: owner(),
        runs: vec![waiting.run, plain.run],
    };
    assert_eq!(store.queues().await.unwrap(), [expected]);
    assert_eq!(store.queued(waiting.run).await.unwrap(), Some(waiting.turn));
    assert_eq!(store.queued(plain.run).await.unwrap(), Some(plain.turn));
    assert_eq!(store.queued(RunId::new()).await.unwrap(), None);
}

#[tokio::test]
async fn the_head_goes_first_and_the_others_in_their_order() {
    let (_folder, store) = new_store().await;
    let (one, two) = (new_session(&store).await.id, new_session(&store).await.id);
    let mut added = Vec::new();
    for (session, at_head) in [
        (one, false),
        (two, true),
        (one, false),
        (one, true),
        (one, true),
    ] {
        let mut new = queued(session, "a");
        (new.at_head, new.limit) = (at_head, 10);
        added.push(new.run);
        store.enqueue(new).await.unwrap();
    }
    let expected = [vec![added[4], added[3], added[0], added[2]], vec![added[1]]];
    assert_eq!(runs(&store).await, expected);
}

#[tokio::test]
async fn a_queue_has_room_for_so_many() {
    let (_folder, store) = new_store().await;
    let (one, two) = (new_session(&store).await.id, new_session(&store).await.id);
    let (a, b) = (queued(one, "a"), queued(one, "b"));
    store.enqueue(a.clone()).await.unwrap();
    store.enqueue(b.clone()).await.unwrap();
    let mut head = queued(one, "c");
    assert!(matches!(
        store.enqueue(head.clone()).await,
        Err(StoreError::QueueFull)
    ));
    head.at_head = true;
    assert!(matches!(
        store.enqueue(head.clone()).await,
        Err(StoreError::QueueFull)
    ));
    assert_eq!(runs(&store).await, [vec![a.run, b.run]]);
    assert_eq!(store.queued(head.run).await.unwrap(), None);
    // Each session has its own.
    store.enqueue(queued(two, "d")).await.unwrap();
}

#[tokio::test]
async fn a_message_leaves_the_queue_when_its_run_begins() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await.id;
    let mut waiting = queued(session, "a");
    waiting.message = Some(message(1, 7));
    waiting.turn.images = vec![ImageData {
        media_type: "image/png".into(),
        bytes: Bytes::from_static(b"png"),
    }];
    let other = queued(session, "b");
    store.enqueue(waiting.clone()).await.unwrap();
    store.enqueue(other.clone()).await.unwrap();
    let known = async || {
        let id = message_id(1);
        store
            .message(session, &owner(), id, 1_000)
            .await
            .unwrap()
            .unwrap()
    };
    assert_eq!(
        (known().await.run, known().await.state),
        (waiting.run, MessageState::Queued)
    );
    // Sent once more while it waits.
    let mut again = queued(session, "a");
    again.message = Some(message(1, 7));
    let error = store.enqueue(again).await.unwrap_err();
    assert!(matches!(error, StoreError::KnownMessage(found) if found.run == waiting.run));

    let begin = BeginRun {
        run: waiting.run,
        turn: waiting.turn,
        message: waiting.message,
        ..begin(session, "a")
    };
    store.begin_run(begin).await.unwrap();
    assert_eq!(runs(&store).await, [vec![other.run]]);
    assert_eq!(store.queued(waiting.run).await.unwrap(), None);
    assert_eq!(count(&store, "queue_images").await, 0);
    let running = MessageState::Run(RunStatus::Running);
    assert_eq!(
        (known().await.run, known().await.state),
        (waiting.run, running)
    );
    store.finish_run(finish(waiting.run, "b")).await.unwrap();

    // As after a restart, when the id is not at hand any more.
    store.begin_run(begin_of(session, &other)).await.unwrap();
    assert_eq!(runs(&store).await, Vec::<Vec<RunId>>::new());
}

fn begin_of(session: SessionId, waiting: &NewQueued) -> BeginRun {
    BeginRun {
        run: waiting.run,
        turn: waiting.turn.clone(),
        ..begin(session, "")
    }
}

#[tokio::test]
async fn a_begin_that_fails_leaves_the_queue_as_it_is() {
    let (_folder, store) = new_store().await;
    let session = new_session(&store).await.id;
    let mut first = begin(session, "a");
    first.message = Some(message(1, 7));
    store.begin_run(first).await.unwrap();
    let waiting = queued(session, "b");
    store.enqueue(waiting.clone()).await.unwrap();
    let mut next = begin_of(session, &waiting);
    next.message = Some(message(1, 7));
    assert!(store.begin_run(next).await.is_err());
    assert_eq!(runs(&store).await, [vec![waiting.run]]);
}
