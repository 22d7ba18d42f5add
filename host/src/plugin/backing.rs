//! What is behind a configured name: a plugin that serves, or the reason why there is none.

use std::sync::Arc;

use super::generations::Lease;
use super::slot::PluginSlot;

/// The plugin behind an agent, toolset or mapper.
#[derive(Clone)]
pub(crate) enum Backing {
    Loaded(Arc<Lease>),
    /// Which plugin failed, and why.
    Failed(Arc<str>),
}

impl Backing {
    pub(crate) fn slot(&self) -> Result<&Arc<PluginSlot>, &str> {
        match self {
            Self::Loaded(lease) => match lease.slot.failed() {
                Some(reason) => Err(reason),
                None => Ok(&lease.slot),
            },
            Self::Failed(reason) => Err(reason),
        }
    }

    /// Why it cannot be used.
    pub(crate) fn unavailable(&self) -> Option<&str> {
        self.slot().err()
    }
}
