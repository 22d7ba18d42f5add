//! The host's side of a worker: how it begins and ends, and what is sent to it.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use plugin_api::abi::import::{Completion, FailureKind, HostLibrary};
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

use super::described::{Files, Hello, Opened, VERSION};
use super::frame::{FROM_WORKER_BYTES, TO_WORKER_BYTES, ToWorker};
use super::outbox::{NotTaken, Outbox};
use super::output;
use super::process::{self, Process, StartError, Started, WorkerSettings};
use crate::plugin::library_host::LibraryHost;
use crate::plugin::lifecycle::INSTANCE_DEADLINE;

/// Bytes that wait for a worker to read them. One that lets more come together does not read any more.
const QUEUE_BYTES: usize = 64 << 20;

/// How long a worker may take to end that was told to.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// A worker process with a library open in it. Dropping it ends the process.
pub(crate) struct Worker(pub(super) Arc<Link>);

/// What its threads have of it.
pub(super) struct Link {
    pub(super) plugin: String,
    process: Process,
    socket: UnixStream,
    outbox: Outbox,
    pub(super) host: Arc<LibraryHost>,
    run_time: Duration,
    pub(super) runtime: tokio::runtime::Handle,
    begun: Instant,
    /// How many times anything was resumed.
    pub(super) resumes: AtomicU64,
    /// It was told to end.
    dismissed: AtomicBool,
    /// Why the host itself ended it.
    fault: OnceLock<String>,
    /// How it ended, once it has.
    end: OnceLock<Ended>,
    /// Cancelled after that was set and everything that was going on in it has failed.
    ended: CancellationToken,
}

/// How a worker ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// For people.
    pub(crate) how: Arc<str>,
    /// How long it had served.
    pub(crate) served: Duration,
    /// Whether the host had told it to.
    pub(crate) dismissed: bool,
}

impl Worker {
    /// Starts a process and has it open the library `staged`, a copy of `file`. Blocks. Call it where there is a
    /// runtime.
    pub(crate) fn open(
        plugin: &str,
        (file, staged): (&Path, &Path),
        settings: &WorkerSettings,
        host: &Arc<LibraryHost>,
    ) -> Result<(Arc<Self>, Opened), StartError> {
        let Started {
            process,
            socket,
            reading,
            writing,
            output,
        } = process::start(plugin, settings)?;
        let system = |what| move |source| StartError::System { what, source };
        let link = Arc::new(Link {
            plugin: plugin.to_owned(),
            process,
            socket,
            outbox: Outbox::new(QUEUE_BYTES),
            host: Arc::clone(host),
            run_time: settings.run_time,
            runtime: tokio::runtime::Handle::current(),
            begun: Instant::now(),
            resumes: AtomicU64::new(0),
            dismissed: AtomicBool::new(false),
            fault: OnceLock::new(),
            end: OnceLock::new(),
            ended: CancellationToken::new(),
        });
        // From here on it is ended when this is dropped.
        let worker = Arc::new(Self(Arc::clone(&link)));
        let pid = link.process.pid();
        let logging = output::log_output(output, plugin.to_owned(), pid, link.ended.clone());
        link.runtime.spawn(logging);
        let (answer, answered) = sync_channel(1);
        let frame_bytes = FROM_WORKER_BYTES.max(settings.event_bytes.saturating_add(64 * 1024));
        let reader = Arc::clone(&link);
        let read = move || reader.read(reading, frame_bytes, &answer);
        if let Err(source) = start_thread("worker-read", read) {
            link.give_up("there is no thread to read from it");
            link.finish();
            return Err(system("a thread")(source));
        }
        let writer = Arc::clone(&link);
        start_thread("worker-write", move || writer.write(&writing)).map_err(system("a thread"))?;
        let watcher = Arc::clone(&link);
        start_thread("worker-watch", move || watcher.watch()).map_err(system("a thread"))?;
        let files = settings.confinement.files.as_ref().map(|files| Files {
            read: files.read.clone(),
            write: files.write.clone(),
        });
        let hello = Hello {
            version: VERSION.to_owned(),
            library: staged.to_owned(),
            file: file.to_owned(),
            log_level: LevelFilter::current()
                .into_level()
                .map(|level| level.to_string()),
            event_bytes: settings.event_bytes,
            memory_limit: settings.confinement.memory_limit,
            files,
        };
        let hello =
            serde_json::to_string(&hello).map_err(|error| system("a greeting")(error.into()))?;
        link.send(&ToWorker::Hello(&hello));
        match answered.recv_timeout(INSTANCE_DEADLINE) {
            Ok(Ok(opened)) => {
                for what in &opened.unavailable {
                    tracing::warn!(
                        plugin,
                        pid,
                        "a worker is not confined as it should be: {what}"
                    );
                }
                tracing::info!(plugin, pid, "a worker has opened the library");
                Ok((worker, opened))
            }
            Ok(Err(reason)) => Err(StartError::Refused(reason)),
            Err(RecvTimeoutError::Timeout) => Err(StartError::Deadline(INSTANCE_DEADLINE)),
            Err(RecvTimeoutError::Disconnected) => Err(StartError::Ended(link.how_it_ended())),
        }
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.0.process.pid()
    }

    /// Has the worker make an instance; that ends with the completion of `scope`.
    pub(crate) fn create(
        &self,
        scope: u64,
        (kind, component): (u32, &str),
        config: &str,
        params: &str,
    ) {
        let create = ToWorker::Create {
            scope,
            kind,
            component,
            config,
            params,
        };
        self.0.start(scope, &create);
    }

    /// How long a run in it may take.
    pub(crate) fn run_time(&self) -> Duration {
        self.0.run_time
    }

    /// Cancelled when it has ended, whatever of.
    pub(crate) fn ended_token(&self) -> CancellationToken {
        self.0.ended.clone()
    }

    /// How it ended, once it has.
    pub(crate) fn end(&self) -> Option<&Ended> {
        self.0.end.get()
    }

    /// Waits until it has ended, whatever of.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(crate) async fn ended(&self) {
        self.0.ended.cancelled().await;
    }

    /// Has it end, by itself if it does within a short time, and waits until it has.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves a worker that was told to end and perhaps does not.
    pub(crate) async fn dismiss(&self) {
        self.0.dismissed.store(true, Ordering::Relaxed);
        self.0.send(&ToWorker::Bye);
        if tokio::time::timeout(ENDS_WITHIN, self.ended())
            .await
            .is_err()
        {
            self.kill("it was told to end");
            self.ended().await;
        }
    }

    /// Ends it at once. What is going on in it fails, and `why` is what is told of it.
    pub(crate) fn kill(&self, why: &str) {
        self.0.dismissed.store(true, Ordering::Relaxed);
        self.0.give_up(why);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.dismissed.store(true, Ordering::Relaxed);
        self.0.give_up("nobody uses it any more");
    }
}

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    // Nobody joins them: they end with the process that they serve, and the last thing the reader does is to say so.
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
}

impl Link {
    /// Sends a frame; false if it cannot be.
    pub(super) fn send(&self, frame: &ToWorker<'_>) -> bool {
        self.offer(frame).is_ok()
    }

    fn offer(&self, frame: &ToWorker<'_>) -> Result<(), NotTaken> {
        let offered = self.outbox.offer(TO_WORKER_BYTES, |to| frame.write(to));
        if offered == Err(NotTaken::Full) {
            self.give_up("it does not read what the host sends");
        }
        offered
    }

    /// Sends a frame that starts something; what cannot be started has failed.
    pub(super) fn start(&self, scope: u64, frame: &ToWorker<'_>) {
        let text = match self.offer(frame) {
            Ok(()) => return,
            Err(NotTaken::TooLong) => {
                "what it was to be started with is too long for a worker".to_owned()
            }
            Err(NotTaken::Closed | NotTaken::Full) => self.how_it_ended(),
        };
        let kind = FailureKind::Internal;
        self.host.complete(scope, Completion::Failed { kind, text });
    }

    /// Ends the process; the thread that reads sees that, and does the rest.
    pub(super) fn give_up(&self, why: &str) {
        if self.end.get().is_none() {
            // The first reason counts.
            let _ = self.fault.set(why.to_owned());
            self.process.kill();
            // A process that it has left behind may hold the other end. What is in the socket is read still.
            let _ = self.socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Closes the socket once the process has ended. One that it has left behind may hold the other end open, so that
    /// the thread that reads would not see that.
    fn watch(&self) {
        self.process.see_its_end();
        // What is in it is read still.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    fn how_it_ended(&self) -> String {
        match (self.end.get(), self.fault.get()) {
            (Some(end), _) => end.how.to_string(),
            (None, Some(fault)) => ended_by_the_host(fault),
            (None, None) => "the worker process ended".to_owned(),
        }
    }

    fn write(&self, socket: &UnixStream) {
        if let Err(error) = self.outbox.write_to(socket, |_| {}) {
            // It has ended, or closed its end. The thread that reads hears of it.
            tracing::debug!(plugin = self.plugin, %error, "a worker takes nothing more");
        }
    }

    /// The process has ended, or is about to.
    pub(super) fn finish(&self) {
        // In this order: what is started from here on fails at once, and what was started before is there to fail.
        self.outbox.close();
        // Ends the thread that writes, should the worker have closed no more than half of the connection.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let status = self.process.ended();
        let how = match self.fault.get() {
            Some(fault) => ended_by_the_host(fault),
            None => process::how_it_ended(status),
        };
        let end = Ended {
            how: how.into(),
            served: self.begun.elapsed(),
            dismissed: self.dismissed.load(Ordering::Relaxed),
        };
        let (plugin, pid) = (&self.plugin, self.process.pid());
        if end.dismissed {
            tracing::debug!(plugin, pid, how = &*end.how, "a worker has ended");
        } else {
            tracing::error!(plugin, pid, how = &*end.how, "a worker has ended");
        }
        let how = Arc::clone(&end.how);
        let _ = self.end.set(end);
        self.host.fail_all(&how);
        self.ended.cancel();
    }
}

fn ended_by_the_host(why: &str) -> String {
    format!("the worker process was ended by the host: {why}")
}
