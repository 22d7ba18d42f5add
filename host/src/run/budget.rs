//! The host-wide bound on what all logs together keep in memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How far a log's own count may run ahead of what it has told the budget, in bytes. It keeps the shared
/// counter off the path of single events.
const SLACK: usize = 64 * 1024;

/// Bytes that all logs of a host may keep (`limits.log_bytes`).
#[derive(Debug)]
pub struct LogBudget {
    used: AtomicUsize,
    limit: AtomicUsize,
    called: Notify,
}

impl LogBudget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
            called: Notify::new(),
        }
    }

    /// Changes how many bytes may be kept. Logs that keep too many then give up events as they always do.
    pub fn allow(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
        if self.is_tight() {
            self.call();
        }
    }

    fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Bytes in use, give or take 64 KiB a log.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether the logs keep more than they may.
    pub fn is_exceeded(&self) -> bool {
        self.used() > self.limit()
    }

    /// Whether so little is left that logs of runs that have ended should go.
    pub fn is_tight(&self) -> bool {
        let limit = self.limit();
        self.used() > limit - limit / 8
    }

    /// Has whoever looks after the logs do so now.
    pub fn call(&self) {
        self.called.notify_one();
    }

    /// Waits until the logs are to be looked after: an append found the budget tight, or a log has much to save. Cancel
    /// safe.
    pub async fn called(&self) {
        self.called.notified().await;
    }
}

/// One log's share of the budget; given back on drop.
#[derive(Debug)]
pub struct Share {
    budget: std::sync::Arc<LogBudget>,
    told: usize,
}

impl Share {
    /// An empty share.
    pub fn new(budget: std::sync::Arc<LogBudget>) -> Self {
        Self { budget, told: 0 }
    }

    /// Tells the budget that the log now keeps `bytes`. Answers whether the budget is exceeded, which is only
    /// looked at when the count has moved by a notable amount.
    pub fn set(&mut self, bytes: usize) -> bool {
        if bytes.abs_diff(self.told) < SLACK {
            return false;
        }
        self.tell(bytes);
        if self.budget.is_tight() {
            self.budget.call();
        }
        self.budget.is_exceeded()
    }

    /// As [`LogBudget::call`].
    pub fn call(&self) {
        self.budget.call();
    }

    fn tell(&mut self, bytes: usize) {
        if bytes >= self.told {
            self.budget
                .used
                .fetch_add(bytes - self.told, Ordering::Relaxed);
        } else {
            self.budget
                .used
                .fetch_sub(self.told - bytes, Ordering::Relaxed);
        }
        self.told = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.tell(0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_share_is_given_back() {
        let budget = Arc::new(LogBudget::new(1_000_000));
        let mut share = Share::new(Arc::clone(&budget));
        assert!(!share.set(500_000));
        assert_eq!(budget.used(), 500_000);
        assert!(share.set(1_500_000));
        share.set(100_000);
        assert_eq!(budget.used(), 100_000);
        drop(share);
        assert_eq!(budget.used(), 0);
    }
}
