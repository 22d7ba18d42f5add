//! What comes of each fault.

use super::{Component, Fault, Isolation};

/// What comes of a fault, for everybody concerned.
pub(super) struct Cell {
    pub(super) client: Client,
    pub(super) operator: &'static [Operator],
    pub(super) survives: Survives,
}

/// How the run ends for the client that watches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// Nothing unusual: the run ends with `stream_end`, and everything that was streamed is there.
    Ends,
    /// The run ends with an `error` of this text.
    Error(&'static str),
    /// The run ends with `stream_stopped`, which was asked for.
    Stopped,
    /// The message is refused with an `error` of this text, and no run begins.
    Refused(&'static str),
    /// The call fails with this result, and the agent goes on.
    ToolFails(&'static str),
    /// The connection breaks off; whoever comes back finds the run `lost`, with what was stored of it.
    Lost,
    /// Nobody can connect until the component is made; then everything is as always.
    Waits,
}

/// What the operator sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    /// The run is counted as failed by a plugin, under this kind.
    Counted(&'static str),
    /// A line of the log has this text.
    Logged(&'static str),
    /// The process is ended by this signal.
    Died(i32),
    /// The process's memory grows by what was taken, for good.
    Grows,
    /// With the plugin required the host does not start, and says this; with `required = false` the plugin is shown
    /// as failed, for this reason.
    Failed(&'static str),
}

/// What is left unharmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Survives {
    /// Every other run, those of the same plugin too, and the session's next run.
    All,
    /// Every run of other plugins; the plugin's next run is served from a fresh copy of the library.
    FreshCopy,
    /// Every run of other plugins; those of the same worker end with the same error, and the plugin's next run is served
    /// by a new one.
    NewWorker,
    /// Every run of other plugins; the plugin's next run is served by another worker, and this one is ended as soon as its
    /// other runs are over.
    OtherWorker,
    /// What is stored: all runs in progress are lost, and the next start serves.
    Stored,
    /// What does not need the plugin.
    Others,
    /// Nothing runs yet.
    Everything,
}

const MAPPER: Client = Client::Error("Internal error: mapper suspect/mapper");

pub(super) fn cell(fault: Fault, component: Component, isolation: Isolation) -> Cell {
    match isolation {
        Isolation::InProcess => in_process(fault, component),
        Isolation::Process => in_a_worker(fault, component),
    }
}

/// Where a fault can end the process, it ends the worker. Of others it makes no difference where they are.
fn in_a_worker(fault: Fault, component: Component) -> Cell {
    use Component::{Agent, Mapper, Tool};
    use Operator::{Counted, Failed, Logged};
    const RESTARTED: Operator = Logged("starting another worker");
    let ended = |agent: &'static str, tool: &'static str| match component {
        Tool => (
            Client::ToolFails(tool),
            &[Logged("a tool failed"), RESTARTED][..],
            Survives::NewWorker,
        ),
        _ => (
            Client::Error(agent),
            &[Counted("agent"), RESTARTED][..],
            Survives::NewWorker,
        ),
    };
    let (client, operator, survives) = match (fault, component) {
        (Fault::VersionTooNew, _) => return in_process(fault, component),
        // Refused, whatever it would do.
        (_, Mapper) => (
            Client::Refused("Agent `mapped` is not available."),
            &[Failed(
                "is a mapper of plugin `suspect`, which runs in a worker process",
            )][..],
            Survives::Others,
        ),
        // A leak ends at the memory limit, as any process does that asks for more.
        (Fault::Abort | Fault::Leak, _) => ended(
            "Internal error: the worker process was ended by signal 6 (SIGABRT)",
            "Tool `harm` failed: the worker process was ended by signal 6 (SIGABRT)",
        ),
        (Fault::Segfault, _) => ended(
            "Internal error: the worker process was ended by signal 11 (SIGSEGV)",
            "Tool `harm` failed: the worker process was ended by signal 11 (SIGSEGV)",
        ),
        (Fault::EndlessLoop | Fault::IgnoresStop, Agent | Tool) => Cell {
            survives: Survives::OtherWorker,
            ..in_process(fault, component)
        }
        .into_parts(),
        _ => return in_process(fault, component),
    };
    Cell {
        client,
        operator,
        survives,
    }
}

impl Cell {
    fn into_parts(self) -> (Client, &'static [Operator], Survives) {
        (self.client, self.operator, self.survives)
    }
}

/// Where a fault can end the process, it ends the host.
fn in_process(fault: Fault, component: Component) -> Cell {
    use Client::{Ends, Error, Lost, Refused, Stopped, ToolFails, Waits};
    use Component::{Agent, Mapper, Tool};
    use Operator::{Counted, Died, Failed, Grows, Logged};
    use Survives::{All, Everything, FreshCopy, Others, Stored};
    let (client, operator, survives): (Client, &[Operator], Survives) = match (fault, component) {
        (Fault::Panic, Agent) => (
            Error("Internal error: told to panic"),
            &[Counted("agent"), Logged("run failed")],
            All,
        ),
        (Fault::Panic, Tool) => (
            ToolFails("Tool `harm` failed: told to panic"),
            &[Logged("a tool failed")],
            All,
        ),
        (Fault::Panic, Mapper) => (
            MAPPER,
            &[Counted("mapper"), Logged("mapper failed; the run ends")],
            All,
        ),
        (Fault::Abort, _) => (Lost, &[Died(6)], Stored),
        (Fault::Segfault, _) => (Lost, &[Died(11)], Stored),
        (Fault::EndlessLoop | Fault::IgnoresStop, Agent) => (
            Stopped,
            &[
                Counted("abandoned"),
                Logged("run abandoned: the agent did not stop"),
            ],
            FreshCopy,
        ),
        (Fault::EndlessLoop, Tool) => (
            ToolFails("Tool `harm` did not answer within 1 seconds."),
            &[Logged("a call does not end although it was cancelled")],
            FreshCopy,
        ),
        (Fault::IgnoresStop, Tool) => (
            Stopped,
            &[Logged("a call does not end although it was cancelled")],
            FreshCopy,
        ),
        (Fault::EndlessLoop, Mapper) => (
            MAPPER,
            &[
                Counted("mapper"),
                Logged("a call of it goes on, and 1000 ms are allowed"),
            ],
            FreshCopy,
        ),
        // A mapper has no stop; what it can ignore is that its run is over.
        (Fault::IgnoresStop, Mapper) => (Ends, &[Logged("mapper not closed")], FreshCopy),
        (Fault::GarbageEvents, Agent) => (Ends, &[Logged("event refused")], All),
        (Fault::GarbageEvents, Tool) => (
            ToolFails(
                "Tool `garbage` gave an answer that is not what it must be: key must be a string at line 1 column 2.",
            ),
            &[Logged("a tool failed")],
            All,
        ),
        (Fault::GarbageEvents, Mapper) => (
            MAPPER,
            &[
                Counted("mapper"),
                Logged("the mapper gave an event that is not what it must be"),
            ],
            All,
        ),
        (Fault::MillionEvents, Agent | Tool) => (Ends, &[], All),
        (Fault::MillionEvents, Mapper) => (
            MAPPER,
            // Too many, or too long on the way: a million take about a second.
            &[Counted("mapper"), Logged("mapper failed; the run ends")],
            All,
        ),
        (Fault::LateEmits, Agent | Tool) => (Ends, &[], All),
        // A mapper has nothing to emit with; what can be late is its answer.
        (Fault::LateEmits, Mapper) => (
            MAPPER,
            &[Counted("mapper"), Logged("1000 ms are allowed")],
            FreshCopy,
        ),
        (Fault::Leak, _) => (Ends, &[Grows], All),
        (Fault::SlowStart, _) => (Waits, &[], Everything),
        (Fault::FailsCreate, Agent) => (
            Refused("Agent `suspect` is not available."),
            &[Failed(
                "agents.suspect.component: could not be made: told to fail",
            )],
            Others,
        ),
        (Fault::FailsCreate, Tool) => (
            ToolFails("There is no tool `echo`. Available: none."),
            &[Failed(
                "tools.suspect.component: could not be made: told to fail",
            )],
            Others,
        ),
        (Fault::FailsCreate, Mapper) => (
            Refused("Agent `mapped` is not available."),
            &[Failed(
                "agents.mapped.mappers[0].component: could not be made: told to fail",
            )],
            Others,
        ),
        (Fault::VersionTooNew, Agent) => (
            Refused("Agent `suspect` is not available."),
            &[Failed("needs a host with 1.98 or later")],
            Others,
        ),
        (Fault::VersionTooNew, Tool) => (
            ToolFails("There is no tool `good`. Available: none."),
            &[Failed("needs a host with 1.98 or later")],
            Others,
        ),
        (Fault::VersionTooNew, Mapper) => (
            Refused("Agent `mapped` is not available."),
            &[Failed("needs a host with 1.98 or later")],
            Others,
        ),
        (Fault::ReplacedInPlace, _) => (Ends, &[], All),
    };
    Cell {
        client,
        operator,
        survives,
    }
}
