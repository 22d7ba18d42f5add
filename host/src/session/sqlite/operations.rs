//! The store's operations, each a query or a job of the writer.

use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use serde_json::Value;

use super::records::Form;
use super::{
    SqliteStore, deletion, history, lost, memory, messages, queue, records, runs, sessions, state,
    uploads,
};
use crate::session::ids::{MessageId, Owner, RunId, SessionId};
use crate::session::memory::{MemoryEntry, MemoryPut};
use crate::session::message::{KnownMessage, NewQueued, SessionQueue};
use crate::session::model::{
    FileRef, ImageData, NewSession, Numbering, Run, Session, SessionPatch, StateValue, StoredRun,
    Upload,
};
use crate::session::page::{Page, PageRequest, TurnPage, TurnPageRequest};
use crate::session::record::{NumberedRecords, RunRecords};
use crate::session::store::{
    BeginRun, BegunRun, FinishRun, LostRun, NewUserTurn, SessionStore, StoreError,
};

#[async_trait]
impl SessionStore for SqliteStore {
    async fn create(&self, new: NewSession) -> Result<Session, StoreError> {
        let (id, now) = (SessionId::new(), now_ms());
        self.writer
            .call("create a session", 0, move |conn| {
                sessions::insert(conn, id, &new, now)
            })
            .await
    }

    async fn get(&self, owner: &Owner, id: SessionId) -> Result<Session, StoreError> {
        let owner = owner.clone();
        self.readers
            .call("read a session", move |conn| {
                sessions::select(conn, &owner, id)
            })
            .await
    }

    async fn list(&self, owner: &Owner, page: PageRequest) -> Result<Page<Session>, StoreError> {
        let owner = owner.clone();
        self.readers
            .call("list sessions", move |conn| {
                sessions::list(conn, &owner, page)
            })
            .await
    }

    async fn update(
        &self,
        owner: &Owner,
        id: SessionId,
        patch: SessionPatch,
    ) -> Result<Session, StoreError> {
        let (owner, now) = (owner.clone(), now_ms());
        self.writer
            .call("change a session", 0, move |conn| {
                sessions::update(conn, &owner, id, &patch, now)
            })
            .await
    }

    async fn delete(&self, owner: &Owner, id: SessionId) -> Result<(), StoreError> {
        let owner = owner.clone();
        let session = self
            .writer
            .call("delete a session", 0, move |conn| {
                deletion::hide(conn, &owner, id)
            })
            .await?;
        self.delete_hidden(session, id).await
    }

    async fn begin_run(&self, begin: BeginRun) -> Result<BegunRun, StoreError> {
        let bytes = begin.turn.bytes();
        self.writer
            .call("save a run's begin", bytes, move |conn| {
                runs::begin(conn, &begin)
            })
            .await
    }

    async fn message(
        &self,
        id: SessionId,
        owner: &Owner,
        message: MessageId,
        now_ms: u64,
    ) -> Result<Option<KnownMessage>, StoreError> {
        let of = owner.clone();
        self.read_session(
            "look for a message",
            Some(owner),
            id,
            move |conn, session| messages::find(conn, session, &of, message, now_ms),
        )
        .await
    }

    async fn enqueue(&self, message: NewQueued) -> Result<(), StoreError> {
        let bytes = message.turn.bytes();
        self.writer
            .call("queue a message", bytes, move |conn| {
                queue::insert(conn, &message)
            })
            .await
    }

    async fn queued(&self, run: RunId) -> Result<Option<NewUserTurn>, StoreError> {
        self.readers
            .call("read a queued message", move |conn| queue::read(conn, run))
            .await
    }

    async fn queues(&self) -> Result<Vec<SessionQueue>, StoreError> {
        self.readers.call("list queued messages", queue::list).await
    }

    async fn append_records(&self, runs: Vec<RunRecords>) -> Result<Vec<RunId>, StoreError> {
        let records = runs.iter().map(|run| &run.records);
        let bytes = records.map(NumberedRecords::bytes).sum();
        self.writer
            .call("save records", bytes, move |conn| {
                records::append(conn, &runs)
            })
            .await
    }

    async fn finish_run(&self, finish: FinishRun) -> Result<(), StoreError> {
        let bytes = finish
            .content
            .as_ref()
            .map_or(0, |content| content.emitted.len())
            + finish.records.bytes();
        self.writer
            .call("save a run's end", bytes, move |conn| {
                runs::finish(conn, &finish)
            })
            .await
    }

    async fn history(
        &self,
        owner: &Owner,
        id: SessionId,
        page: TurnPageRequest,
    ) -> Result<TurnPage, StoreError> {
        self.read_session("read history", Some(owner), id, move |conn, session| {
            history::page(conn, session, page, Form::Sent)
        })
        .await
    }

    async fn agent_history(
        &self,
        id: SessionId,
        page: TurnPageRequest,
    ) -> Result<TurnPage, StoreError> {
        self.read_session("read history", None, id, move |conn, session| {
            history::page(conn, session, page, Form::Emitted)
        })
        .await
    }

    async fn image(&self, run: RunId, index: u32) -> Result<ImageData, StoreError> {
        self.readers
            .call("read an image", move |conn| {
                history::image(conn, run, index)
            })
            .await
    }

    async fn runs(
        &self,
        owner: &Owner,
        id: SessionId,
        page: PageRequest,
    ) -> Result<Page<Run>, StoreError> {
        self.read_session("list runs", Some(owner), id, move |conn, session| {
            runs::list(conn, session, page)
        })
        .await
    }

    async fn previous_data(&self, id: SessionId, agent: &str) -> Result<Option<Value>, StoreError> {
        let agent = agent.to_owned();
        self.read_session("read an agent's data", None, id, move |conn, session| {
            history::previous_data(conn, session, &agent)
        })
        .await
    }

    async fn state_get(
        &self,
        id: SessionId,
        agent: &str,
        key: &str,
    ) -> Result<Option<StateValue>, StoreError> {
        let (agent, key) = (agent.to_owned(), key.to_owned());
        self.read_session("read an agent's state", None, id, move |conn, session| {
            state::get(conn, session, &agent, &key)
        })
        .await
    }

    async fn memory_put(&self, put: MemoryPut) -> Result<bool, StoreError> {
        let bytes = put.entry.text.len();
        self.writer
            .call("remember", bytes, move |conn| memory::put(conn, &put))
            .await
    }

    async fn memory_get(
        &self,
        owner: &Owner,
        key: &str,
    ) -> Result<Option<MemoryEntry>, StoreError> {
        let (owner, key) = (owner.clone(), key.to_owned());
        self.readers
            .call("read what is remembered", move |conn| {
                memory::get(conn, &owner, &key)
            })
            .await
    }

    async fn memory_search(
        &self,
        owner: &Owner,
        query: &str,
        limit: u32,
    ) -> Result<Vec<MemoryEntry>, StoreError> {
        let (owner, query) = (owner.clone(), query.to_owned());
        self.readers
            .call("search what is remembered", move |conn| {
                memory::search(conn, &owner, &query, limit)
            })
            .await
    }

    async fn memory_delete(&self, owner: &Owner, key: &str) -> Result<bool, StoreError> {
        let (owner, key) = (owner.clone(), key.to_owned());
        self.writer
            .call("forget", 0, move |conn| memory::delete(conn, &owner, &key))
            .await
    }

    async fn numbering(&self, id: SessionId) -> Result<Numbering, StoreError> {
        let doing = "read a session's numbering";
        let (numbering, clean) = self
            .read_session(doing, None, id, sessions::numbering)
            .await?;
        if clean {
            return Ok(numbering);
        }
        tracing::warn!(session = %id, "run lost: its end was not saved");
        self.writer
            .call(doing, 0, move |conn| {
                let session = sessions::key(conn, None, id)?;
                lost::settle(conn, session)
            })
            .await
    }

    async fn latest_run(
        &self,
        id: SessionId,
        bytes: usize,
    ) -> Result<Option<StoredRun>, StoreError> {
        self.read_session("read a session's latest run", None, id, move |conn, key| {
            runs::latest(conn, key, bytes)
        })
        .await
    }

    async fn add_upload(
        &self,
        owner: &Owner,
        id: SessionId,
        file: FileRef,
        bytes: u64,
    ) -> Result<Upload, StoreError> {
        let owner = owner.clone();
        let upload = Upload {
            file,
            bytes,
            created_at_ms: now_ms(),
        };
        self.writer
            .call("save an upload", 0, move |conn| {
                let session = sessions::key(conn, Some(&owner), id)?;
                uploads::insert(conn, session, &upload)?;
                Ok(upload.clone())
            })
            .await
    }

    async fn uploads(&self, owner: &Owner, id: SessionId) -> Result<Vec<Upload>, StoreError> {
        self.read_session("list uploads", Some(owner), id, uploads::list)
            .await
    }

    async fn recover(&self) -> Result<Vec<LostRun>, StoreError> {
        let lock = || {
            self.unfinished
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let unfinished = lock().clone();
        for LostRun { run, .. } in &unfinished {
            let run = *run;
            self.writer
                .call("mark a run as lost", 0, move |conn| {
                    lost::recover(conn, run)
                })
                .await?;
        }
        lock().clear();
        let interrupted = self
            .readers
            .call("look for deleted sessions", deletion::interrupted)
            .await?;
        for (session, id) in interrupted {
            if let Err(error) = self.delete_hidden(session, id).await {
                // It stays hidden, and the next start tries again.
                tracing::warn!(%id, error = ?error, "a deleted session's data could not be removed");
            }
        }
        Ok(unfinished)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.writer.call("answer", 0, |_| Ok(())).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        // Readers first: the last connection to close tidies the files up.
        let readers = self.readers.close().await;
        self.writer.close().await.and(readers)
    }
}

/// Unix milliseconds.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 is as good as none.
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
