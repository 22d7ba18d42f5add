//! The fault matrix: every fault, in every kind of component, in the host's own process and in a worker's.
//!
//! [`cells::cell`] says for each combination what the client sees, what the operator sees and what survives. From it
//! come the table in `docs/faults.md` and what each test expects, so the two cannot differ; a combination without a
//! cell does not compile, and each combination is a test of its own. The hosts are processes of their own, for some
//! faults end them.

mod cells;
mod document;
mod host;
mod injection;
mod seen;
mod starting;

/// What a plugin does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Panic,
    Abort,
    Segfault,
    EndlessLoop,
    IgnoresStop,
    GarbageEvents,
    MillionEvents,
    LateEmits,
    Leak,
    SlowStart,
    FailsCreate,
    VersionTooNew,
    ReplacedInPlace,
}

/// Which of its components does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Component {
    Agent,
    Tool,
    Mapper,
}

/// Where the plugin runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isolation {
    InProcess,
    Process,
}

/// A combination, and the name of its test.
struct Combination {
    test: &'static str,
    fault: Fault,
    component: Component,
    isolation: Isolation,
}

macro_rules! injection {
    ($isolation:ident, $Component:ident => $Isolation:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $isolation() {
            use crate::faults::{Component, Isolation, injection};
            injection::inject(super::FAULT, Component::$Component, Isolation::$Isolation).await;
        }
    };
}

macro_rules! component {
    ($component:ident => $Component:ident) => {
        mod $component {
            injection! { in_process, $Component => InProcess }
            injection! { process, $Component => Process }
        }
    };
}

macro_rules! combination {
    ($fault:ident, $component:ident => $Component:ident, $isolation:ident => $Isolation:ident) => {
        crate::faults::Combination {
            test: concat!(
                stringify!($fault),
                "::",
                stringify!($component),
                "::",
                stringify!($isolation)
            ),
            fault: FAULT,
            component: crate::faults::Component::$Component,
            isolation: crate::faults::Isolation::$Isolation,
        }
    };
}

/// A test for each combination, called `faults::FAULT::COMPONENT::ISOLATION`, and the list of them all.
macro_rules! matrix {
    ($($fault:ident => $Fault:ident,)*) => {
        $(mod $fault {
            const FAULT: super::Fault = super::Fault::$Fault;
            component! { agent => Agent }
            component! { tool => Tool }
            component! { mapper => Mapper }

            pub(super) const ALL: &[super::Combination] = &[
                combination! { $fault, agent => Agent, in_process => InProcess },
                combination! { $fault, agent => Agent, process => Process },
                combination! { $fault, tool => Tool, in_process => InProcess },
                combination! { $fault, tool => Tool, process => Process },
                combination! { $fault, mapper => Mapper, in_process => InProcess },
                combination! { $fault, mapper => Mapper, process => Process },
            ];
        })*

        /// All combinations, in the order of the faults.
        const ALL: &[&[Combination]] = &[$($fault::ALL),*];

        // A fault that has no tests does not compile.
        const _: fn(Fault) = |fault| match fault {
            $(Fault::$Fault => {})*
        };
    };
}

matrix! {
    panic => Panic,
    abort => Abort,
    segfault => Segfault,
    endless_loop => EndlessLoop,
    ignores_stop => IgnoresStop,
    garbage_events => GarbageEvents,
    million_events => MillionEvents,
    late_emits => LateEmits,
    leak => Leak,
    slow_start => SlowStart,
    fails_create => FailsCreate,
    version_too_new => VersionTooNew,
    replaced_in_place => ReplacedInPlace,
}
