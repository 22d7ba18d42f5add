//! What the library takes for the host: it writes frames.
#![expect(
    unsafe_code,
    reason = "an instance is made of the pointer that its component completed with"
)]

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use plugin_api::abi::import::{
    AgentInstance, Answer, Completion, ComponentKind, EventRef, FailureKind, HostLibrary,
    InstancePtr, LogLine, ServiceFailure, Sink, ToolsetInstance,
};
use plugin_api::{Health, ServiceErrorCode, abi::types};

use super::super::frame::{End, FROM_WORKER_BYTES, FromWorker};
use super::super::outbox::{Outbox, Pushed};
use super::calls::Signal;
use super::scopes::{Kind, Scopes};
use super::{WorkerError, start_thread};
use crate::child_guard;
use crate::plugin::chain::{event_size, is_hosts_own};

/// How long a library waits for an image. It is lent from memory and comes at once.
const IMAGE_WAIT: Duration = Duration::from_secs(30);

/// The longest text of a log line that crosses whole.
const LOG_TEXT: usize = 256 * 1024;

/// An instance, by the scope that it was made with.
#[derive(Clone)]
pub(super) enum Instance {
    Agent(Arc<AgentInstance>),
    Toolset(Arc<ToolsetInstance>),
}

/// The host, as the library sees it.
pub(super) struct WorkerHost {
    outbox: Outbox,
    /// The program by which the library starts others: this one.
    child_guard: Option<String>,
    event_bytes: usize,
    pub(super) scopes: Scopes,
    /// By the scope of the `create` that is going on.
    creating: Mutex<HashMap<u64, ComponentKind>>,
    instances: RwLock<HashMap<u64, Instance>>,
    /// By scope and id.
    requests: Mutex<HashMap<(u64, u64), Sink>>,
    images: Mutex<HashMap<u64, Option<Arrived>>>,
    image_came: Condvar,
    next_ticket: AtomicU64,
}

/// The answer to an `image`.
type Arrived = Option<Arc<[u8]>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the thread that writes.
pub(super) fn write_out(
    host: &Arc<WorkerHost>,
    socket: Arc<UnixStream>,
    signals: SyncSender<Signal>,
) -> Result<(), WorkerError> {
    let host = Arc::clone(host);
    start_thread("write", move || {
        let written = host.outbox.write_to(&socket, |scope| {
            // One that the host itself has paused goes on when the host says so.
            if host
                .scopes
                .get(scope)
                .is_some_and(|scope| scope.is_paused())
            {
                return;
            }
            // This thread must not wait for the library, which may wait for it.
            if let Err(TrySendError::Full(_)) = signals.try_send(Signal::Resume { scope }) {
                host.outbox.note_slowed(scope);
            }
        });
        if let Err(error) = written {
            eprintln!("the worker cannot write to the host: {error}");
        }
    })
}

impl WorkerHost {
    pub(super) fn new(queue_bytes: usize, event_bytes: usize) -> Self {
        Self {
            outbox: Outbox::new(queue_bytes),
            child_guard: child_guard::program(None),
            event_bytes,
            scopes: Scopes::default(),
            creating: Mutex::default(),
            instances: RwLock::default(),
            requests: Mutex::default(),
            images: Mutex::default(),
            image_came: Condvar::new(),
            next_ticket: AtomicU64::new(0),
        }
    }

    /// Waits while the queue is full.
    pub(super) fn send(&self, frame: &FromWorker<'_>) -> Pushed {
        self.outbox.push(None, |to| frame.write(to))
    }

    pub(super) fn begins_to_create(&self, scope: u64, kind: ComponentKind) {
        self.scopes.insert(scope, Kind::Instance, scope);
        lock(&self.creating).insert(scope, kind);
    }

    pub(super) fn instance(&self, id: u64) -> Option<Instance> {
        let instances = self
            .instances
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        instances.get(&id).cloned()
    }

    /// The instance is to be shut down: nothing finds it any more.
    pub(super) fn take_instance(&self, id: u64) -> Option<Instance> {
        self.scopes.remove(id);
        let mut instances = self
            .instances
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        instances.remove(&id)
    }

    /// What was started with this scope did not even begin.
    pub(super) fn fails(&self, scope: u64, text: &str) {
        self.complete(
            scope,
            Completion::Failed {
                kind: FailureKind::Internal,
                text: text.to_owned(),
            },
        );
    }

    /// The sink of a request, for whoever answers it.
    pub(super) fn take_request(&self, scope: u64, id: u64) -> Option<Sink> {
        lock(&self.requests).remove(&(scope, id))
    }

    pub(super) fn put_back_request(&self, scope: u64, id: u64, sink: Sink) {
        lock(&self.requests).insert((scope, id), sink);
    }

    /// An image that was asked for has come.
    pub(super) fn image_came(&self, ticket: u64, bytes: Option<&[u8]>) {
        if let Some(image) = lock(&self.images).get_mut(&ticket) {
            *image = Some(bytes.map(Arc::from));
        }
        self.image_came.notify_all();
    }

    fn made(&self, scope: u64, kind: ComponentKind, pointer: InstancePtr) {
        let instance = match kind {
            ComponentKind::Agent(functions) => {
                // SAFETY: The pointer is what this component's `create` completed with, once: the kind was taken out
                // of the table of those that are going on.
                let agent = unsafe { functions.instance(pointer) };
                Instance::Agent(Arc::new(agent))
            }
            ComponentKind::Toolset(functions) => {
                // SAFETY: As above.
                let toolset = unsafe { functions.instance(pointer) };
                Instance::Toolset(Arc::new(toolset))
            }
            // Nobody begins to create any other.
            _ => return,
        };
        self.instances
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(scope, instance);
        let end = End::Made;
        self.send(&FromWorker::Complete { scope, end });
    }

    fn send_end(&self, scope: u64, completion: &Completion) {
        let end = match completion {
            Completion::Finished { json, .. } => End::Finished(json),
            Completion::Stopped { json } => End::Stopped(json),
            Completion::Failed { kind, text } => End::Failed(kind.code(), text),
        };
        let (End::Finished(text) | End::Stopped(text) | End::Failed(_, text)) = end else {
            return;
        };
        let too_long;
        let end = if text.len() < FROM_WORKER_BYTES - 1024 {
            end
        } else {
            too_long = format!("a result of {} bytes is too long for a worker", text.len());
            End::Failed(FailureKind::Internal.code(), &too_long)
        };
        self.send(&FromWorker::Complete { scope, end });
    }

    fn refuse_event(&self, scope: u64, text: std::fmt::Arguments<'_>) {
        self.log(LogLine {
            scope,
            level: tracing::Level::WARN,
            target: "roundhouse_host::plugin::worker",
            message: &format!("event refused: {text}; others of this run are not told"),
            fields: "",
        });
    }
}

impl HostLibrary for WorkerHost {
    fn emit(&self, id: u64, event: EventRef<'_>) -> Answer {
        let Some(scope) = self.scopes.get(id) else {
            return Answer::Stop;
        };
        if scope.is_over() {
            return Answer::Stop;
        }
        let emit = |to: &mut Vec<u8>| FromWorker::Emit { scope: id, event }.write(to);
        let bytes = event_size(&event);
        match scope.kind {
            Kind::Instance | Kind::Task => return Answer::Invalid,
            // Progress: what nobody reads in time is lost, and nobody is told to wait.
            Kind::Call if bytes > FROM_WORKER_BYTES / 2 => return Answer::TooLarge,
            Kind::Call => {
                return match self.outbox.push(None, emit) {
                    Pushed::Closed => Answer::Stop,
                    Pushed::Accepted | Pushed::HalfFull => Answer::Ok,
                };
            }
            Kind::Run => {}
        }
        if bytes > self.event_bytes {
            if scope.first_refused() {
                self.refuse_event(
                    id,
                    format_args!(
                        "`{}` of {bytes} bytes is over limits.event_bytes, {}",
                        event.name, self.event_bytes
                    ),
                );
            }
            return Answer::TooLarge;
        }
        if is_hosts_own(event.kind) {
            if scope.first_refused() {
                self.refuse_event(id, format_args!("`{}` is the host's own", event.name));
            }
            return Answer::Invalid;
        }
        match self.outbox.push(Some(id), emit) {
            Pushed::Closed => Answer::Stop,
            Pushed::HalfFull => Answer::Slow,
            Pushed::Accepted if scope.is_paused() => Answer::Slow,
            Pushed::Accepted => Answer::Ok,
        }
    }

    fn complete(&self, id: u64, completion: Completion) -> Answer {
        let creating = lock(&self.creating).remove(&id);
        if let Some(kind) = creating {
            match completion {
                Completion::Finished {
                    value: Some(pointer),
                    ..
                } => self.made(id, kind, pointer),
                Completion::Finished { value: None, .. } => {
                    self.scopes.remove(id);
                    let text = "it finished `create` without an instance";
                    let end = End::Failed(FailureKind::Internal.code(), text);
                    self.send(&FromWorker::Complete { scope: id, end });
                }
                other => {
                    self.scopes.remove(id);
                    self.send_end(id, &other);
                }
            }
            return Answer::Ok;
        }
        match self.scopes.get(id) {
            // It was made before.
            Some(scope) if scope.kind == Kind::Instance => return Answer::Stop,
            Some(_) => {}
            None => return Answer::Stop,
        }
        let Some(scope) = self.scopes.remove(id) else {
            return Answer::Stop;
        };
        // The host hears it also when it no longer waits: it wants to know when the library is done.
        self.send_end(id, &completion);
        if scope.is_over() {
            Answer::Stop
        } else {
            Answer::Ok
        }
    }

    fn request(&self, scope: u64, id: u64, method: &str, params: &str, sink: Sink) {
        if self.scopes.get(scope).is_none_or(|scope| scope.is_over()) {
            return sink.done(Err(ServiceFailure::Cancelled));
        }
        if method.len() + params.len() > FROM_WORKER_BYTES - 1024 {
            let text = "the request is too long for a worker";
            return sink.done(Err(ServiceFailure::failed(
                ServiceErrorCode::TooLarge,
                text,
            )));
        }
        {
            let mut requests = lock(&self.requests);
            if requests.contains_key(&(scope, id)) {
                drop(requests);
                let text = format!("request {id} is open already");
                return sink.done(Err(ServiceFailure::failed(ServiceErrorCode::Invalid, text)));
            }
            requests.insert((scope, id), sink);
        }
        self.send(&FromWorker::Request {
            scope,
            id,
            method,
            params,
        });
    }

    fn cancel(&self, scope: u64, id: u64) -> Answer {
        if self.scopes.get(scope).is_none_or(|scope| scope.is_over()) {
            return Answer::Stop;
        }
        self.send(&FromWorker::Cancel { scope, id });
        Answer::Ok
    }

    fn image(&self, scope: u64, handle: u64) -> Option<Arc<[u8]>> {
        if self.scopes.get(scope)?.is_over() {
            return None;
        }
        let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
        lock(&self.images).insert(ticket, None);
        self.send(&FromWorker::Image {
            scope,
            handle,
            ticket,
        });
        let images = lock(&self.images);
        let (mut images, _elapsed) = self
            .image_came
            .wait_timeout_while(images, IMAGE_WAIT, |images| {
                matches!(images.get(&ticket), Some(None))
            })
            .unwrap_or_else(PoisonError::into_inner);
        images.remove(&ticket).flatten().flatten()
    }

    fn log(&self, line: LogLine<'_>) {
        let level = match line.level {
            tracing::Level::ERROR => types::LOG_ERROR,
            tracing::Level::WARN => types::LOG_WARN,
            tracing::Level::INFO => types::LOG_INFO,
            tracing::Level::DEBUG => types::LOG_DEBUG,
            tracing::Level::TRACE => types::LOG_TRACE,
        };
        // Half an object is none.
        let fields = if line.fields.len() > LOG_TEXT {
            ""
        } else {
            line.fields
        };
        self.send(&FromWorker::Log {
            scope: line.scope,
            level,
            target: cut(line.target),
            message: cut(line.message),
            fields,
        });
    }

    fn child_guard(&self) -> Option<&str> {
        self.child_guard.as_deref()
    }

    fn set_health(&self, scope: u64, health: Health) -> Answer {
        match self.scopes.get(scope) {
            Some(found) if found.kind == Kind::Instance => {
                let (state, text) = health.parts();
                let text = cut(text);
                self.send(&FromWorker::Health { scope, state, text });
                Answer::Ok
            }
            Some(_) => Answer::Invalid,
            None => Answer::Stop,
        }
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LOG_TEXT)]
}
