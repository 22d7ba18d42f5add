//! A few connections for reading, lent to one query each.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::fault::{Fault, storage};
use crate::session::store::StoreError;

pub(super) struct Readers {
    /// One permit for each connection.
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
    count: u32,
    limit: Duration,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>, limit: Duration) -> Self {
        let count = u32::try_from(connections.len()).unwrap_or(u32::MAX);
        Self {
            permits: Arc::new(Semaphore::new(connections.len())),
            idle: Arc::new(Mutex::new(connections)),
            count,
            limit,
        }
    }

    /// Runs queries on one connection, all on the same snapshot of the data.
    /// `doing` completes "the store failed to".
    ///
    /// # Cancel safety
    /// A query that was begun runs to its end, and then gives its connection
    /// back.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        doing: &'static str,
        query: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let work = async {
            let permit = Arc::clone(&self.permits)
                .acquire_owned()
                .await
                .map_err(|_| StoreError::Closed)?;
            let loan = Loan::new(Arc::clone(&self.idle), permit)?;
            spawn_blocking(move || loan.snapshot(query))
                .await
                .map_err(|panic| storage(doing, panic))?
                .map_err(|fault| fault.explain(doing))
        };
        timeout(self.limit, work)
            .await
            .unwrap_or(Err(StoreError::Timeout(self.limit)))
    }

    /// Waits for the queries that are running, then closes the connections.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        match timeout(self.limit, self.permits.acquire_many(self.count)).await {
            Ok(Ok(_)) => {}
            // Closed before.
            Ok(Err(_)) => return Ok(()),
            Err(_) => return Err(StoreError::Timeout(self.limit)),
        }
        self.permits.close();
        lock(&self.idle).clear();
        Ok(())
    }
}

/// Critical sections push, pop or clear: a poisoned lock holds nothing half done.
fn lock(idle: &Mutex<Vec<Connection>>) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection on loan; it goes back before its permit does.
struct Loan {
    conn: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    _permit: OwnedSemaphorePermit,
}

impl Loan {
    fn new(
        idle: Arc<Mutex<Vec<Connection>>>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, StoreError> {
        // There is one, as there was a permit.
        let conn = Some(lock(&idle).pop().ok_or(StoreError::Closed)?);
        Ok(Self {
            conn,
            idle,
            _permit: permit,
        })
    }

    fn snapshot<T>(
        mut self,
        query: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let Some(conn) = &mut self.conn else {
            return Err(StoreError::Closed.into());
        };
        let tx = conn.transaction()?;
        let result = query(&tx)?;
        tx.commit()?;
        Ok(result)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            lock(&self.idle).push(conn);
        }
    }
}
