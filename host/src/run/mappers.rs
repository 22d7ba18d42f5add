//! The mappers of one run, which one thread at a time has to itself.

use std::mem::ManuallyDrop;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::plugin::{ChainWatch, MapperChain, MapperFault};

/// See the module. Whoever uses the chain has it as long as its mappers take, which may be for ever; so nobody waits
/// for it any more once it was given up.
#[derive(Debug)]
pub(super) struct Mappers {
    turn: Mutex<Turn>,
    freed: Condvar,
    watch: ChainWatch,
    /// All of them, for a fault of which it is not known whose it is.
    names: String,
}

#[derive(Debug)]
struct Turn {
    /// `None` while somebody uses it, and when it is closed.
    chain: Option<MapperChain>,
    waiting: usize,
    /// Whoever uses the chain is the last.
    given_up: bool,
    /// Whoever uses it closes it then.
    closing: bool,
}

impl Mappers {
    pub(super) fn new(chain: MapperChain) -> Self {
        Self {
            watch: chain.watch(),
            names: chain.names(),
            turn: Mutex::new(Turn {
                chain: Some(chain),
                waiting: 0,
                given_up: false,
                closing: false,
            }),
            freed: Condvar::new(),
        }
    }

    pub(super) fn names(&self) -> &str {
        &self.names
    }

    /// Waits until a mapper has taken too long, and says which.
    pub(super) async fn overrun(&self) -> MapperFault {
        self.watch.overrun().await
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the chain and uses it, on a thread that may block; `None` once it was given up.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut MapperChain) -> R) -> Option<R> {
        let mut chain = self.take()?;
        let unfinished = Unfinished(self);
        let done = work(&mut chain);
        std::mem::forget(unfinished);
        self.put_back(chain);
        Some(done)
    }

    fn take(&self) -> Option<MapperChain> {
        let mut turn = self.turn();
        while turn.chain.is_none() && !turn.given_up {
            turn.waiting += 1;
            turn = self
                .freed
                .wait(turn)
                .unwrap_or_else(PoisonError::into_inner);
            turn.waiting -= 1;
        }
        if turn.given_up {
            return None;
        }
        turn.chain.take()
    }

    fn put_back(&self, chain: MapperChain) {
        let mut turn = self.turn();
        if turn.closing {
            drop(turn);
            // Closes the mappers, on this thread, which has been theirs so far.
            drop(chain);
            return;
        }
        turn.chain = Some(chain);
        // A wake-up is a system call, even with nobody to be woken.
        if turn.waiting > 0 {
            self.freed.notify_one();
        }
    }

    /// Lets nobody use the chain any more, those included who wait for it.
    pub(super) fn give_up(&self) {
        self.turn().given_up = true;
        self.freed.notify_all();
    }

    /// Does what uses the chain, on a thread that may block. See [`ChainWatch::on_thread`].
    pub(super) async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, MapperFault> {
        self.watch.on_thread(work).await
    }

    /// Gives the chain up and waits until its mappers are closed, or one of them hangs.
    pub(super) async fn close(&self) -> Result<(), MapperFault> {
        self.give_up();
        let chain = {
            let mut turn = self.turn();
            turn.closing = true;
            turn.chain.take()
        };
        // One that finds no thread is not closed at all, rather than on a thread that must not block.
        if let Some(chain) = chain.map(ManuallyDrop::new) {
            self.on_thread(move || drop(ManuallyDrop::into_inner(chain)))
                .await?;
        }
        tokio::select! {
            biased;
            () = self.watch.closed() => Ok(()),
            fault = self.overrun() => Err(fault),
        }
    }
}

/// A use of the chain that ended by a panic. What the mappers have done by then is not known, so nobody gets them.
struct Unfinished<'a>(&'a Mappers);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}
