//! The worker's own side: what runs in the process.
//!
//! - `socket`: the one descriptor that it was given, and the frames that come from it;
//! - `confine`: what the process gives up before it opens the library;
//! - `host`: what the library takes for the host, which writes frames; `scopes`: what of it is going on;
//! - `calls`: the frames that come, as calls of the library.
//!
//! Threads: this one reads and calls nothing of the library but its opening; one writes; one, `signals`, makes the calls
//! that are quick by the boundary's rules, in their order; what starts something has a thread of its own, for it may not
//! return. And one does nothing but see that the host has gone, whatever the others do.

mod calls;
mod confine;
mod host;
mod scopes;
mod socket;

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::described::{Hello, Opened, OpenedComponent, VERSION};
use super::frame::{FROM_WORKER_BYTES, FrameError, FromWorker, ToWorker};
use crate::plugin::descriptor::{About, kind_number};
use crate::plugin::{library, loader};
use calls::Calls;
use host::WorkerHost;
use plugin_api::abi::import::PluginDescriptor;
use socket::Frames;

/// Bytes of frames that wait to be written; half of it makes an `emit` slow, all of it makes it wait. Small beside the
/// window of a log: what is on its way when the host is slow comes all the same.
const QUEUE_BYTES: usize = 256 * 1024;

/// A worker cannot go on. The host sees that it ends.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It was not started by a host.
    #[error("this is for a host to start, with a socket as standard input")]
    NoSocket,
    /// The system refused something that it cannot do without.
    #[error("{what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// What the host sends is no frame.
    #[error("the host sent {0}")]
    Frame(#[from] FrameError),
    /// What the host sends makes no sense here.
    #[error("the host sent {0}")]
    Unexpected(String),
}

/// Serves one library to the host that started this process. Returns only if that goes wrong.
///
/// # Errors
///
/// [`WorkerError`]; the process has to end.
pub fn serve() -> Result<std::convert::Infallible, WorkerError> {
    let socket = socket::take()?;
    let mut unavailable = Vec::new();
    confine::close_descriptors(&socket, &mut unavailable);
    let mut frames = Frames::new(socket.try_clone().map_err(system("the socket"))?);
    let hello = match ToWorker::read(frames.next()?)? {
        ToWorker::Hello(json) => serde_json::from_str::<Hello>(json)
            .map_err(|error| WorkerError::Unexpected(format!("no greeting: {error}")))?,
        other => return Err(WorkerError::Unexpected(format!("{other:?} first"))),
    };
    // Before any thread is started: what is given up here would be for this thread alone.
    let confined = confine::confine(&hello, &mut unavailable);
    let socket = Arc::new(socket);
    socket::watch(Arc::clone(&socket))?;
    let host = Arc::new(WorkerHost::new(QUEUE_BYTES, hello.event_bytes));
    let signals = calls::signals(&host)?;
    host::write_out(&host, socket, signals.clone())?;
    let opened = match confined {
        Err(reason) => Err(reason),
        Ok(()) if hello.version != VERSION => Err(format!(
            "its worker process is of version {VERSION}, and the host of version {}",
            hello.version
        )),
        Ok(()) => open(&hello, &host, unavailable),
    };
    let descriptor = match opened {
        Ok((descriptor, json)) if json.len() < FROM_WORKER_BYTES => {
            host.send(&FromWorker::Opened(&json));
            descriptor
        }
        Ok(_) => return refuse(&host, &mut frames, "it says too much of itself"),
        Err(reason) => return refuse(&host, &mut frames, &reason),
    };
    let mut calls = Calls::new(descriptor, host, signals);
    loop {
        let frame = ToWorker::read(frames.next()?)?;
        calls.take(frame)?;
    }
}

/// Says that there will be nothing, and waits until the host has heard.
fn refuse(
    host: &WorkerHost,
    frames: &mut Frames,
    reason: &str,
) -> Result<std::convert::Infallible, WorkerError> {
    host.send(&FromWorker::Refused(reason));
    loop {
        frames.next()?;
    }
}

fn open(
    hello: &Hello,
    host: &Arc<WorkerHost>,
    unavailable: Vec<String>,
) -> Result<(Arc<PluginDescriptor>, String), String> {
    let level = hello.log_level.as_deref();
    let level = level.and_then(|level| tracing::Level::from_str(level).ok());
    let (file, staged): (&Path, &Path) = (&hello.file, &hello.library);
    let connecting = Arc::clone(host) as _;
    let entry = library::open(file, staged, || {}).map_err(|error| error.to_string())?;
    let descriptor = loader::connect(file, entry, connecting, level, loader::PanicAbort::Fine)
        .map_err(|error| error.to_string())?;
    let component = |component: &plugin_api::abi::import::Component| OpenedComponent {
        kind: kind_number(&component.kind),
        name: component.name.clone(),
        description: component.describe().map_err(|error| error.to_string()),
    };
    let opened = Opened {
        about: About::from(&descriptor),
        components: descriptor.components.iter().map(component).collect(),
        unavailable,
    };
    let json = serde_json::to_string(&opened).map_err(|error| error.to_string())?;
    Ok((Arc::new(descriptor), json))
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> WorkerError {
    move |source| WorkerError::System { what, source }
}

/// Starts a thread of the worker's own. When it ends, so does the process: without it nothing goes on.
fn start_thread(
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> Result<(), WorkerError> {
    struct EndWithIt;
    impl Drop for EndWithIt {
        fn drop(&mut self) {
            socket::end_now();
        }
    }
    let work = move || {
        let _end = EndWithIt;
        work();
    };
    let started = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work);
    started.map(drop).map_err(system(name))
}
