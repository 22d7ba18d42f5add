//! An instance, wherever it is: in this process, or in a worker.

use plugin_api::abi::import::{AgentInstance, ToolsetInstance};

use super::worker::RemoteInstance;

/// An agent that was made.
///
/// Functions that start something answer whether they were called: nothing is called of an instance after its
/// shutdown. One in a worker that has ended fails what is started, by the completion of its scope.
pub(crate) enum AgentHandle {
    Here(AgentInstance),
    InWorker(RemoteInstance),
}

/// A toolset that was made, as [`AgentHandle`].
pub(crate) enum ToolsetHandle {
    Here(ToolsetInstance),
    InWorker(RemoteInstance),
}

impl AgentHandle {
    pub(crate) fn run(&self, scope: u64, params: &str) -> bool {
        match self {
            Self::Here(agent) => agent.run(scope, params),
            Self::InWorker(agent) => {
                agent.run(scope, params);
                true
            }
        }
    }

    pub(crate) fn stop(&self, scope: u64) {
        match self {
            Self::Here(agent) => drop(agent.stop(scope)),
            Self::InWorker(agent) => agent.stop(scope),
        }
    }

    pub(crate) fn resume(&self, scope: u64) {
        match self {
            Self::Here(agent) => drop(agent.resume(scope)),
            Self::InWorker(agent) => agent.resume(scope),
        }
    }

    pub(crate) fn session_ended(&self, session: &str) {
        match self {
            Self::Here(agent) => drop(agent.session_ended(session)),
            Self::InWorker(agent) => agent.session_ended(session),
        }
    }

    pub(crate) fn shutdown(&self, scope: u64) -> bool {
        match self {
            Self::Here(agent) => agent.shutdown(scope),
            Self::InWorker(agent) => {
                agent.shutdown(scope);
                true
            }
        }
    }
}

impl ToolsetHandle {
    pub(crate) fn list(&self, scope: u64) -> bool {
        match self {
            Self::Here(toolset) => toolset.list(scope),
            Self::InWorker(toolset) => {
                toolset.list(scope);
                true
            }
        }
    }

    pub(crate) fn call(&self, scope: u64, name: &str, args: &str, params: &str) -> bool {
        match self {
            Self::Here(toolset) => toolset.call(scope, name, args, params),
            Self::InWorker(toolset) => {
                toolset.call(scope, name, args, params);
                true
            }
        }
    }

    pub(crate) fn cancel(&self, scope: u64) {
        match self {
            Self::Here(toolset) => drop(toolset.cancel(scope)),
            Self::InWorker(toolset) => toolset.cancel(scope),
        }
    }

    pub(crate) fn session_ended(&self, session: &str) {
        match self {
            Self::Here(toolset) => drop(toolset.session_ended(session)),
            Self::InWorker(toolset) => toolset.session_ended(session),
        }
    }

    pub(crate) fn shutdown(&self, scope: u64) -> bool {
        match self {
            Self::Here(toolset) => toolset.shutdown(scope),
            Self::InWorker(toolset) => {
                toolset.shutdown(scope);
                true
            }
        }
    }
}
