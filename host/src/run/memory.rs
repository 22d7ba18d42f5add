//! What an agent asks to be remembered for its session's owner, and asks for again.

use plugin_api::ServiceErrorCode;
use plugin_api::abi::import::ServiceFailure;
use plugin_api::wire::service;

use super::driver::unix_ms;
use super::services::{Answer, read, store_failed, write};
use crate::session::memory::{MAX_ENTRIES, MAX_FOUND, MAX_KEY_BYTES, MAX_TEXT_BYTES};
use crate::session::{MemoryEntry, MemoryPut, Owner, SessionStore, StoreError};

/// How many entries a search gives that does not say.
const DEFAULT_FOUND: u32 = 10;

pub(super) async fn serve(
    store: &dyn SessionStore,
    owner: &Owner,
    method: &str,
    params: &str,
) -> Answer {
    match method {
        service::MEMORY_PUT => put(store, owner, read(method, params)?).await,
        service::MEMORY_GET => {
            let get: service::MemoryGet = read(method, params)?;
            let found = store.memory_get(owner, &get.key).await;
            let mut answer = service::MemoryGetAnswer::default();
            answer.entry = found.map_err(|error| store_failed(&error))?.map(told);
            write(&answer)
        }
        service::MEMORY_SEARCH => {
            let search: service::MemorySearch = read(method, params)?;
            let limit = match search.limit {
                0 => DEFAULT_FOUND,
                limit => limit.min(MAX_FOUND),
            };
            let found = store.memory_search(owner, &search.query, limit).await;
            let found = found.map_err(|error| store_failed(&error))?;
            let mut answer = service::MemorySearchAnswer::default();
            answer.entries = found.into_iter().map(told).collect();
            write(&answer)
        }
        service::MEMORY_DELETE => {
            let delete: service::MemoryDelete = read(method, params)?;
            let deleted = store.memory_delete(owner, &delete.key).await;
            let mut answer = service::MemoryDeleteAnswer::default();
            answer.deleted = deleted.map_err(|error| store_failed(&error))?;
            write(&answer)
        }
        _ => Err(ServiceFailure::Unsupported),
    }
}

async fn put(store: &dyn SessionStore, owner: &Owner, put: service::MemoryPut) -> Answer {
    let refused = |code, text: String| Err(ServiceFailure::failed(code, text));
    if put.key.is_empty() || put.text.is_empty() {
        let text = "`key` and `text` must not be empty".to_owned();
        return refused(ServiceErrorCode::Invalid, text);
    }
    for (name, bytes, most) in [
        ("key", put.key.len(), MAX_KEY_BYTES),
        ("text", put.text.len(), MAX_TEXT_BYTES),
    ] {
        if bytes > most {
            let text = format!("the {name} takes {bytes} bytes; at most {most} are kept");
            return refused(ServiceErrorCode::TooLarge, text);
        }
    }
    let entry = MemoryEntry {
        key: put.key,
        text: put.text,
        updated_at_ms: unix_ms(),
    };
    let owner = owner.clone();
    match store.memory_put(MemoryPut { owner, entry }).await {
        Ok(is_new) => {
            let mut answer = service::MemoryPutAnswer::default();
            answer.is_new = is_new;
            write(&answer)
        }
        Err(StoreError::MemoryFull) => refused(
            ServiceErrorCode::TooLarge,
            format!("{MAX_ENTRIES} entries are remembered already; delete some"),
        ),
        Err(error) => Err(store_failed(&error)),
    }
}

fn told(entry: MemoryEntry) -> service::MemoryEntry {
    let mut told = service::MemoryEntry::default();
    (told.key, told.text, told.updated_at_ms) = (entry.key, entry.text, entry.updated_at_ms);
    told
}
