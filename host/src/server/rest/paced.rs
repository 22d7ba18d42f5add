//! A body that is handed out no faster than it is used.
//!
//! The multipart parser collects whatever it is given until it finds the end of what it looks for. A part whose
//! headers never end would fill the memory, and so would a body that is always ready.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::Stream;

/// The body went on where it should have come to a point.
#[derive(Debug, thiserror::Error)]
#[error("the beginning of a part, or what comes before the first, is too long")]
struct NoEndInSight;

/// Says how much of a body is handed out.
#[derive(Clone)]
pub(super) struct Pace(Arc<Source>);

struct Source {
    /// Gone when it has ended, for it must not be asked again.
    body: Mutex<Option<BodyDataStream>>,
    allowed: AtomicU64,
}

/// Makes `body` hand out one chunk at a time, and only what it is allowed to: at first nothing.
pub(super) fn paced(body: Body) -> (Body, Pace) {
    let source = Source {
        body: Mutex::new(Some(body.into_data_stream())),
        allowed: AtomicU64::new(0),
    };
    let pace = Pace(Arc::new(source));
    (
        Body::from_stream(Paced {
            pace: pace.clone(),
            resting: false,
        }),
        pace,
    )
}

impl Pace {
    /// Allows so many more bytes, whatever was left before.
    pub(super) fn allow(&self, bytes: u64) {
        self.0.allowed.store(bytes, Ordering::Relaxed);
    }

    /// Reads what is left and drops it, up to `limit` bytes. Cancel safe.
    pub(super) async fn discard(&self, limit: u64) {
        let mut bytes = 0;
        while bytes < limit
            && let Some(Ok(chunk)) = poll_fn(|cx| self.poll_body(cx)).await
        {
            bytes += chunk.len() as u64;
        }
    }

    fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, axum::Error>>> {
        let mut body = self.0.body.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stream) = body.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(stream).poll_next(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            *body = None;
        }
        polled
    }
}

struct Paced {
    pace: Pace,
    resting: bool,
}

impl Stream for Paced {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Whoever polls until nothing is ready gets one chunk.
        if std::mem::take(&mut self.resting) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = self.pace.poll_body(cx);
        if let Poll::Ready(Some(Ok(chunk))) = &polled {
            let allowed = self.pace.0.allowed.load(Ordering::Relaxed);
            if allowed == 0 {
                return Poll::Ready(Some(Err(axum::Error::new(NoEndInSight))));
            }
            self.pace.allow(allowed.saturating_sub(chunk.len() as u64));
            self.resting = true;
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    fn endless() -> Body {
        let chunk = || Ok::<_, std::io::Error>(Bytes::from_static(b"12345678"));
        Body::from_stream(futures_util::stream::repeat_with(chunk))
    }

    #[tokio::test]
    async fn what_is_handed_out_is_bounded_until_it_is_used() {
        let (body, pace) = paced(endless());
        let mut body = body.into_data_stream();
        assert!(body.next().await.unwrap().is_err());
        pace.allow(20);
        for _ in 0..3 {
            assert_eq!(body.next().await.unwrap().unwrap().len(), 8);
        }
        assert!(
            body.next()
                .await
                .unwrap()
                .unwrap_err()
                .to_string()
                .contains("too long")
        );
        pace.allow(1);
        assert_eq!(body.next().await.unwrap().unwrap().len(), 8);
    }

    #[tokio::test]
    async fn the_rest_can_be_dropped() {
        let (_body, pace) = paced(endless());
        pace.discard(10_000_000).await;
        let (body, pace) = paced(Body::from("short"));
        pace.discard(u64::MAX).await;
        assert!(body.into_data_stream().next().await.is_none());
    }
}
