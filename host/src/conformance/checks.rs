//! Which checks there are.

use std::fmt;
use std::str::FromStr;

use plugin_api::abi::import::{Component, ComponentKind};

use super::bench::Bench;
use super::{Verdict, agent, config, hostile, mapper, memory, toolset};

macro_rules! checks {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A check of a component.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Check {
            $($(#[$doc])* $name,)*
        }

        impl Check {
            /// All of them, in the order in which they are run.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

checks! {
    /// An instance is made.
    Starts = "starts",
    /// It does what it is for.
    Works = "works",
    /// A run waits when it is told to, and goes on.
    Slow = "slow",
    /// It does so several times at once.
    Concurrent = "concurrent",
    /// A run or a call ends when it is asked to in its middle.
    Stop = "stop",
    /// A configuration that does not do is refused.
    BadConfig = "bad-config",
    /// Nothing that it is given makes it crash, and a panic becomes an error.
    HostileInput = "hostile-input",
    /// Nothing comes after the end.
    AfterEnd = "after-end",
    /// A thousand runs leave no memory behind.
    Memory = "memory",
    /// An instance is ended.
    Ends = "ends",
}

impl Check {
    /// Whether components of this kind (`agent`, `toolset`, `mapper`) have it.
    #[must_use]
    pub fn is_for(self, kind: &str) -> bool {
        match kind {
            "agent" => true,
            "toolset" => self != Self::Slow,
            "mapper" => !matches!(self, Self::Slow | Self::Stop | Self::AfterEnd),
            _ => false,
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no such check.
#[derive(Debug, thiserror::Error)]
#[error("there is no check `{0}`; there are: {names}", names = names())]
pub struct UnknownCheck(String);

fn names() -> String {
    let names: Vec<_> = Check::ALL.iter().map(|check| check.as_str()).collect();
    names.join(", ")
}

impl FromStr for Check {
    type Err = UnknownCheck;

    fn from_str(name: &str) -> Result<Self, UnknownCheck> {
        let mut all = Self::ALL.iter().copied();
        all.find(|check| check.as_str() == name)
            .ok_or_else(|| UnknownCheck(name.to_owned()))
    }
}

/// Whether this host can use the component.
pub(super) fn is_known(component: &Component) -> bool {
    !matches!(component.kind, ComponentKind::Unsupported(_))
}

/// Runs a check. An error is what is wrong with the library.
pub(super) fn run(bench: &Bench<'_>, check: Check) -> Result<Verdict, String> {
    match check {
        Check::Starts => bench.starts(),
        Check::Ends => bench.ends(),
        Check::BadConfig => config::bad(bench),
        Check::Memory => memory::check(bench),
        Check::HostileInput => hostile::check(bench),
        Check::Slow => agent::slow(bench),
        Check::Works | Check::Concurrent | Check::Stop | Check::AfterEnd => {
            match bench.component.kind {
                ComponentKind::Agent(_) => agent::run(bench, check),
                ComponentKind::Toolset(_) => toolset::run(bench, check),
                ComponentKind::Mapper(_) => mapper::run(bench, check),
                _ => Ok(Verdict::not_run("this host does not know its kind")),
            }
        }
    }
}
