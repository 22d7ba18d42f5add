//! The one thread that writes.
//!
//! Whatever waits in its queue when it looks is committed together: one
//! transaction, hence one sync of the disk, for all of it, with a savepoint
//! around each operation, so that one that fails leaves the others alone.
//! Nothing is held back to make a batch larger; batches grow by themselves
//! while the disk is busy with the one before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::fault::{Fault, explain};
use super::files::FolderLock;
use crate::session::store::StoreError;

/// Operations that may wait. Each belongs to a caller that waits for it.
const QUEUE: usize = 1024;
/// Bounds of one transaction, so that its first operation is not kept waiting.
const BATCH_OPERATIONS: usize = 256;
const BATCH_BYTES: usize = 8 << 20;

/// What the thread has done so far.
#[derive(Default)]
struct Counts {
    transactions: AtomicU64,
    operations: AtomicU64,
}

/// The handle on the writing thread.
pub(super) struct Writer {
    /// None once closed. The thread ends when it and its clones are gone.
    queue: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<Result<(), StoreError>>>>,
    limit: Duration,
    #[cfg(test)]
    counts: Arc<Counts>,
}

impl Writer {
    /// Starts the thread. It owns the lock of the data folder and lets it go
    /// when the file is closed.
    pub(super) fn start(
        conn: Connection,
        lock: FolderLock,
        limit: Duration,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let counts = Arc::new(Counts::default());
        let counter = Arc::clone(&counts);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                let result = write(conn, jobs, &counter);
                drop(lock);
                result
            })?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            thread: Mutex::new(Some(thread)),
            limit,
            #[cfg(test)]
            counts,
        })
    }

    /// Runs an operation and returns when it is committed.
    ///
    /// `doing` completes "the store failed to"; `bytes` is about how much it
    /// writes. The operation may run twice: when the transaction of its batch
    /// fails as a whole, each is tried once more in one of its own.
    ///
    /// # Cancel safety
    /// Dropped while it waits in the queue, it does not run. Later, it may.
    pub(super) async fn call<T, F>(
        &self,
        doing: &'static str,
        bytes: usize,
        operation: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let queue = lock(&self.queue).clone().ok_or(StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Call {
            doing,
            bytes,
            operation,
            result: None,
            reply,
        });
        let exchange = async {
            // Either end is gone only when the thread is.
            queue.send(job).await.map_err(|_| StoreError::Closed)?;
            answer.await.map_err(|_| StoreError::Closed)?
        };
        timeout(self.limit, exchange)
            .await
            .unwrap_or(Err(StoreError::Timeout(self.limit)))
    }

    /// Takes no more calls, completes those that wait, checkpoints, closes.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        drop(lock(&self.queue).take());
        let Some(thread) = lock(&self.thread).take() else {
            return Ok(());
        };
        let joined = spawn_blocking(move || thread.join());
        match timeout(self.limit, joined).await {
            Ok(Ok(Ok(result))) => result,
            Ok(Ok(Err(_)) | Err(_)) => Err(StoreError::Closed),
            Err(_) => Err(StoreError::Timeout(self.limit)),
        }
    }

    #[cfg(test)]
    pub(super) fn transactions(&self) -> u64 {
        self.counts.transactions.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    /// Without [`close`](Self::close), what waits is still written, and the
    /// thread is not left behind. Blocks for that long.
    fn drop(&mut self) {
        drop(lock(&self.queue).take());
        if let Some(thread) = lock(&self.thread).take() {
            // It cannot be told anybody; what it lost is in its callers' errors.
            let _ = thread.join();
        }
    }
}

/// The critical sections only take or clone, so a poisoned lock holds nothing
/// half done.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call without its types.
trait Job: Send {
    fn bytes(&self) -> usize;
    fn doing(&self) -> &'static str;
    /// Does somebody still wait for it?
    fn is_wanted(&self) -> bool;
    /// Runs it and keeps the result; false if it failed.
    fn run(&mut self, conn: &Connection) -> bool;
    /// Tells the result, once it is committed; or that it was not.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Call<T, F> {
    doing: &'static str,
    bytes: usize,
    operation: F,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: Fn(&Connection) -> Result<T, Fault> + Send,
{
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn doing(&self) -> &'static str {
        self.doing
    }

    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(&mut self, conn: &Connection) -> bool {
        let result = (self.operation)(conn).map_err(|fault| fault.explain(self.doing));
        let ok = result.is_ok();
        self.result = Some(result);
        ok
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (committed, self.result) {
            // It failed by itself, whatever became of the batch.
            (_, Some(Err(error))) | (Err(error), _) => Err(error),
            (Ok(()), Some(Ok(value))) => Ok(value),
            // It was not run, because nobody waited.
            (Ok(()), None) => return,
        };
        // The caller may have given up in the meantime.
        let _ = self.reply.send(result);
    }
}

/// The thread's body.
fn write(
    mut conn: Connection,
    mut jobs: mpsc::Receiver<Box<dyn Job>>,
    counts: &Counts,
) -> Result<(), StoreError> {
    let mut batch = Vec::new();
    while let Some(first) = jobs.blocking_recv() {
        let mut bytes = first.bytes();
        batch.push(first);
        while batch.len() < BATCH_OPERATIONS
            && bytes < BATCH_BYTES
            && let Ok(next) = jobs.try_recv()
        {
            bytes += next.bytes();
            batch.push(next);
        }
        commit_batch(&mut conn, &mut batch, counts);
    }
    tracing::debug!(
        transactions = counts.transactions.load(Ordering::Relaxed),
        operations = counts.operations.load(Ordering::Relaxed),
        "the store closes"
    );
    let closing = "close its file";
    // So that the one file holds everything. Readers are gone by now; if one
    // is not, the log stays beside the file and is read at the next start.
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .map_err(|error| Fault::from(error).explain(closing))?;
    conn.close()
        .map_err(|(_, error)| Fault::from(error).explain(closing))
}

fn commit_batch(conn: &mut Connection, batch: &mut Vec<Box<dyn Job>>, counts: &Counts) {
    batch.retain(|job| job.is_wanted());
    if batch.is_empty() {
        return;
    }
    let result = commit_together(conn, batch);
    let alone = batch.len() == 1;
    match result {
        Ok(()) => {
            counts.transactions.fetch_add(1, Ordering::Relaxed);
            let operations = batch.len() as u64;
            counts.operations.fetch_add(operations, Ordering::Relaxed);
            batch.drain(..).for_each(|job| job.answer(Ok(())));
        }
        // Some errors (a full disk among them) undo the whole transaction. The
        // one that caused it fails again, and now alone.
        Err(BatchFault::Undone(_)) if !alone => {
            for job in batch.drain(..) {
                let mut alone = vec![job];
                commit_batch(conn, &mut alone, counts);
            }
        }
        Err(BatchFault::Undone(error) | BatchFault::NotBegun(error)) => {
            let error = Arc::new(error);
            for job in batch.drain(..) {
                let doing = job.doing();
                job.answer(Err(explain(doing, Arc::clone(&error))));
            }
        }
    }
}

enum BatchFault {
    /// The transaction did not begin: nobody's fault, and no use trying again.
    NotBegun(rusqlite::Error),
    /// It was rolled back as a whole.
    Undone(rusqlite::Error),
}

fn commit_together(conn: &mut Connection, batch: &mut [Box<dyn Job>]) -> Result<(), BatchFault> {
    let tx = conn
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(BatchFault::NotBegun)?;
    for job in batch {
        run_in_savepoint(&tx, job.as_mut()).map_err(BatchFault::Undone)?;
    }
    tx.commit().map_err(BatchFault::Undone)
}

/// An error here means that the transaction is no more.
fn run_in_savepoint(conn: &Connection, job: &mut dyn Job) -> rusqlite::Result<()> {
    let execute = |sql| conn.prepare_cached(sql)?.execute([]);
    execute("SAVEPOINT operation")?;
    if !job.run(conn) {
        execute("ROLLBACK TO operation")?;
    }
    execute("RELEASE operation").map(drop)
}
