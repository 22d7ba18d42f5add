//! What a run can have remembered for its session's owner.

use crate::run_context::parse;
use crate::wire::service::{
    self, MemoryDelete, MemoryDeleteAnswer, MemoryEntry, MemoryGet, MemoryGetAnswer, MemoryPut,
    MemoryPutAnswer, MemorySearch, MemorySearchAnswer,
};
use crate::{RunContext, ServiceError};

impl RunContext {
    /// Remembers a text of at most 64 KiB for the session's owner, in all of the owner's sessions and for all agents, in
    /// place of what is remembered under the same key (at most 200 bytes). It is written at once, whatever becomes of
    /// the run. Whether nothing had this key before.
    ///
    /// # Errors
    ///
    /// It is empty or too large, the owner has too many entries ([`ServiceErrorCode::TooLarge`](crate::ServiceErrorCode::TooLarge)), or the run is over.
    pub async fn memory_put(
        &self,
        key: impl Into<String>,
        text: impl Into<String>,
    ) -> Result<bool, ServiceError> {
        let params = MemoryPut {
            key: key.into(),
            text: text.into(),
        };
        let answer = self.scope.request(service::MEMORY_PUT, &params, None);
        let answer: MemoryPutAnswer = parse(&answer.await?)?;
        Ok(answer.is_new)
    }

    /// What is remembered for the session's owner under this key.
    ///
    /// # Errors
    ///
    /// The run is over or the host cannot read it.
    pub async fn memory_get(
        &self,
        key: impl Into<String>,
    ) -> Result<Option<MemoryEntry>, ServiceError> {
        let params = MemoryGet { key: key.into() };
        let answer = self.scope.request(service::MEMORY_GET, &params, None);
        let answer: MemoryGetAnswer = parse(&answer.await?)?;
        Ok(answer.entry)
    }

    /// What is remembered for the session's owner and has any of these words, the best match first; without words all of
    /// it, the latest first. At most `limit` entries, or as many as the host sees fit if that is 0.
    ///
    /// # Errors
    ///
    /// As [`memory_get`](Self::memory_get).
    pub async fn memory_search(
        &self,
        query: impl Into<String>,
        limit: u32,
    ) -> Result<Vec<MemoryEntry>, ServiceError> {
        let params = MemorySearch {
            query: query.into(),
            limit,
        };
        let answer = self.scope.request(service::MEMORY_SEARCH, &params, None);
        let answer: MemorySearchAnswer = parse(&answer.await?)?;
        Ok(answer.entries)
    }

    /// Forgets what is remembered for the session's owner under this key. Whether there was something.
    ///
    /// # Errors
    ///
    /// As [`memory_get`](Self::memory_get).
    pub async fn memory_delete(&self, key: impl Into<String>) -> Result<bool, ServiceError> {
        let params = MemoryDelete { key: key.into() };
        let answer = self.scope.request(service::MEMORY_DELETE, &params, None);
        let answer: MemoryDeleteAnswer = parse(&answer.await?)?;
        Ok(answer.deleted)
    }
}
