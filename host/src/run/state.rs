//! What agents keep of a session, while a run changes it.
//!
//! Reads come from the store once and are then answered from here; writes stay here and are saved in the same
//! transaction as the run's outcome, so a run that is lost leaves no half-changed state.

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
}

impl RunState {
    fn entries(&self) -> MutexGuard<'_, HashMap<(String, String), Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
        let entry = Entry {
            value,
            version,
            found: version,
        };
        let mut entries = self.entries();
        if entries.len() >= MAX_KEYS && !entries.contains_key(&name) {
            let text = format!("a run may use at most {MAX_KEYS} keys");
            return Err(ServiceFailure::failed(ServiceErrorCode::TooLarge, text));
        }
        Ok(entries.entry(name).or_insert(entry).clone())
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
        self.load(store, session, agent, &put.key).await?;
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&(agent.to_owned(), put.key.clone())) else {
            return Err(ServiceFailure::failed(
                ServiceErrorCode::Internal,
                "the entry is gone",
            ));
        };
        if let Some(expected) = put
            .expected_version
            .filter(|expected| *expected != entry.version)
        {
            let text = format!(
                "`{}` is at version {}, not {expected}",
                put.key, entry.version
            );
            return Err(ServiceFailure::failed(ServiceErrorCode::Conflict, text));
        }
        entry.value = put.value;
        entry.version += 1;
        let mut answer = service::StatePutAnswer::default();
        answer.version = entry.version;
        Ok(answer)
    }

    /// What was written, to be saved.
    pub(super) fn puts(&self) -> Vec<StatePut> {
        let entries = self.entries();
        let written = entries
            .iter()
            .filter(|(_, entry)| entry.version != entry.found);
        written
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
