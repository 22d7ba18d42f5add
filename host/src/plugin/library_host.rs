//! What the host does when a library calls it: looks up the scope and hands the call to what it stands for.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use plugin_api::Health;
use plugin_api::abi::import::{
    Answer, Completion, EventRef, FailureKind, HostLibrary, LogLine, ServiceFailure, Sink,
};
use plugin_api::wire::service;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use super::entry::{CallScope, Entry, InstanceScope, Owner, PROGRESS_KEPT, RunScope, Waiter};
use super::gate::{Gate, Pass};
use super::health::HealthCell;
use super::latest;
use super::logs;
use super::scopes::{NoRandom, ScopeGuard, ScopeTable};
use super::signals::Signals;

/// What a live run offers the library that runs it.
///
/// All of it may be called from any thread, from several at once, and also while the run's [`RunHandle`] is
/// being dropped: a call that began before is not waited for. Nothing of it may block.
///
/// [`RunHandle`]: super::RunHandle
pub trait RunHost: Send + Sync + 'static {
    /// Takes an event of the run. Only strings are checked so far: they are UTF-8.
    fn emit(&self, event: EventRef<'_>) -> Answer;

    /// Starts to answer a request of the run, through `sink`; dropping it answers "cancelled".
    fn request(&self, id: u64, method: &str, params: &str, sink: Sink);

    /// Cancels the request that was given this id, if it is still open.
    fn cancel(&self, id: u64);

    /// The bytes of an image of the run.
    fn image(&self, handle: u64) -> Option<Arc<[u8]>>;

    /// Whether taking an event may take long, as it does where mappers look at it.
    fn may_take_long(&self) -> bool {
        false
    }

    /// Whether the run is over, so that nothing of it is taken any more.
    fn is_over(&self) -> bool {
        false
    }
}

/// A scope, and the end of what it stands for.
pub(crate) struct Opened {
    pub(crate) scope: ScopeGuard<Entry>,
    pub(crate) end: oneshot::Receiver<Completion>,
}

/// The host as one library copy sees it.
pub(crate) struct LibraryHost {
    /// The configured name of the library.
    plugin: String,
    /// The program by which the library starts processes.
    child_guard: Option<String>,
    scopes: Arc<ScopeTable<Entry>>,
    /// Runs and calls of which the host wants to hear more are inside.
    wanted: Arc<Gate>,
    /// What the library is told.
    pub(crate) signals: Signals,
    /// Calls of it that are waited for hold one each.
    pub(crate) threads: Arc<Semaphore>,
}

/// Calls of one library copy that may be in progress on threads of the host's at a time. They are to return at once; of
/// those that do not, these many keep a thread.
const CALL_THREADS: usize = 16;

impl LibraryHost {
    /// `child_guard` is the program by which the library starts processes that end with this one.
    pub(crate) fn new(plugin: &str, child_guard: Option<&str>) -> Arc<Self> {
        Arc::new(Self {
            plugin: plugin.to_owned(),
            child_guard: child_guard.map(str::to_owned),
            scopes: Arc::new(ScopeTable::new()),
            wanted: Arc::default(),
            signals: Signals::default(),
            threads: Arc::new(Semaphore::new(CALL_THREADS)),
        })
    }

    /// For an instance. `tools_changed` is told when the instance says so, `health` is what it says of itself.
    pub(crate) fn open_instance(
        &self,
        tools_changed: Option<Arc<Notify>>,
        health: Arc<HealthCell>,
    ) -> Result<Opened, NoRandom> {
        let (waiter, end) = Waiter::new();
        let entry = Entry::Instance(Arc::new(InstanceScope {
            waiter,
            tools_changed,
            health,
        }));
        Ok(Opened {
            scope: self.scopes.open(entry, None)?,
            end,
        })
    }

    /// For a `shutdown`, which nothing outlives.
    pub(crate) fn open_shutdown(&self) -> Result<Opened, NoRandom> {
        let (waiter, end) = Waiter::new();
        Ok(Opened {
            scope: self.scopes.open(Entry::Task(Arc::new(waiter)), None)?,
            end,
        })
    }

    /// For a `list`.
    pub(crate) fn open_task(&self, pass: Pass) -> Result<Opened, NoRandom> {
        let (waiter, end) = Waiter::new();
        self.open(Entry::Task(Arc::new(waiter)), end, pass)
    }

    pub(crate) fn open_run(
        &self,
        host: Arc<dyn RunHost>,
        owner: Owner,
        pass: Pass,
    ) -> Result<Opened, NoRandom> {
        let (waiter, end) = Waiter::new();
        self.open(
            Entry::Run(Arc::new(RunScope {
                host,
                waiter,
                owner,
                over: AtomicBool::new(false),
                _wanted: self.wanted.enter(),
            })),
            end,
            pass,
        )
    }

    /// Also answers where the call's progress can be read.
    pub(crate) fn open_call(
        &self,
        owner: Owner,
        pass: Pass,
    ) -> Result<(Opened, mpsc::Receiver<String>), NoRandom> {
        let (waiter, end) = Waiter::new();
        let (progress, items) = mpsc::channel(PROGRESS_KEPT);
        let entry = Entry::ToolCall(Arc::new(CallScope {
            progress,
            waiter,
            owner,
            _wanted: self.wanted.enter(),
        }));
        Ok((self.open(entry, end, pass)?, items))
    }

    /// What a scope stands for that somebody emits for.
    #[inline]
    fn emitting(&self, scope: u64) -> Option<Entry> {
        let key = (std::ptr::from_ref(self).addr(), scope);
        if let Some(run) = latest::run(key) {
            return Some(Entry::Run(run));
        }
        let entry = self.scopes.get(scope);
        if let Some(Entry::Run(run)) = &entry {
            latest::note(key, run);
        }
        entry
    }

    /// As [`HostLibrary::emit`], unless that may take long: then `None`, and nothing was done.
    pub(crate) fn emit_at_once(&self, scope: u64, event: EventRef<'_>) -> Option<Answer> {
        match self.emitting(scope) {
            Some(Entry::Run(run)) if run.host.may_take_long() => None,
            entry => Some(emit_to(entry.as_ref(), event)),
        }
    }

    /// Whether nothing of the scope is taken any more.
    pub(crate) fn is_over(&self, scope: u64) -> bool {
        match self.scopes.get(scope) {
            Some(Entry::Run(run)) => run.host.is_over(),
            Some(Entry::GivenUp(_)) | None => true,
            Some(_) => false,
        }
    }

    /// Waits until the host has heard the end of every run and call, or has given it up. For a copy that takes no
    /// more of them.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(crate) async fn nothing_wanted(&self) {
        self.wanted.close_and_empty().await;
    }

    /// What the host has given up is not waited for any more: the library goes away.
    pub(crate) fn forget_given_up(&self) {
        drop(
            self.scopes
                .take_all(|entry| matches!(entry, Entry::GivenUp(_))),
        );
    }

    /// The library is gone, as `how` tells: all that is going on in it has failed.
    pub(crate) fn fail_all(&self, how: &str) {
        let failed = || Completion::Failed {
            kind: FailureKind::Internal,
            text: how.to_owned(),
        };
        for entry in self.scopes.take_all(|_| true) {
            match entry {
                Entry::Run(run) => drop(run.waiter.complete(failed())),
                Entry::ToolCall(call) => drop(call.waiter.complete(failed())),
                Entry::Task(waiter) => drop(waiter.complete(failed())),
                Entry::Instance(instance) => drop(instance.waiter.complete(failed())),
                Entry::GivenUp(_) => {}
            }
        }
    }

    /// Whether a scope was given up and the library has not ended what it stood for.
    pub(crate) fn is_given_up(&self, scope: u64) -> bool {
        matches!(self.scopes.get(scope), Some(Entry::GivenUp(_)))
    }

    fn open(
        &self,
        entry: Entry,
        end: oneshot::Receiver<Completion>,
        pass: Pass,
    ) -> Result<Opened, NoRandom> {
        let given_up = Entry::GivenUp(Arc::new(pass));
        Ok(Opened {
            scope: self.scopes.open(entry, Some(given_up))?,
            end,
        })
    }
}

#[inline]
fn emit_to(entry: Option<&Entry>, event: EventRef<'_>) -> Answer {
    match entry {
        Some(Entry::Run(run)) => run.host.emit(event),
        Some(Entry::ToolCall(call)) => call.progress(event),
        Some(Entry::Instance(_) | Entry::Task(_)) => Answer::Invalid,
        Some(Entry::GivenUp(_)) | None => Answer::Stop,
    }
}

impl HostLibrary for LibraryHost {
    fn emit(&self, scope: u64, event: EventRef<'_>) -> Answer {
        emit_to(self.emitting(scope).as_ref(), event)
    }

    fn complete(&self, scope: u64, completion: Completion) -> Answer {
        // An instance's scope goes on after its `create`; any other is over, so that nothing that comes
        // after the end gets through.
        if let Some(Entry::Instance(instance)) = self.scopes.get(scope) {
            return instance.waiter.complete(completion);
        }
        match self.scopes.remove(scope) {
            Some(Entry::Run(run)) => run.waiter.complete(completion),
            Some(Entry::ToolCall(call)) => call.waiter.complete(completion),
            Some(Entry::Task(waiter)) => waiter.complete(completion),
            Some(Entry::Instance(_) | Entry::GivenUp(_)) | None => Answer::Stop,
        }
    }

    fn request(&self, scope: u64, id: u64, method: &str, params: &str, sink: Sink) {
        match self.scopes.get(scope) {
            Some(Entry::Run(run)) => {
                let sink = self.signals.behind(sink);
                run.host.request(id, method, params, sink);
            }
            Some(Entry::Instance(instance)) => match &instance.tools_changed {
                Some(changed) if method == service::TOOLS_CHANGED => {
                    changed.notify_one();
                    sink.done(Ok("{}"));
                }
                _ => sink.done(Err(ServiceFailure::Unsupported)),
            },
            Some(Entry::ToolCall(_)) => sink.done(Err(ServiceFailure::Unsupported)),
            Some(Entry::Task(_) | Entry::GivenUp(_)) | None => {
                sink.done(Err(ServiceFailure::Cancelled));
            }
        }
    }

    fn cancel(&self, scope: u64, id: u64) -> Answer {
        match self.scopes.get(scope) {
            Some(Entry::Run(run)) => {
                run.host.cancel(id);
                Answer::Ok
            }
            // Their requests are answered at once.
            Some(Entry::Instance(_) | Entry::ToolCall(_) | Entry::Task(_)) => Answer::Ok,
            Some(Entry::GivenUp(_)) | None => Answer::Stop,
        }
    }

    fn image(&self, scope: u64, handle: u64) -> Option<Arc<[u8]>> {
        match self.scopes.get(scope)? {
            Entry::Run(run) => run.host.image(handle),
            Entry::Instance(_) | Entry::ToolCall(_) | Entry::Task(_) | Entry::GivenUp(_) => None,
        }
    }

    fn log(&self, line: LogLine<'_>) {
        let entry = self.scopes.get(line.scope);
        let nobody = Owner::default();
        let owner = match &entry {
            Some(Entry::Run(run)) => &run.owner,
            Some(Entry::ToolCall(call)) => &call.owner,
            Some(Entry::Instance(_) | Entry::Task(_) | Entry::GivenUp(_)) | None => &nobody,
        };
        logs::write(&logs::Line {
            level: line.level,
            target: line.target,
            message: line.message,
            fields: line.fields,
            plugin: &self.plugin,
            agent: &owner.agent,
            session_id: &owner.session_id,
            run_id: &owner.run_id,
        });
    }

    fn child_guard(&self) -> Option<&str> {
        self.child_guard.as_deref()
    }

    fn set_health(&self, scope: u64, health: Health) -> Answer {
        match self.scopes.get(scope) {
            Some(Entry::Instance(instance)) => {
                instance.health.set(&self.plugin, health);
                Answer::Ok
            }
            Some(Entry::Run(_) | Entry::ToolCall(_) | Entry::Task(_)) => Answer::Invalid,
            Some(Entry::GivenUp(_)) | None => Answer::Stop,
        }
    }
}
