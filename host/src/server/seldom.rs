//! Polling what seldom has something to say.
//!
//! A connection waits for its client, for events, and for some things that hardly ever happen. An event wakes its task, and
//! the task would ask all of them each time, each with locks of its own, some of which all connections share. So they are
//! asked only when one of them has woken the task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// See the module.
#[derive(Default)]
pub(super) struct Seldom {
    bell: Option<Arc<Bell>>,
}

struct Bell {
    has_rung: AtomicBool,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Seldom {
    /// Calls `poll`, unless nothing of what it was waiting for when it was last called has happened since.
    pub(super) fn poll<T>(
        &mut self,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let bell = match &self.bell {
            Some(bell) if bell.task.will_wake(cx.waker()) => {
                // Taken before it is asked, so that what happens meanwhile is not missed. Hardly ever is there anything to take.
                if !bell.has_rung.load(Ordering::Acquire)
                    || !bell.has_rung.swap(false, Ordering::AcqRel)
                {
                    return Poll::Pending;
                }
                bell
            }
            _ => self.bell.insert(Arc::new(Bell {
                has_rung: AtomicBool::new(false),
                task: cx.waker().clone(),
            })),
        };
        let waker = Waker::from(Arc::clone(bell));
        let polled = poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            // It has not said yet what it waits for next.
            bell.has_rung.store(true, Ordering::Release);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn only_what_has_woken_the_task_is_asked() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&waker);
        let mut seldom = Seldom::default();
        let (first, mut one) = oneshot::channel::<()>();
        let mut asked = 0;
        let mut poll = |seldom: &mut Seldom| {
            let polled = seldom.poll(&cx, |cx| {
                asked += 1;
                one.poll_unpin(cx)
            });
            (polled.is_ready(), asked)
        };
        assert_eq!(poll(&mut seldom), (false, 1));
        assert_eq!(poll(&mut seldom), (false, 1));
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        first.send(()).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(poll(&mut seldom), (true, 2));
    }

    #[test]
    fn another_task_is_told_too() {
        let (sender, mut receiver) = oneshot::channel::<()>();
        let mut seldom = Seldom::default();
        let counts = [(); 2].map(|()| Arc::new(Count::default()));
        for count in &counts {
            let waker = Waker::from(Arc::clone(count));
            let cx = Context::from_waker(&waker);
            assert!(seldom.poll(&cx, |cx| receiver.poll_unpin(cx)).is_pending());
        }
        sender.send(()).unwrap();
        assert_eq!(counts.map(|count| count.0.load(Ordering::Relaxed)), [0, 1]);
    }
}
