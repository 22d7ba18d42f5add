//! The real host, in this process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use roundhouse_host::config::{Config, Loader};
use roundhouse_host::server::{self, Host, Patience};
use roundhouse_host::session::{Owner, PageRequest, Run, SessionId, Turn, TurnPageRequest};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Client, Connect, Greeting};
use crate::positions::Position;
use crate::rest::{Answer, Rest};
use crate::wait::{soon, until};

/// What every test's host has; a test's own configuration is layered over it.
const BASE: &str = r#"
default_agent = "scripted"

[storage]
path = "../data"

[server]
drain_spread = "0s"

[plugins.libraries.scripted]
file = "roundhouse_scripted"

[plugins.libraries.puppet]
file = "fixture_puppet"

[agents.scripted]
component = "scripted/scripted"

[agents.puppet]
component = "puppet/puppet"
"#;

/// A host with a folder of its own, serving on 127.0.0.1 on a port of its own.
///
/// End it with [`TestHost::shut_down`], which is part of every test.
pub struct TestHost {
    host: Arc<Host>,
    address: SocketAddr,
    rest: Rest,
    folder: tempfile::TempDir,
    end: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl TestHost {
    /// Starts a host with two agents, `scripted` (the default) and `puppet`.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// Starts a host with this configuration over the usual one.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn with(toml: &str) -> Self {
        let folder = match tempfile::tempdir() {
            Ok(folder) => folder,
            Err(error) => panic!("no folder for the test: {error}"),
        };
        Self::in_folder(folder, toml, Duration::ZERO).await
    }

    /// Starts a host whose workers run this `roundhouse`.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn with_worker(toml: &str, executable: &Path) -> Self {
        let folder = match tempfile::tempdir() {
            Ok(folder) => folder,
            Err(error) => panic!("no folder for the test: {error}"),
        };
        let source = source(folder.path(), toml);
        let mut config = loaded(&source);
        config.plugins.worker_executable = Some(executable.to_owned());
        Self::serve(folder, config, source, Duration::ZERO, Patience::default()).await
    }

    /// Starts a host that waits no longer than this for its clients.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn with_patience(toml: &str, patience: Patience) -> Self {
        let folder = match tempfile::tempdir() {
            Ok(folder) => folder,
            Err(error) => panic!("no folder for the test: {error}"),
        };
        Self::begin(folder, toml, Duration::ZERO, patience).await
    }

    /// Starts a host whose runs get this long to end when it is shut down.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn with_drain(toml: &str, drain: Duration) -> Self {
        let folder = match tempfile::tempdir() {
            Ok(folder) => folder,
            Err(error) => panic!("no folder for the test: {error}"),
        };
        Self::in_folder(folder, toml, drain).await
    }

    /// Starts a host on what an earlier one has left in `folder`.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn in_folder(folder: tempfile::TempDir, toml: &str, drain: Duration) -> Self {
        Self::begin(folder, toml, drain, Patience::default()).await
    }

    async fn begin(
        folder: tempfile::TempDir,
        toml: &str,
        drain: Duration,
        patience: Patience,
    ) -> Self {
        let source = source(folder.path(), toml);
        let config = loaded(&source);
        Self::serve(folder, config, source, drain, patience).await
    }

    async fn serve(
        folder: tempfile::TempDir,
        config: Config,
        source: Loader,
        drain: Duration,
        patience: Patience,
    ) -> Self {
        let listener = match TcpListener::bind("127.0.0.1:0").await {
            Ok(listener) => listener,
            Err(error) => panic!("cannot listen: {error}"),
        };
        let address = match listener.local_addr() {
            Ok(address) => address,
            Err(error) => panic!("no address: {error}"),
        };
        let host = match soon("starting the host", Host::start_reloadable(config, source)).await {
            Ok(host) => host,
            Err(error) => panic!("the host does not start: {error}"),
        };
        let (end, ended) = oneshot::channel::<()>();
        let serving = tokio::spawn(server::serve_with(
            Arc::clone(&host),
            listener,
            async move {
                // Sent, or dropped with the test that failed.
                let _ = ended.await;
            },
            Some(drain),
            patience,
        ));
        Self {
            host,
            address,
            rest: Rest::of(address),
            folder,
            end: Some(end),
            serving: Some(serving),
        }
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A path in the test's own folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes another configuration over the usual one. The host takes it up when it reads it again.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn reconfigure(&self, toml: &str) {
        if let Err(error) = std::fs::write(self.path("test.toml"), toml) {
            panic!("the configuration cannot be written: {error}");
        }
    }

    /// Has the host read its configuration and plugins again.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub async fn reload(&self) -> Answer {
        self.rest.post("/admin/reload", &json!({})).await
    }

    /// The HTTP side.
    #[must_use]
    pub fn rest(&self) -> Rest {
        self.rest.clone()
    }

    /// A new session with the default agent.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub async fn session(&self) -> SessionId {
        self.rest.create_session(&json!({})).await
    }

    /// A new session with this agent.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub async fn session_with(&self, agent: &str) -> SessionId {
        self.rest.create_session(&json!({ "agent": agent })).await
    }

    /// A client of this session, to be opened.
    #[must_use]
    pub fn connect_to(&self, session: SessionId) -> Connect {
        Connect::to(self.address, session)
    }

    /// A client of this session, whose first frame is still to be read.
    pub async fn connect(&self, session: SessionId) -> Client {
        self.connect_to(session).open().await
    }

    /// A client of this session, in which no run is in progress: `session_sync` was read.
    ///
    /// # Panics
    ///
    /// When a run is in progress.
    pub async fn idle(&self, session: SessionId) -> Client {
        let mut client = self.connect(session).await;
        client.expect_kind("session_sync").await;
        client
    }

    /// A version 2 client of this session, and what it was greeted with.
    pub async fn join(&self, session: SessionId) -> (Client, Greeting) {
        self.connect_to(session).v2().greeted().await
    }

    /// A version 2 client that goes on in this session, and what it was greeted with.
    pub async fn resume(&self, session: SessionId, position: &Position) -> (Client, Greeting) {
        self.connect_to(session).after(position).greeted().await
    }

    /// A version 2 client of this session.
    pub async fn v2(&self, session: SessionId) -> Client {
        self.join(session).await.0
    }

    /// The position up to which the history over HTTP is complete.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    pub async fn history_position(&self, session: SessionId) -> Position {
        let answer = self
            .rest
            .get(&format!("/sessions/{session}/messages"))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        match (
            answer.body["epoch"].as_str(),
            answer.body["last_seq"].as_u64(),
        ) {
            (Some(epoch), Some(seq)) => Position::new(epoch, seq),
            _ => panic!("no position: {}", answer.body),
        }
    }

    /// A client of a new session with the default agent.
    pub async fn client(&self) -> Client {
        self.idle(self.session().await).await
    }

    /// Has a session's run stop.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn stop(&self, session: SessionId) {
        let answer = self.rest.stop(session).await;
        let ok = Answer {
            status: 200,
            body: json!({"ok": true}),
        };
        assert_eq!(answer, ok);
    }

    /// Deletes a session.
    ///
    /// # Panics
    ///
    /// When the host refuses.
    pub async fn delete(&self, session: SessionId) {
        let answer = self.rest.delete(&format!("/sessions/{session}")).await;
        assert_eq!(answer.status, 204, "{}", answer.body);
    }

    /// Waits until nobody is connected any more.
    pub async fn deserted(&self) {
        until("the end of all connections", || {
            self.host.connections.is_empty()
        })
        .await;
    }

    /// The session's history as clients get it.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    pub async fn history(&self, session: SessionId) -> Vec<Turn> {
        let page = TurnPageRequest::newest(100);
        match self
            .host
            .store
            .history(&Owner::local(), session, page)
            .await
        {
            Ok(page) => page.turns,
            Err(error) => panic!("no history: {error}"),
        }
    }

    /// The session's history as agents get it.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    pub async fn agent_history(&self, session: SessionId) -> Vec<Turn> {
        let page = TurnPageRequest::newest(100);
        match self.host.store.agent_history(session, page).await {
            Ok(page) => page.turns,
            Err(error) => panic!("no history: {error}"),
        }
    }

    /// The session's runs, the latest first.
    ///
    /// # Panics
    ///
    /// When they cannot be read.
    pub async fn runs(&self, session: SessionId) -> Vec<Run> {
        let page = PageRequest::first(100);
        match self.host.store.runs(&Owner::local(), session, page).await {
            Ok(page) => page.items,
            Err(error) => panic!("no runs: {error}"),
        }
    }

    /// Waits until no run is in progress.
    pub async fn quiet(&self) {
        until("the end of all runs", || self.host.registry.running() == 0).await;
    }

    /// Tells the host to end and returns at once, while it does; [`TestHost::shut_down`] waits for it.
    pub fn tell_to_end(&mut self) {
        self.end = None;
    }

    /// Has the clients close their connections, shuts the host down and makes sure that it ends in order. A client
    /// that is open and does not read keeps the host waiting for a while, as it should.
    ///
    /// # Panics
    ///
    /// When it does not end in order.
    pub async fn shut_down(mut self, clients: impl IntoIterator<Item = Client>) {
        for client in clients {
            client.close().await;
        }
        self.end().await;
    }

    /// As [`TestHost::shut_down`], and keeps the folder for a host to come.
    ///
    /// # Panics
    ///
    /// When it does not end in order.
    pub async fn leave_folder(
        mut self,
        clients: impl IntoIterator<Item = Client>,
    ) -> tempfile::TempDir {
        for client in clients {
            client.close().await;
        }
        self.end().await;
        match tempfile::tempdir() {
            Ok(empty) => std::mem::replace(&mut self.folder, empty),
            Err(error) => panic!("no folder: {error}"),
        }
    }

    async fn end(&mut self) {
        self.end = None;
        let Some(serving) = self.serving.take() else {
            return;
        };
        match soon("shutting the host down", serving).await {
            Ok(()) => {}
            Err(error) => panic!("the host did not end in order: {error}"),
        }
        assert_eq!(self.host.registry.running(), 0, "runs are left");
        assert!(self.host.connections.is_empty(), "connections are left");
        assert!(self.host.store.ping().await.is_err(), "the store is open");
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        if self.serving.is_some() && !std::thread::panicking() {
            panic!("the test does not end with `shut_down`");
        }
    }
}

/// Where the usual configuration is read, with this text over it.
fn loaded(source: &Loader) -> Config {
    let config = source.clone().load();
    let mut config = config.unwrap_or_else(|faults| panic!("{faults}"));
    // This process is not `roundhouse`, which guards the processes that plugins start.
    config.plugins.worker_executable = crate::programs();
    config
}

fn source(folder: &Path, toml: &str) -> Loader {
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        let written = file
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&file, text));
        if let Err(error) = written {
            panic!("{}: {error}", file.display());
        }
        file
    };
    write("config/roundhouse.toml", BASE);
    let own = write("test.toml", toml);
    Loader::empty().default_file_in(folder).file(own)
}
