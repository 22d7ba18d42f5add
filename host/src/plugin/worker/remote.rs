//! What the host calls of a library in a worker, and what it answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use plugin_api::abi::import::{Answers, ServiceFailure};

use super::frame::{Reply, ToWorker};
use super::link::{Link, Worker};

/// An instance in a worker.
pub(crate) struct RemoteInstance {
    pub(crate) worker: Arc<Worker>,
    /// The scope that it was made with, by which the worker knows it.
    pub(crate) id: u64,
}

/// Where the answer to a worker's request goes.
pub(super) struct RemoteSink {
    link: Arc<Link>,
    scope: u64,
    id: u64,
}

impl RemoteSink {
    pub(super) fn new(link: &Arc<Link>, scope: u64, id: u64) -> Self {
        Self {
            link: Arc::clone(link),
            scope,
            id,
        }
    }
}

impl Answers for RemoteSink {
    fn item(&self, json: &str) {
        let (scope, id) = (self.scope, self.id);
        self.link.send(&ToWorker::Item { scope, id, json });
    }

    fn done(self: Box<Self>, result: Result<&str, ServiceFailure>) {
        let failed;
        let reply = match result {
            Ok(json) => Reply::Ok(json),
            Err(ServiceFailure::Unsupported) => Reply::Unsupported,
            Err(ServiceFailure::Cancelled) => Reply::Cancelled,
            Err(ServiceFailure::Failed(data)) => {
                // Two strings always encode.
                failed = serde_json::to_string(&data).unwrap_or_default();
                Reply::Failed(&failed)
            }
        };
        let (scope, id) = (self.scope, self.id);
        self.link.send(&ToWorker::Done { scope, id, reply });
    }
}

impl RemoteInstance {
    fn link(&self) -> &Link {
        &self.worker.0
    }

    pub(crate) fn run(&self, scope: u64, params: &str) {
        let run = ToWorker::Run {
            instance: self.id,
            scope,
            params,
        };
        self.link().start(scope, &run);
    }

    pub(crate) fn list(&self, scope: u64) {
        let instance = self.id;
        self.link()
            .start(scope, &ToWorker::List { instance, scope });
    }

    pub(crate) fn call(&self, scope: u64, name: &str, args: &str, params: &str) {
        let call = ToWorker::Call {
            instance: self.id,
            scope,
            name,
            args,
            params,
        };
        self.link().start(scope, &call);
    }

    pub(crate) fn shutdown(&self, scope: u64) {
        let instance = self.id;
        self.link()
            .start(scope, &ToWorker::Shutdown { instance, scope });
    }

    // The following are of no use to a worker that has ended.

    pub(crate) fn stop(&self, scope: u64) {
        let instance = self.id;
        self.link().send(&ToWorker::Stop { instance, scope });
    }

    pub(crate) fn resume(&self, scope: u64) {
        let count = self.link().resumes.fetch_add(1, Ordering::SeqCst) + 1;
        let instance = self.id;
        self.link().send(&ToWorker::Resume {
            instance,
            scope,
            count,
        });
    }

    pub(crate) fn cancel(&self, scope: u64) {
        let instance = self.id;
        self.link().send(&ToWorker::CancelCall { instance, scope });
    }

    pub(crate) fn session_ended(&self, session: &str) {
        let instance = self.id;
        self.link()
            .send(&ToWorker::SessionEnded { instance, session });
    }
}
