//! A plugin in a worker process: the same library, opened in a process of its own by this same binary.
//!
//! Seen from the rest of the host nothing is different: a worker is a library copy. What the host calls of an
//! instance goes out as a frame (`link`), and what comes in is handed to the copy's `LibraryHost` by its scope, as if the
//! library had called it. In the worker ([`serve`]) the library is served by the same code that serves one in the host,
//! with a host behind it that writes frames.
//!
//! - [`frame`]: what crosses; `described`: its JSON; `outbox`: the queue of frames to be written;
//! - `process`: a worker's process and how it ended; `output`: what it prints; `link`: its begin and end; `remote`: what
//!   the host calls; `incoming`: what comes, with `lanes` for what passes mappers; `policy`: whether it is started again;
//! - `inside`: what runs in the process.

pub(crate) mod described;
pub mod frame;
mod incoming;
mod inside;
mod lanes;
mod link;
mod outbox;
mod output;
mod policy;
mod process;
mod remote;

pub use inside::{WorkerError, serve};
pub(crate) use link::Worker;
pub(crate) use policy::{Next, Policy};
pub(crate) use process::{StartError, WorkerSettings};
pub(crate) use remote::RemoteInstance;
