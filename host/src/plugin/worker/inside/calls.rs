//! The frames that come from the host, as calls of the library.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use plugin_api::abi::import::{
    AgentFns, ComponentKind, PluginDescriptor, ServiceFailure, ToolsetFns,
};

use super::super::frame::{Reply, ToWorker};
use super::host::{Instance, WorkerHost};
use super::scopes::{Kind, Scope};
use super::{WorkerError, start_thread};
use crate::plugin::descriptor::kind_number;

/// Signals that wait for the library. When it takes none any more, nothing is read from the host either, and the
/// host gives the worker up.
const SIGNALS_KEPT: usize = 4096;

/// A call of the library that is quick by the boundary's rules.
pub(super) enum Signal {
    Stop {
        scope: u64,
        instance: u64,
    },
    Resume {
        scope: u64,
    },
    SessionEnded {
        instance: u64,
        session: String,
    },
    Item {
        scope: u64,
        id: u64,
        json: String,
    },
    Done {
        scope: u64,
        id: u64,
        result: Result<String, ServiceFailure>,
    },
}

/// Starts the thread that makes the quick calls, one after another.
pub(super) fn signals(host: &Arc<WorkerHost>) -> Result<SyncSender<Signal>, WorkerError> {
    let (sender, receiver) = sync_channel(SIGNALS_KEPT);
    let host = Arc::clone(host);
    start_thread("signals", move || make(&host, &receiver))?;
    Ok(sender)
}

fn make(host: &WorkerHost, signals: &Receiver<Signal>) {
    // Ends only with the process: the thread that reads keeps a sender.
    for signal in signals {
        match signal {
            Signal::Stop { scope, instance } => match host.instance(instance) {
                Some(Instance::Agent(agent)) => drop(agent.stop(scope)),
                Some(Instance::Toolset(toolset)) => drop(toolset.cancel(scope)),
                None => {}
            },
            Signal::Resume { scope } => {
                let instance = host.scopes.get(scope).map(|scope| scope.instance);
                if let Some(Instance::Agent(agent)) = instance.and_then(|id| host.instance(id)) {
                    agent.resume(scope);
                }
            }
            Signal::SessionEnded { instance, session } => match host.instance(instance) {
                Some(Instance::Agent(agent)) => drop(agent.session_ended(&session)),
                Some(Instance::Toolset(toolset)) => drop(toolset.session_ended(&session)),
                None => {}
            },
            Signal::Item { scope, id, json } => {
                if let Some(sink) = host.take_request(scope, id) {
                    sink.item(&json);
                    host.put_back_request(scope, id, sink);
                }
            }
            Signal::Done { scope, id, result } => {
                if let Some(sink) = host.take_request(scope, id) {
                    sink.done(result.as_deref().map_err(Clone::clone));
                }
            }
        }
    }
}

/// Makes the calls.
pub(super) struct Calls {
    descriptor: Arc<PluginDescriptor>,
    host: Arc<WorkerHost>,
    signals: SyncSender<Signal>,
}

/// The functions by which something is made.
enum Maker {
    Agent(AgentFns),
    Toolset(ToolsetFns),
}

impl Calls {
    pub(super) fn new(
        descriptor: Arc<PluginDescriptor>,
        host: Arc<WorkerHost>,
        signals: SyncSender<Signal>,
    ) -> Self {
        Self {
            descriptor,
            host,
            signals,
        }
    }

    /// Does what a frame says.
    pub(super) fn take(&mut self, frame: ToWorker<'_>) -> Result<(), WorkerError> {
        match frame {
            ToWorker::Create {
                scope,
                kind,
                component,
                config,
                params,
            } => self.create(scope, (kind, component), config, params),
            ToWorker::Shutdown { instance, scope } => self.shutdown(instance, scope),
            ToWorker::Run {
                instance,
                scope,
                params,
            } => {
                let params = params.to_owned();
                self.start(Kind::Run, instance, scope, move |instance| match instance {
                    Instance::Agent(agent) => agent.run(scope, &params),
                    Instance::Toolset(_) => false,
                });
            }
            ToWorker::List { instance, scope } => {
                self.start(
                    Kind::Task,
                    instance,
                    scope,
                    move |instance| match instance {
                        Instance::Toolset(toolset) => toolset.list(scope),
                        Instance::Agent(_) => false,
                    },
                );
            }
            ToWorker::Call {
                instance,
                scope,
                name,
                args,
                params,
            } => {
                let (name, args, params) = (name.to_owned(), args.to_owned(), params.to_owned());
                self.start(
                    Kind::Call,
                    instance,
                    scope,
                    move |instance| match instance {
                        Instance::Toolset(toolset) => toolset.call(scope, &name, &args, &params),
                        Instance::Agent(_) => false,
                    },
                );
            }
            ToWorker::Stop { instance, scope } | ToWorker::CancelCall { instance, scope } => {
                if let Some(started) = self.host.scopes.get(scope) {
                    started.set_stopping();
                    self.signal(Signal::Stop { scope, instance });
                }
            }
            ToWorker::Resume { scope, count, .. } => {
                if let Some(run) = self.host.scopes.get(scope) {
                    run.resume(count);
                    self.signal(Signal::Resume { scope });
                }
            }
            ToWorker::Pause { scope, seen } => {
                if let Some(run) = self.host.scopes.get(scope) {
                    run.pause(seen);
                }
            }
            ToWorker::Over { scope } => {
                if let Some(started) = self.host.scopes.get(scope) {
                    started.set_over();
                }
            }
            ToWorker::SessionEnded { instance, session } => {
                let session = session.to_owned();
                self.signal(Signal::SessionEnded { instance, session });
            }
            ToWorker::Item { scope, id, json } => {
                let json = json.to_owned();
                self.signal(Signal::Item { scope, id, json });
            }
            ToWorker::Done { scope, id, reply } => {
                let result = result(reply);
                self.signal(Signal::Done { scope, id, result });
            }
            ToWorker::Image { ticket, bytes } => self.host.image_came(ticket, bytes),
            // What the library wants done at the process's end is done; the host does not wait for it for long.
            ToWorker::Bye => std::process::exit(0),
            ToWorker::Hello(_) => {
                return Err(WorkerError::Unexpected("a second greeting".to_owned()));
            }
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        // Only the process's end takes the receiver away.
        let _ = self.signals.send(signal);
    }

    fn create(&self, scope: u64, (kind, name): (u32, &str), config: &str, params: &str) {
        let components = &self.descriptor.components;
        let component = components
            .iter()
            .find(|component| kind_number(&component.kind) == kind && component.name == name);
        let maker = match component.map(|component| component.kind) {
            Some(ComponentKind::Agent(functions)) => Maker::Agent(functions),
            Some(ComponentKind::Toolset(functions)) => Maker::Toolset(functions),
            _ => {
                self.host.scopes.insert(scope, Kind::Task, scope);
                self.host
                    .fails(scope, "there is no such component in the worker");
                return;
            }
        };
        let kind = match maker {
            Maker::Agent(functions) => ComponentKind::Agent(functions),
            Maker::Toolset(functions) => ComponentKind::Toolset(functions),
        };
        self.host.begins_to_create(scope, kind);
        let (config, params) = (config.to_owned(), params.to_owned());
        self.on_thread(scope, move || match maker {
            Maker::Agent(functions) => functions.create(scope, &config, &params),
            Maker::Toolset(functions) => functions.create(scope, &config, &params),
        });
    }

    fn shutdown(&self, instance: u64, scope: u64) {
        let taken = self.host.take_instance(instance);
        self.host.scopes.insert(scope, Kind::Task, instance);
        let Some(instance) = taken else {
            return self.host.fails(scope, GONE);
        };
        let host = Arc::clone(&self.host);
        self.on_thread(scope, move || {
            let begun = match &instance {
                Instance::Agent(agent) => agent.shutdown(scope),
                Instance::Toolset(toolset) => toolset.shutdown(scope),
            };
            if !begun {
                host.fails(scope, GONE);
            }
        });
    }

    /// Starts something of an instance; `call` answers whether it has.
    fn start(
        &self,
        kind: Kind,
        instance: u64,
        scope: u64,
        call: impl FnOnce(&Instance) -> bool + Send + 'static,
    ) {
        let started: Arc<Scope> = self.host.scopes.insert(scope, kind, instance);
        let Some(instance) = self.host.instance(instance) else {
            return self.host.fails(scope, GONE);
        };
        let host = Arc::clone(&self.host);
        self.on_thread(scope, move || {
            if !call(&instance) {
                return host.fails(scope, GONE);
            }
            // A stop that came before the start would have been lost.
            if started.is_stopping() {
                match &instance {
                    Instance::Agent(agent) => drop(agent.stop(scope)),
                    Instance::Toolset(toolset) => drop(toolset.cancel(scope)),
                }
            }
        });
    }

    /// What starts something ought to return at once, and may not.
    fn on_thread(&self, scope: u64, work: impl FnOnce() + Send + 'static) {
        let started = std::thread::Builder::new()
            .name("start".to_owned())
            .spawn(work);
        if let Err(error) = started {
            self.host.fails(
                scope,
                &format!("the worker could not start a thread: {error}"),
            );
        }
    }
}

const GONE: &str = "the instance was shut down before";

fn result(reply: Reply<'_>) -> Result<String, ServiceFailure> {
    match reply {
        Reply::Ok(json) => Ok(json.to_owned()),
        Reply::Unsupported => Err(ServiceFailure::Unsupported),
        Reply::Cancelled => Err(ServiceFailure::Cancelled),
        Reply::Failed(json) => Err(match serde_json::from_str(json) {
            Ok(data) => ServiceFailure::Failed(data),
            // Both sides are of one version.
            Err(_) => ServiceFailure::Cancelled,
        }),
    }
}
