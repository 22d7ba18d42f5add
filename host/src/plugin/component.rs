//! What the configuration uses of a plugin, and how faults of it are reported.

use std::collections::BTreeMap;

use crate::config::{ComponentName, Config, Fault, Located, Mapper};

/// What a component is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentKind {
    /// An agent backend.
    Agent,
    /// Tools.
    Toolset,
    /// An event mapper.
    Mapper,
}

impl ComponentKind {
    /// As people say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Toolset => "toolset",
            Self::Mapper => "mapper",
        }
    }

    pub(crate) fn with_article(self) -> String {
        match self {
            Self::Agent => "an agent".to_owned(),
            Self::Toolset | Self::Mapper => format!("a {self}"),
        }
    }
}

impl std::fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One entry of the configuration that wants an instance of a component.
#[derive(Debug, Clone)]
pub(crate) struct Use {
    pub(crate) kind: ComponentKind,
    /// The instance's name: the configured one of an agent or toolset, a mapper's place in the configuration.
    pub(crate) name: String,
    /// The component's name in its library.
    pub(crate) component: String,
    pub(crate) config: Located,
    /// A toolset's; empty for others.
    pub(crate) prefix: String,
}

impl Use {
    /// A fault of the entry's `component` key.
    pub(crate) fn component_fault(
        &self,
        problem: impl Into<String>,
        expected: impl Into<String>,
    ) -> Fault {
        self.sibling_fault("component", problem, expected)
    }

    /// A fault of the key `key` of the entry, beside its `config`.
    pub(crate) fn sibling_fault(
        &self,
        key: &str,
        problem: impl Into<String>,
        expected: impl Into<String>,
    ) -> Fault {
        let mut fault = self.config.fault("", problem, expected);
        fault.key = format!("{}.{key}", entry_of(&self.config));
        fault
    }
}

/// The name of a mapper's instance: where it stands in the configuration.
pub(crate) fn mapper_name(mapper: &Mapper) -> String {
    entry_of(&mapper.config).to_owned()
}

fn entry_of(config: &Located) -> &str {
    let key = config.key();
    key.strip_suffix(".config").unwrap_or(key)
}

/// All uses, by the plugin that they are of. Every configured plugin has an entry.
pub(crate) fn uses_by_plugin(config: &Config) -> BTreeMap<String, Vec<Use>> {
    let mut all: BTreeMap<String, Vec<Use>> = config
        .plugins
        .libraries
        .keys()
        .map(|name| (name.clone(), Vec::new()))
        .collect();
    let mut add = |kind, name: &str, component: &ComponentName, config: &Located, prefix: &str| {
        all.entry(component.plugin.clone()).or_default().push(Use {
            kind,
            name: name.to_owned(),
            component: component.component.clone(),
            config: config.clone(),
            prefix: prefix.to_owned(),
        });
    };
    for (name, agent) in &config.agents {
        add(
            ComponentKind::Agent,
            name,
            &agent.component,
            &agent.config,
            "",
        );
    }
    for (name, toolset) in &config.tools {
        add(
            ComponentKind::Toolset,
            name,
            &toolset.component,
            &toolset.config,
            &toolset.prefix,
        );
    }
    let of_agents = config.agents.values().flat_map(|agent| &agent.mappers);
    for mapper in of_agents.chain(&config.mappers) {
        add(
            ComponentKind::Mapper,
            &mapper_name(mapper),
            &mapper.component,
            &mapper.config,
            "",
        );
    }
    all
}
