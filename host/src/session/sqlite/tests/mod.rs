//! The store against real files in folders of their own.

mod child;
mod deleting;
mod group_commit;
mod history;
mod latest;
mod memory;
mod messages;
mod numbering;
mod opening;
mod paging;
mod queue;
mod recovery;
mod runs;
mod sessions;
mod speed;

use std::path::Path;
use std::sync::mpsc;

use serde_json::json;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::{SqliteOptions, SqliteStore};
use crate::session::{
    AssistantTurn, BeginRun, Epoch, FinishRun, Forms, MessageId, MessageKey, NewQueued, NewSession,
    NewUserTurn, NumberedRecords, Numbering, Outcome, Owner, RunId, RunRecords, RunStatus, Session,
    SessionId, SessionStore, StoredRecord, Turn, TurnBody, UserTurn,
};

async fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(SqliteOptions::new(folder)).await.unwrap()
}

async fn new_store() -> (TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    (folder, store)
}

fn owner() -> Owner {
    Owner::local()
}

async fn new_session(store: &SqliteStore) -> Session {
    store.create(NewSession::of(owner())).await.unwrap()
}

fn begin(session: SessionId, text: &str) -> BeginRun {
    BeginRun {
        session,
        run: RunId::new(),
        agent: "echo".into(),
        started_at_ms: 1_000,
        epoch: Epoch::new("first"),
        first_seq: 1,
        turn: NewUserTurn {
            content: text.into(),
            user_text: text.into(),
            ..NewUserTurn::default()
        },
        message: None,
    }
}

/// A message's id, with the digest of its content.
fn message(id: u128, content: u8) -> MessageKey {
    MessageKey {
        owner: owner(),
        id: message_id(id),
        digest: [content; 32],
    }
}

fn message_id(id: u128) -> MessageId {
    MessageId::from_uuid(uuid::Uuid::from_u128(id))
}

/// A message for the end of a queue of two.
fn queued(session: SessionId, text: &str) -> NewQueued {
    NewQueued {
        session,
        run: RunId::new(),
        at_head: false,
        created_at_ms: 1_000,
        turn: begin(session, text).turn,
        message: None,
        limit: 2,
    }
}

fn finish(run: RunId, answer: &str) -> FinishRun {
    FinishRun {
        run,
        status: RunStatus::Completed,
        ended_at_ms: 2_000,
        content: Some(answer.into()),
        outcome: Outcome {
            context_tokens: 10,
            max_context_tokens: 100,
            token_count: 3,
            tool_call_count: 1,
            elapsed_seconds: 1.5,
        },
        failure: None,
        data: None,
        truncated: false,
        records: NumberedRecords::default(),
        state: Vec::new(),
        profile: None,
        last_seq: 9,
    }
}

fn delta(seq_from: u64, seq: u64, text: &str) -> StoredRecord {
    StoredRecord {
        seq_from,
        seq,
        kind: "stream_delta".into(),
        forms: Forms::Same(json!({"type": "stream_delta", "delta": text}).to_string()),
        bounds: None,
    }
}

fn numbered(first: u64, records: Vec<StoredRecord>) -> NumberedRecords {
    NumberedRecords { first, records }
}

fn records_of(run: RunId, records: Vec<StoredRecord>) -> Vec<RunRecords> {
    let records = numbered(0, records);
    vec![RunRecords { run, records }]
}

/// One whole exchange.
async fn talk(store: &SqliteStore, session: SessionId, text: &str, answer: &str) -> RunId {
    let begin = begin(session, text);
    let run = begin.run;
    store.begin_run(begin).await.unwrap();
    store.finish_run(finish(run, answer)).await.unwrap();
    run
}

fn user(turn: &Turn) -> &UserTurn {
    match &turn.body {
        TurnBody::User(user) => user,
        TurnBody::Assistant(_) => panic!("turn {} is the assistant's", turn.number),
    }
}

fn assistant(turn: &Turn) -> &AssistantTurn {
    match &turn.body {
        TurnBody::Assistant(assistant) => assistant,
        TurnBody::User(_) => panic!("turn {} is the user's", turn.number),
    }
}

fn numbering(epoch: &str, last_seq: u64) -> Numbering {
    Numbering {
        epoch: Epoch::new(epoch),
        last_seq,
    }
}

/// Rows of a table, seen by the writer.
async fn count(store: &SqliteStore, table: &'static str) -> u64 {
    store
        .writer
        .call("count", 0, move |conn| {
            let sql = format!("SELECT count(*) FROM {table}");
            Ok(conn.query_row(&sql, [], |row| row.get(0))?)
        })
        .await
        .map(|count: u32| count.into())
        .unwrap()
}

/// Runs a statement on the writer's connection.
async fn execute(store: &SqliteStore, sql: &'static str) {
    store
        .writer
        .call("execute", 0, move |conn| Ok(conn.execute_batch(sql)?))
        .await
        .unwrap();
}

/// Keeps the writer busy until it is dropped or released.
struct Held {
    release: mpsc::Sender<()>,
    done: tokio::task::JoinHandle<()>,
}

impl Held {
    /// Returns when the writer is inside an operation.
    async fn writer_of(store: &std::sync::Arc<SqliteStore>) -> Self {
        let (release, released) = mpsc::channel();
        let (entered, inside) = oneshot::channel();
        let hold = std::sync::Mutex::new(Some((entered, released)));
        let store = std::sync::Arc::clone(store);
        let done = tokio::spawn(async move {
            let _ = store
                .writer
                .call("wait", 0, move |_| {
                    if let Some((entered, released)) = hold.lock().unwrap().take() {
                        entered.send(()).unwrap();
                        let _ = released.recv();
                    }
                    Ok(())
                })
                .await;
        });
        inside.await.unwrap();
        Self { release, done }
    }

    async fn release(self) {
        drop(self.release);
        self.done.await.unwrap();
    }
}

/// Polls a future once; what it sends has then been sent.
async fn start<F: Future + Unpin>(future: &mut F) {
    std::future::poll_fn(|cx| {
        assert!(std::pin::Pin::new(&mut *future).poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
}
