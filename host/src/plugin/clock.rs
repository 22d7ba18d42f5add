//! Calls of mappers, which must be quick, seen from outside: one that goes on for too long is noticed while it
//! goes on, for it may never return. And the threads of the host's that such calls may take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::chain::MapperFault;
use super::library_copy::LibraryCopy;

/// How long a mapper may take over one event, or to open or close its state of a run, by the clock on the wall. It
/// holds up its run meanwhile, so it should need next to nothing; this much is for a machine that has no time for it.
pub const MAP_BUDGET: Duration = Duration::from_secs(1);

/// Calls of mappers that may be in progress on threads of the host's own at a time, for each library copy.
pub(crate) const MAPPER_THREADS: usize = 16;

/// How long such a call waits for one of them.
const THREAD_WAIT: Duration = Duration::from_secs(5);

/// No call is in progress.
const IDLE: u64 = 0;

/// A call is in progress, and counted as one that hangs.
const HUNG: u64 = u64::MAX;

/// What times are counted from.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The calls of one mapper in one run, of which there is one at a time.
pub(crate) struct Clock {
    /// The mapper's component.
    mapper: String,
    copy: Arc<LibraryCopy>,
    /// When the call in progress began, in microseconds from `EPOCH` and never 0; or one of the constants above.
    began: AtomicU64,
}

/// A call in progress; dropping it ends it.
pub(crate) struct Call<'a> {
    clock: &'a Clock,
    began: Instant,
}

/// What a look at a clock shows.
enum Seen {
    Idle,
    /// A call, which is over its time from then on.
    Until(Instant),
    Overrun,
}

impl Clock {
    pub(crate) fn new(mapper: &str, copy: Arc<LibraryCopy>) -> Arc<Self> {
        Arc::new(Self {
            mapper: mapper.to_owned(),
            copy,
            began: AtomicU64::new(IDLE),
        })
    }

    /// Notes that a call begins.
    pub(crate) fn begin(&self) -> Call<'_> {
        let began = Instant::now();
        let micros = began.duration_since(*EPOCH).as_micros();
        let micros = u64::try_from(micros).unwrap_or(HUNG - 1).max(IDLE + 1);
        self.began.store(micros, Ordering::Release);
        Call { clock: self, began }
    }

    fn look(&self, now: Instant) -> Seen {
        let began = self.began.load(Ordering::Acquire);
        match began {
            IDLE => return Seen::Idle,
            HUNG => return Seen::Overrun,
            _ => {}
        }
        let until = *EPOCH + Duration::from_micros(began) + MAP_BUDGET;
        if now <= until {
            return Seen::Until(until);
        }
        // Counted before it is marked: the call may end in this moment, and takes back what it finds marked.
        self.copy.call_hangs();
        let marked = self
            .began
            .compare_exchange(began, HUNG, Ordering::AcqRel, Ordering::Acquire);
        if marked.is_err() {
            self.copy.call_returned();
            return Seen::Idle;
        }
        self.copy.set_stuck(true);
        self.failed();
        Seen::Overrun
    }

    /// The mapper failed its run.
    pub(crate) fn failed(&self) {
        self.copy.generation.failed();
    }
}

impl Call<'_> {
    /// How long it has taken so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.clock.began.swap(IDLE, Ordering::AcqRel) == HUNG {
            self.clock.copy.call_returned();
        }
    }
}

/// Sees when a mapper of a chain takes too long, from outside of the chain.
#[derive(Clone)]
pub struct ChainWatch {
    clocks: Arc<[Arc<Clock>]>,
    /// One for each library copy, always in the same order, so that no two chains wait for each other.
    by_copy: Arc<[Arc<Clock>]>,
    closed: CancellationToken,
}

impl ChainWatch {
    pub(crate) fn new(clocks: impl Iterator<Item = Arc<Clock>>) -> Self {
        let clocks: Arc<[Arc<Clock>]> = clocks.collect();
        let mut by_copy = clocks.to_vec();
        by_copy.sort_by_key(|clock| clock.copy.generation.number());
        by_copy.dedup_by_key(|clock| clock.copy.generation.number());
        Self {
            clocks,
            by_copy: by_copy.into(),
            closed: CancellationToken::new(),
        }
    }

    /// Waits until a mapper has been in a call for longer than [`MAP_BUDGET`], and says which. The library copy
    /// that it is of counts as stuck from then on: new runs are served from a fresh one.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn overrun(&self) -> MapperFault {
        loop {
            let now = Instant::now();
            // A call that begins after this look is over its time after the next one at the earliest.
            let mut next = now + MAP_BUDGET;
            for clock in self.clocks.iter() {
                match clock.look(now) {
                    Seen::Idle => {}
                    Seen::Until(until) => next = next.min(until),
                    Seen::Overrun => {
                        return MapperFault {
                            mapper: clock.mapper.clone(),
                            reason: format!(
                                "a call of it goes on, and {} ms are allowed",
                                MAP_BUDGET.as_millis()
                            ),
                        };
                    }
                }
            }
            // Timers have milliseconds; one more, so that the next look is not a moment too early.
            tokio::time::sleep_until((next + Duration::from_millis(1)).into()).await;
        }
    }

    /// Does what calls the chain's mappers on a thread of the host's that may block. A call that never returns keeps
    /// that thread, of which there are only so many for each library copy, and is not waited for.
    ///
    /// # Errors
    ///
    /// [`MapperFault`] when a mapper takes too long in this or another call, or others of its library copy keep
    /// all of the threads.
    ///
    /// # Cancel safety
    ///
    /// Safe: `work` is done, or was not begun.
    pub async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, MapperFault> {
        let fault = |clock: Option<&Arc<Clock>>, reason: String| MapperFault {
            mapper: clock.map(|clock| clock.mapper.clone()).unwrap_or_default(),
            reason,
        };
        let mut threads = Vec::new();
        for clock in &*self.by_copy {
            let waiting = Arc::clone(&clock.copy.mapper_threads).acquire_owned();
            match tokio::time::timeout(THREAD_WAIT, waiting).await {
                Ok(Ok(thread)) => threads.push(thread),
                Ok(Err(error)) => return Err(fault(Some(clock), error.to_string())),
                Err(_elapsed) => {
                    let reason = "others keep all threads that its library copy may have";
                    return Err(fault(Some(clock), reason.to_owned()));
                }
            }
        }
        let working = tokio::task::spawn_blocking(move || {
            let _threads = threads;
            work()
        });
        tokio::select! {
            biased;
            done = working => done.map_err(|error| fault(self.clocks.first(), error.to_string())),
            fault = self.overrun() => Err(fault),
        }
    }

    /// Waits until the chain was dropped, and its mappers closed with it.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// To be held by the chain.
    pub(crate) fn token(&self) -> tokio_util::sync::DropGuard {
        self.closed.clone().drop_guard()
    }
}

impl std::fmt::Debug for ChainWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mappers = self.clocks.iter().map(|clock| &clock.mapper);
        f.debug_list().entries(mappers).finish()
    }
}
