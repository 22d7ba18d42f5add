//! A host for the tests: it remembers what libraries do, and answers as the test says.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use plugin_api::abi::import::{
    AgentInstance, Answer, Completion, ComponentKind, EventRef, FailureKind, HostLibrary,
    InstancePtr, Library, LogLine, MapperInstance, PluginDescriptor, Sink, ToolsetInstance,
    read_descriptor,
};
use plugin_api::wire::{InstanceParams, OutcomeData, RunParams};
use plugin_api::{Event, Health, serde_json};
use tokio::sync::{mpsc, watch};

/// Far longer than anything here takes; a wait that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what must come.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it never came")
}

type AnswerEvent = Box<dyn Fn(u64) -> Answer + Send + Sync>;

/// A request of the library, not yet answered.
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) method: String,
    pub(crate) params: serde_json::Value,
    pub(crate) sink: Sink,
}

/// What a scope is for the host.
struct Entry {
    answer: AnswerEvent,
    events: watch::Sender<Vec<Event>>,
    completions: mpsc::UnboundedSender<Completion>,
    requests: mpsc::UnboundedSender<Request>,
    cancelled: watch::Sender<Vec<u64>>,
    images: HashMap<u64, Arc<[u8]>>,
}

/// A line of a library's log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) scope: u64,
    pub(crate) level: tracing::Level,
    pub(crate) target: String,
    pub(crate) message: String,
    pub(crate) fields: String,
}

pub(crate) struct TestHost {
    scopes: Mutex<HashMap<u64, Arc<Entry>>>,
    next: AtomicU64,
    pub(crate) lines: watch::Sender<Vec<Line>>,
    pub(crate) healths: watch::Sender<Vec<(u64, Health)>>,
}

impl TestHost {
    pub(crate) fn new() -> Arc<Self> {
        let lines = watch::channel(Vec::new()).0;
        Arc::new(Self {
            healths: watch::Sender::default(),
            scopes: Mutex::default(),
            next: AtomicU64::new(1000),
            lines,
        })
    }

    fn entry(&self, scope: u64) -> Option<Arc<Entry>> {
        self.scopes.lock().unwrap().get(&scope).cloned()
    }

    /// Opens a scope in which every event is answered by `answer`, which gets the number of events before it.
    pub(crate) fn scope_with(
        self: &Arc<Self>,
        answer: impl Fn(u64) -> Answer + Send + Sync + 'static,
    ) -> Scope {
        self.scope_of(Box::new(answer), HashMap::new())
    }

    pub(crate) fn scope(self: &Arc<Self>) -> Scope {
        self.scope_with(|_| Answer::Ok)
    }

    pub(crate) fn scope_of(
        self: &Arc<Self>,
        answer: AnswerEvent,
        images: HashMap<u64, Arc<[u8]>>,
    ) -> Scope {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (events, seen) = watch::channel(Vec::new());
        let (completions, completed) = mpsc::unbounded_channel();
        let (requests, requested) = mpsc::unbounded_channel();
        let (cancelled, cancels) = watch::channel(Vec::new());
        let entry = Arc::new(Entry {
            answer,
            events,
            completions,
            requests,
            cancelled,
            images,
        });
        self.scopes.lock().unwrap().insert(id, entry);
        Scope {
            host: Arc::clone(self),
            id,
            events: seen,
            completed,
            requested,
            cancels,
        }
    }
}

impl HostLibrary for TestHost {
    fn emit(&self, scope: u64, event: EventRef<'_>) -> Answer {
        let Some(entry) = self.entry(scope) else {
            return Answer::Stop;
        };
        let Ok(event) = Event::from_parts(event) else {
            return Answer::Invalid;
        };
        let answer = (entry.answer)(entry.events.borrow().len() as u64);
        if matches!(answer, Answer::Ok | Answer::Slow) {
            entry.events.send_modify(|events| events.push(event));
        }
        answer
    }

    fn complete(&self, scope: u64, completion: Completion) -> Answer {
        // Kept in the table: a second completion must be seen, so that a test can complain of it.
        let Some(entry) = self.entry(scope) else {
            return Answer::Stop;
        };
        match entry.completions.send(completion) {
            Ok(()) => Answer::Ok,
            Err(_) => Answer::Stop,
        }
    }

    fn request(&self, scope: u64, id: u64, method: &str, params: &str, sink: Sink) {
        let Some(entry) = self.entry(scope) else {
            return;
        };
        let params = serde_json::from_str(params).unwrap();
        let _ = entry.requests.send(Request {
            id,
            method: method.to_owned(),
            params,
            sink,
        });
    }

    fn cancel(&self, scope: u64, id: u64) -> Answer {
        let Some(entry) = self.entry(scope) else {
            return Answer::Stop;
        };
        entry.cancelled.send_modify(|cancelled| cancelled.push(id));
        Answer::Ok
    }

    fn image(&self, scope: u64, handle: u64) -> Option<Arc<[u8]>> {
        self.entry(scope)?.images.get(&handle).cloned()
    }

    fn log(&self, line: LogLine<'_>) {
        let line = Line {
            scope: line.scope,
            level: line.level,
            target: line.target.to_owned(),
            message: line.message.to_owned(),
            fields: line.fields.to_owned(),
        };
        self.lines.send_modify(|lines| lines.push(line));
    }

    fn child_guard(&self) -> Option<&str> {
        Some("/no/such/guard")
    }

    fn set_health(&self, scope: u64, health: Health) -> Answer {
        if self.entry(scope).is_none() {
            return Answer::Stop;
        }
        self.healths
            .send_modify(|healths| healths.push((scope, health)));
        Answer::Ok
    }
}

/// The host's end of a scope. Dropping it ends the scope.
pub(crate) struct Scope {
    host: Arc<TestHost>,
    pub(crate) id: u64,
    events: watch::Receiver<Vec<Event>>,
    completed: mpsc::UnboundedReceiver<Completion>,
    requested: mpsc::UnboundedReceiver<Request>,
    cancels: watch::Receiver<Vec<u64>>,
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.host.scopes.lock().unwrap().remove(&self.id);
    }
}

impl Scope {
    pub(crate) async fn completion(&mut self) -> Completion {
        soon(self.completed.recv())
            .await
            .expect("the sender is in the host's table")
    }

    /// The outcome of a run that finished.
    pub(crate) async fn finished(&mut self) -> OutcomeData {
        match self.completion().await {
            Completion::Finished { json, value: None } => serde_json::from_str(&json).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The outcome of a run that stopped.
    pub(crate) async fn stopped(&mut self) -> OutcomeData {
        match self.completion().await {
            Completion::Stopped { json } => serde_json::from_str(&json).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn failed(&mut self) -> (FailureKind, String) {
        match self.completion().await {
            Completion::Failed { kind, text } => (kind, text),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn created(&mut self) -> InstancePtr {
        match self.completion().await {
            Completion::Finished {
                value: Some(pointer),
                ..
            } => pointer,
            other => panic!("{other:?}"),
        }
    }

    /// Nothing more was completed. Only after a state in which it would have been.
    pub(crate) fn nothing_more(&mut self) {
        assert!(self.completed.try_recv().is_err());
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.borrow().clone()
    }

    pub(crate) async fn until_events(
        &mut self,
        enough: impl FnMut(&Vec<Event>) -> bool,
    ) -> Vec<Event> {
        soon(self.events.wait_for(enough)).await.unwrap().clone()
    }

    pub(crate) async fn request(&mut self) -> Request {
        soon(self.requested.recv()).await.unwrap()
    }

    pub(crate) async fn until_cancelled(&mut self, id: u64) {
        soon(self.cancels.wait_for(|cancelled| cancelled.contains(&id)))
            .await
            .unwrap();
    }
}

/// The fixture's library, connected to the one host that a copy of a library can have.
pub(crate) struct Plugin {
    pub(crate) host: Arc<TestHost>,
    pub(crate) descriptor: PluginDescriptor,
    pub(crate) library: Library,
}

pub(crate) static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| {
    // SAFETY: the descriptor that the macro made, in this very program.
    let descriptor = unsafe { read_descriptor(crate::fixture::entry()) }.unwrap();
    let host = TestHost::new();
    let library = descriptor
        .init(Arc::clone(&host) as Arc<dyn HostLibrary>)
        .unwrap();
    Plugin {
        host,
        descriptor,
        library,
    }
});

pub(crate) fn host() -> &'static Arc<TestHost> {
    &PLUGIN.host
}

impl Plugin {
    pub(crate) fn component(&self, name: &str) -> ComponentKind {
        self.descriptor
            .components
            .iter()
            .find(|component| component.name == name)
            .unwrap()
            .kind
    }
}

/// What every instance here is made with.
pub(crate) fn instance_params() -> String {
    let mut params = InstanceParams::default();
    params.name = "mine".to_owned();
    params.generation = 3;
    params.plugin = "fixture".to_owned();
    serde_json::to_string(&params).unwrap()
}

pub(crate) async fn agent(name: &str, config: &str) -> AgentInstance {
    let ComponentKind::Agent(functions) = PLUGIN.component(name) else {
        panic!("{name} is no agent")
    };
    let mut scope = host().scope();
    functions.create(scope.id, config, &instance_params());
    // SAFETY: what this very component has completed with, used once.
    unsafe { functions.instance(scope.created().await) }
}

pub(crate) async fn toolset(name: &str) -> (ToolsetInstance, Scope) {
    let ComponentKind::Toolset(functions) = PLUGIN.component(name) else {
        panic!("{name} is no toolset")
    };
    let mut scope = host().scope();
    functions.create(scope.id, "{}", &instance_params());
    // SAFETY: what this very component has completed with, used once.
    (unsafe { functions.instance(scope.created().await) }, scope)
}

pub(crate) async fn mapper(name: &str) -> MapperInstance {
    let ComponentKind::Mapper(functions) = PLUGIN.component(name) else {
        panic!("{name} is no mapper")
    };
    let mut scope = host().scope();
    functions.create(scope.id, "{}", &instance_params());
    // SAFETY: what this very component has completed with, used once.
    unsafe { functions.instance(scope.created().await) }
}

pub(crate) fn run_params(content: &str) -> RunParams {
    let mut params = RunParams::default();
    params.run_id = "run-1".to_owned();
    params.session_id = "session-1".to_owned();
    params.agent = "mine".to_owned();
    params.content = content.to_owned();
    params.user_text = content.to_owned();
    params.grace_ms = 50;
    params
}

pub(crate) fn run_json(content: &str) -> String {
    serde_json::to_string(&run_params(content)).unwrap()
}
