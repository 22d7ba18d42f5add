//! What a new catalogue does differently from the one before it, plugin by plugin.

use std::sync::Arc;

use super::catalog::{Plugin, PluginState};

/// What became of a plugin with a new catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It serves on: nothing of it has changed.
    Kept,
    /// Another generation of it serves.
    Replaced,
    /// It serves, and did not before.
    Added,
    /// It does not serve, for it failed.
    Failed,
    /// It is not configured any more.
    Removed,
}

/// A plugin, and what became of it with a new catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginChange {
    /// The configured name.
    pub name: String,
    /// What became of it.
    pub kind: ChangeKind,
    /// The generation that new runs take, if there is one.
    pub generation: Option<u64>,
    /// The library's own version, likewise.
    pub version: Option<String>,
    /// Why it failed.
    pub reasons: Vec<String>,
}

pub(super) fn changes(before: &[Plugin], after: &[Plugin]) -> Vec<PluginChange> {
    let of = |plugin: &Plugin| {
        let old = find(before, &plugin.status.name).and_then(|old| old.lease.as_ref());
        let kind = match (&plugin.lease, old) {
            (None, _) => ChangeKind::Failed,
            (Some(_), None) => ChangeKind::Added,
            (Some(new), Some(old)) if Arc::ptr_eq(new, old) => ChangeKind::Kept,
            (Some(_), Some(_)) => ChangeKind::Replaced,
        };
        let (version, reasons) = match &plugin.status.state {
            PluginState::Loaded { version, .. } => (Some(version.clone()), Vec::new()),
            PluginState::Failed { reasons } => (None, reasons.clone()),
        };
        PluginChange {
            name: plugin.status.name.clone(),
            kind,
            generation: plugin.generation(),
            version,
            reasons,
        }
    };
    let gone = before
        .iter()
        .filter(|plugin| find(after, &plugin.status.name).is_none())
        .map(|plugin| PluginChange {
            name: plugin.status.name.clone(),
            kind: ChangeKind::Removed,
            generation: None,
            version: None,
            reasons: Vec::new(),
        });
    after.iter().map(of).chain(gone).collect()
}

fn find<'a>(plugins: &'a [Plugin], name: &str) -> Option<&'a Plugin> {
    plugins.iter().find(|plugin| plugin.status.name == name)
}
