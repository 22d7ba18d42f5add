//! What an agent holds of its run: the host's side of every call it makes.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use plugin_api::abi::import::{Answer, ServiceFailure, Sink};
use plugin_api::abi::types;
use plugin_api::wire::ImageInfo;
use plugin_api::{EventRef, ServiceErrorCode};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::items::Items;
use super::services::RunServices;
use super::subagent::Subagent;
use crate::plugin::{Agent, RunHost};
use crate::session::ImageData;

/// The most requests that one agent may have open at a time.
const MAX_REQUESTS: usize = 256;

/// Bytes of images of earlier turns that are lent to one agent.
const LENT_BYTES: usize = 20 * 1024 * 1024;

/// One agent in a run: the run's own, or a subagent.
pub(super) struct Scope {
    this: Weak<Self>,
    services: Arc<RunServices>,
    agent: Arc<Agent>,
    images: Mutex<Images>,
    /// Held from reading an image of an earlier turn until it is known whether it may be lent, so that what one agent asks
    /// for at a time is in memory once, and not as often as it asks.
    pub(super) lending: tokio::sync::Mutex<()>,
    slow: Arc<Notify>,
    /// What makes it a subagent; `None` for the run's own agent.
    sub: Option<Subagent>,
    /// Cancelled when the agent's part is over.
    over: CancellationToken,
    /// Cancelled when the agent was asked to stop.
    pub(super) told: CancellationToken,
    requests: Mutex<HashMap<u64, CancellationToken>>,
    /// What its requests are part of.
    span: Span,
}

/// The images that an agent may ask for, by their places.
struct Images {
    all: Vec<Bytes>,
    /// Bytes of those of earlier turns.
    lent_bytes: usize,
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("agent", &self.agent.name())
            .finish_non_exhaustive()
    }
}

impl Scope {
    /// The scope of the run's own agent.
    pub(super) fn root(
        services: &Arc<RunServices>,
        agent: Arc<Agent>,
        images: Vec<Bytes>,
        slow: Arc<Notify>,
    ) -> Arc<Self> {
        let over = services.live.control.over.clone();
        Self::new(services, agent, images, slow, None, over)
    }

    /// The scope of a subagent; it is over when `over` is cancelled.
    pub(super) fn sub(
        services: &Arc<RunServices>,
        agent: Arc<Agent>,
        slow: Arc<Notify>,
        sub: Subagent,
        over: CancellationToken,
    ) -> Arc<Self> {
        Self::new(services, agent, Vec::new(), slow, Some(sub), over)
    }

    fn new(
        services: &Arc<RunServices>,
        agent: Arc<Agent>,
        images: Vec<Bytes>,
        slow: Arc<Notify>,
        sub: Option<Subagent>,
        over: CancellationToken,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            services: Arc::clone(services),
            agent,
            images: Mutex::new(Images {
                all: images,
                lent_bytes: 0,
            }),
            lending: tokio::sync::Mutex::default(),
            slow,
            sub,
            over,
            told: CancellationToken::new(),
            requests: Mutex::default(),
            span: Span::current(),
        })
    }

    pub(super) fn services(&self) -> &Arc<RunServices> {
        &self.services
    }

    pub(super) fn agent(&self) -> &Arc<Agent> {
        &self.agent
    }

    pub(super) fn subagent(&self) -> Option<&Subagent> {
        self.sub.as_ref()
    }

    /// How deep the agent is nested; 0 for the run's own.
    pub(super) fn depth(&self) -> u32 {
        self.sub.as_ref().map_or(0, |sub| sub.depth)
    }

    /// The name that the stream gives the agent's tool calls; `None` for the run's own.
    pub(super) fn stream_name(&self) -> Option<&str> {
        self.sub.as_ref().map(|_| self.agent.name())
    }

    fn requests(&self) -> std::sync::MutexGuard<'_, HashMap<u64, CancellationToken>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn images(&self) -> std::sync::MutexGuard<'_, Images> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an image of an earlier turn at hand until the agent's part is over.
    pub(super) fn lend(&self, image: ImageData) -> Result<ImageInfo, ServiceFailure> {
        let mut images = self.images();
        let bytes = images.lent_bytes + image.bytes.len();
        if bytes > LENT_BYTES {
            let text =
                format!("{bytes} bytes of earlier images, and {LENT_BYTES} are lent at most");
            return Err(ServiceFailure::failed(ServiceErrorCode::TooLarge, text));
        }
        images.lent_bytes = bytes;
        let mut info = ImageInfo::default();
        info.handle = images.all.len() as u64;
        (info.media_type, info.bytes) = (image.media_type, image.bytes.len() as u64);
        images.all.push(image.bytes);
        Ok(info)
    }

    /// Notes a request; the token is cancelled with it.
    fn open(&self, id: u64) -> Result<CancellationToken, ServiceFailure> {
        let mut requests = self.requests();
        if requests.len() >= MAX_REQUESTS {
            let text = format!("more than {MAX_REQUESTS} requests are open");
            return Err(ServiceFailure::failed(ServiceErrorCode::TooLarge, text));
        }
        if requests.contains_key(&id) {
            let text = format!("request {id} is open already");
            return Err(ServiceFailure::failed(ServiceErrorCode::Invalid, text));
        }
        let token = self.over.child_token();
        requests.insert(id, token.clone());
        Ok(token)
    }
}

impl RunHost for Scope {
    fn emit(&self, event: EventRef<'_>) -> Answer {
        if !self.services.live.has_room_for(&event) {
            return Answer::TooLarge;
        }
        match &self.sub {
            // The log knows when the run is over.
            None => {
                let answer = self.services.live.emit(event, None, &self.slow);
                if event.kind == types::EVENT_PROFILE_SWITCHED
                    && matches!(answer, Answer::Ok | Answer::Slow)
                {
                    self.services.note_profile(event);
                }
                answer
            }
            Some(_) if self.over.is_cancelled() => Answer::Stop,
            Some(sub) => sub.emit(event, self.agent.name(), &self.services.live, &self.slow),
        }
    }

    fn request(&self, id: u64, method: &str, params: &str, sink: Sink) {
        let Some(this) = self.this.upgrade() else {
            return;
        };
        let cancel = match self.open(id) {
            Ok(cancel) => cancel,
            Err(failure) => return sink.done(Err(failure)),
        };
        let (method, params) = (method.to_owned(), params.to_owned());
        let serve = async move {
            let queue = Arc::default();
            let items = Items::new(sink, Arc::clone(&queue));
            let work = async {
                let answer = this.serve(&method, &params, &queue, &cancel).await;
                this.requests().remove(&id);
                answer
            };
            items.serve(work).await;
        };
        self.services
            .tasks
            .spawn_on(serve.instrument(self.span.clone()), &self.services.runtime);
    }

    fn cancel(&self, id: u64) {
        if let Some(token) = self.requests().get(&id) {
            token.cancel();
        }
    }

    fn image(&self, handle: u64) -> Option<Arc<[u8]>> {
        let image = self
            .images()
            .all
            .get(usize::try_from(handle).ok()?)?
            .clone();
        Some(Arc::from(&image[..]))
    }

    fn may_take_long(&self) -> bool {
        self.services.live.is_mapped()
    }

    fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }
}
