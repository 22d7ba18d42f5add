//! What the tests of this folder share: a data folder with a configuration, and a host's end of a run that writes
//! down what it hears.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plugin_api::Event;
use plugin_api::wire::{MapperParams, RunParams};
use roundhouse_host::config::Config;
use roundhouse_host::plugin::{
    Agent, Answer, Catalog, CatalogError, EventRef, RunEnd, RunHandle, RunHost, ServiceFailure,
    Sink, load,
};

/// How long anything may take before a test gives up on it.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something, but not for ever.
pub(super) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what} took longer than {PATIENCE:?}"),
    }
}

/// Waits until something is so.
pub(super) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    soon(what, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// What an event may take, in bytes.
pub(super) const EVENT_BYTES: usize = 8 * 1024;

/// A folder for one test: configuration, data and whatever else.
pub(super) struct Stage {
    folder: tempfile::TempDir,
}

/// The library with the fixtures, as configuration names it.
pub(super) const FAULTY: &str = "[plugins.libraries.faulty]\nfile = \"fixture_faulty\"\n";

impl Stage {
    pub(super) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn config(&self, toml: &str) -> Config {
        // Top-level keys first.
        let toml = format!("{toml}\n[storage]\npath = \"data\"\n");
        Config::from_toml(&toml, self.folder.path())
            .unwrap_or_else(|faults| panic!("{faults}\n{toml}"))
    }

    pub(super) async fn try_load(&self, toml: &str) -> Result<Arc<Catalog>, CatalogError> {
        load(&self.config(toml)).await
    }

    pub(super) async fn load(&self, toml: &str) -> Arc<Catalog> {
        self.try_load(toml)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The faults of a configuration that does not load, without this test's folder in them.
    pub(super) async fn faults(&self, toml: &str) -> String {
        match self.try_load(toml).await {
            Ok(_) => panic!("it loaded"),
            Err(error) => self.without_folder(&error.to_string()),
        }
    }

    pub(super) fn without_folder(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), "FOLDER")
    }

    /// The lines that a fixture has written into a report.
    pub(super) fn report(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// A folder's path as a TOML string.
pub(super) fn toml_path(path: &Path) -> String {
    serde_json::to_string(&path.display().to_string()).unwrap()
}

/// The host's end of a run. It writes events down and answers a request by its method alone.
#[derive(Default)]
pub(super) struct Recorder {
    events: Mutex<Vec<Event>>,
    requests: Mutex<Vec<(String, String)>>,
    /// Kept open, for whoever wants to see them cancelled.
    open: Mutex<Vec<Sink>>,
    images: Vec<Arc<[u8]>>,
    largest: Option<usize>,
}

impl Recorder {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn with_images(images: Vec<Arc<[u8]>>) -> Arc<Self> {
        Arc::new(Self {
            images,
            ..Self::default()
        })
    }

    pub(super) fn with_limit(largest: usize) -> Arc<Self> {
        Arc::new(Self {
            largest: Some(largest),
            ..Self::default()
        })
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// The text of all deltas, each by itself.
    pub(super) fn deltas(&self) -> Vec<String> {
        let delta = |event: Event| match event {
            Event::StreamDelta(delta) => Some(delta.delta),
            _ => None,
        };
        self.events().into_iter().filter_map(delta).collect()
    }
}

impl RunHost for Recorder {
    fn emit(&self, event: EventRef<'_>) -> Answer {
        if self
            .largest
            .is_some_and(|largest| event.text.len() > largest)
        {
            return Answer::TooLarge;
        }
        match Event::from_parts(event) {
            Ok(event) => self.events.lock().unwrap().push(event),
            Err(_) => return Answer::Invalid,
        }
        Answer::Ok
    }

    fn request(&self, _: u64, method: &str, params: &str, sink: Sink) {
        self.requests
            .lock()
            .unwrap()
            .push((method.to_owned(), params.to_owned()));
        match method {
            "tools/call" => sink.done(Ok(r#"{"text":"from the host","success":true}"#)),
            "agents/run" => self.open.lock().unwrap().push(sink),
            _ => sink.done(Err(ServiceFailure::Unsupported)),
        }
    }

    fn cancel(&self, _: u64) {
        self.open.lock().unwrap().clear();
    }

    fn image(&self, handle: u64) -> Option<Arc<[u8]>> {
        self.images.get(usize::try_from(handle).ok()?).cloned()
    }
}

pub(super) fn params(content: &str) -> RunParams {
    let mut params = RunParams::default();
    params.run_id = "run".to_owned();
    params.session_id = "session".to_owned();
    params.agent = "main".to_owned();
    params.content = content.to_owned();
    params.grace_ms = 10_000;
    params
}

pub(super) fn mapper_params() -> MapperParams {
    let mut params = MapperParams::default();
    params.run_id = "run".to_owned();
    params.session_id = "session".to_owned();
    params.agent = "main".to_owned();
    params
}

pub(super) async fn start(agent: &Agent, content: &str, host: &Arc<Recorder>) -> RunHandle {
    let params = params(content);
    let starting = agent.start(&params, Arc::clone(host) as Arc<dyn RunHost>);
    soon("starting a run", starting)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Starts a run and waits for its end.
pub(super) async fn run(agent: &Agent, content: &str, host: &Arc<Recorder>) -> RunEnd {
    let mut handle = start(agent, content, host).await;
    soon("a run", handle.finished()).await
}

/// The content of a run that finished.
pub(super) async fn answer(agent: &Agent, content: &str) -> String {
    match run(agent, content, &Recorder::new()).await {
        RunEnd::Finished(outcome) => outcome.content,
        other => panic!("{other:?}"),
    }
}
