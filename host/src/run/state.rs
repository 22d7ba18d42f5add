//! What agents keep of a session, while a run changes it.
//!
//! Writes stay here and are saved in the same transaction as the run's outcome, so a run that is lost leaves no
//! half-changed state. What a run has not written is read from the store, where nobody else changes it meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use plugin_api::ServiceErrorCode;
use plugin_api::abi::import::ServiceFailure;
use plugin_api::wire::service;
use serde_json::Value;

use super::services::store_failed;
use crate::session::{SessionId, SessionStore, StatePut};

/// The most that one value may take, in bytes of JSON (fixed by the boundary's contract).
pub(super) const MAX_STATE_BYTES: usize = 1024 * 1024;

/// The most keys that the agents of one run may write.
const MAX_KEYS: usize = 256;

/// The most that all values which the agents of one run write may take, in bytes of JSON: they stay in memory until
/// the run ends.
const MAX_TOTAL_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct RunState {
    entries: Mutex<HashMap<(String, String), Entry>>,
}

#[derive(Clone, Debug)]
struct Entry {
    value: Value,
    version: u64,
    /// The version that was found; what is saved must still be it.
    found: u64,
    /// Of the value as JSON.
    bytes: usize,
}

impl RunState {
    fn entries(&self) -> MutexGuard<'_, HashMap<(String, String), Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value as it is now for this run.
    async fn load(
        &self,
        store: &dyn SessionStore,
        session: SessionId,
        agent: &str,
        key: &str,
    ) -> Result<Entry, ServiceFailure> {
        let name = (agent.to_owned(), key.to_owned());
        if let Some(entry) = self.entries().get(&name) {
            return Ok(entry.clone());
        }
        let stored = store
            .state_get(session, agent, key)
            .await
            .map_err(|error| store_failed(&error))?;
        let (value, version) =
            stored.map_or((Value::Null, 0), |stored| (stored.value, stored.version));
        Ok(Entry {
            value,
            version,
            found: version,
            bytes: 0,
        })
    }

    pub(super) async fn get(
        &self,
        store: &dyn SessionStore,
        session: SessionId,
        agent: &str,
        key: &str,
    ) -> Result<service::StateGetAnswer, ServiceFailure> {
        let entry = self.load(store, session, agent, key).await?;
        let mut answer = service::StateGetAnswer::default();
        (answer.value, answer.version) = (entry.value, entry.version);
        Ok(answer)
    }

    pub(super) async fn put(
        &self,
        store: &dyn SessionStore,
        session: SessionId,
        agent: &str,
        put: service::StatePut,
    ) -> Result<service::StatePutAnswer, ServiceFailure> {
        let bytes = put.value.to_string().len();
        if bytes > MAX_STATE_BYTES {
            let text = format!("the value takes {bytes} bytes; at most {MAX_STATE_BYTES} are kept");
            return Err(ServiceFailure::failed(ServiceErrorCode::TooLarge, text));
        }
        let loaded = self.load(store, session, agent, &put.key).await?;
        let name = (agent.to_owned(), put.key);
        let mut entries = self.entries();
        // Another request may have written it meanwhile.
        let present = entries.get(&name).unwrap_or(&loaded);
        if let Some(expected) = put
            .expected_version
            .filter(|expected| *expected != present.version)
        {
            let text = format!(
                "`{}` is at version {}, not {expected}",
                name.1, present.version
            );
            return Err(ServiceFailure::failed(ServiceErrorCode::Conflict, text));
        }
        if entries.len() >= MAX_KEYS && !entries.contains_key(&name) {
            let text = format!("a run may write at most {MAX_KEYS} keys");
            return Err(ServiceFailure::failed(ServiceErrorCode::TooLarge, text));
        }
        let others: usize = entries.values().map(|entry| entry.bytes).sum();
        if others - present.bytes + bytes > MAX_TOTAL_BYTES {
            let text = format!("a run may write at most {MAX_TOTAL_BYTES} bytes in all");
            return Err(ServiceFailure::failed(ServiceErrorCode::TooLarge, text));
        }
        let entry = Entry {
            value: put.value,
            version: present.version + 1,
            found: present.found,
            bytes,
        };
        let mut answer = service::StatePutAnswer::default();
        answer.version = entry.version;
        entries.insert(name, entry);
        Ok(answer)
    }

    /// What was written, to be saved.
    pub(super) fn puts(&self) -> Vec<StatePut> {
        self.entries()
            .iter()
            .map(|((agent, key), entry)| StatePut {
                agent: agent.clone(),
                key: key.clone(),
                value: entry.value.clone(),
                expected: Some(entry.found),
                version: entry.version,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{NewSession, Owner, SqliteOptions, SqliteStore};

    #[tokio::test]
    async fn what_a_run_writes_is_bounded_in_all() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(SqliteOptions::new(folder.path()))
            .await
            .unwrap();
        let new = NewSession::of(Owner::local());
        let session = store.create(new).await.unwrap().id;
        let state = RunState::default();
        let put = async |key: &str, bytes: usize| {
            let mut put = service::StatePut::default();
            // Two for the quotes.
            (put.key, put.value) = (key.to_owned(), "x".repeat(bytes - 2).into());
            let put = state.put(&store, session, "echo", put).await;
            match put {
                Ok(answer) => Ok(answer.version),
                Err(ServiceFailure::Failed(failure)) => Err(failure.code),
                Err(other) => panic!("{other:?}"),
            }
        };
        let too_large = Err(ServiceErrorCode::TooLarge.as_str().to_owned());
        assert_eq!(put("a", MAX_STATE_BYTES + 1).await, too_large.clone());
        for key in ["a", "b", "c", "d"] {
            assert_eq!(put(key, MAX_STATE_BYTES).await, Ok(1));
        }
        assert_eq!(put("e", 3).await, too_large.clone());
        // In place of another value there is room.
        assert_eq!(put("a", MAX_STATE_BYTES).await, Ok(2));
        assert_eq!(put("a", 10).await, Ok(3));
        assert_eq!(put("e", MAX_STATE_BYTES - 10).await, Ok(1));
        assert_eq!(put("f", 3).await, too_large.clone());
        assert_eq!(state.puts().len(), 5);
        // Reading makes nothing to be saved.
        state.get(&store, session, "echo", "g").await.unwrap();
        assert_eq!(state.puts().len(), 5);
        store.close().await.unwrap();
    }
}
