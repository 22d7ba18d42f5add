//! Lowers the entries that refer to one another by name: plugins, agents, toolsets, mappers.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::Lowering;
use crate::config::checked::{
    Agent, ComponentName, Library, LibraryFile, Mapper, Plugins, Toolset,
};
use crate::config::fault::Fault;
use crate::config::located::step;
use crate::config::raw;
use crate::config::validate::nearest;

impl Lowering<'_> {
    pub(super) fn plugins(&mut self, raw: &raw::Plugins) -> Plugins {
        let search_paths = raw.search_paths.iter().enumerate();
        let search_paths = search_paths
            .map(|(index, path)| self.path(&format!("/plugins/search_paths/{index}"), path))
            .collect();
        let mut libraries = BTreeMap::new();
        for (name, library) in &raw.libraries {
            let pointer = step("/plugins/libraries", name);
            let sha256 = library
                .sha256
                .as_ref()
                .and_then(|hex| self.sha256(&step(&pointer, "sha256"), hex));
            libraries.insert(
                name.clone(),
                Library {
                    file: self.library_file(&step(&pointer, "file"), &library.file),
                    required: library.required,
                    sha256,
                    isolation: self.isolation(&pointer, library),
                    entry: self.root.part(&pointer),
                },
            );
        }
        Plugins {
            search_paths,
            libraries,
            worker_executable: None,
        }
    }

    fn library_file(&self, pointer: &str, file: &str) -> LibraryFile {
        let path = Path::new(file);
        let bare = path.components().count() == 1
            && !file.contains(['/', '\\'])
            && path.extension().is_none()
            && path.file_name().is_some();
        if bare {
            LibraryFile::Bare(file.to_owned())
        } else {
            LibraryFile::Path(self.path(pointer, file))
        }
    }

    pub(super) fn agents(&mut self, raw: &BTreeMap<String, raw::Agent>) -> BTreeMap<String, Agent> {
        let mut agents = BTreeMap::new();
        for (name, agent) in raw {
            let pointer = step("/agents", name);
            for (index, subagent) in agent.subagents.iter().enumerate() {
                let at = format!("{pointer}/subagents/{index}");
                self.known(&at, "/agents", "an agent", subagent);
            }
            agents.insert(
                name.clone(),
                Agent {
                    component: self.component(&step(&pointer, "component"), &agent.component),
                    config: self.root.part(&step(&pointer, "config")),
                    tools: agent.tools.clone(),
                    subagents: agent.subagents.clone(),
                    display_name: agent.display_name.clone().unwrap_or_else(|| name.clone()),
                    mappers: self.mappers(&step(&pointer, "mappers"), &agent.mappers),
                },
            );
        }
        agents
    }

    pub(super) fn tools(
        &mut self,
        raw: &BTreeMap<String, raw::Toolset>,
    ) -> BTreeMap<String, Toolset> {
        let mut tools = BTreeMap::new();
        for (name, toolset) in raw {
            let pointer = step("/tools", name);
            tools.insert(
                name.clone(),
                Toolset {
                    component: self.component(&step(&pointer, "component"), &toolset.component),
                    config: self.root.part(&step(&pointer, "config")),
                    timeout: self.positive(&step(&pointer, "timeout"), toolset.timeout),
                    prefix: toolset.prefix.clone(),
                },
            );
        }
        tools
    }

    pub(super) fn mappers(&mut self, pointer: &str, raw: &[raw::Mapper]) -> Vec<Mapper> {
        let mut mappers = Vec::new();
        for (index, mapper) in raw.iter().enumerate() {
            let pointer = format!("{pointer}/{index}");
            mappers.push(Mapper {
                component: self.component(&step(&pointer, "component"), &mapper.component),
                config: self.root.part(&step(&pointer, "config")),
            });
        }
        mappers
    }

    pub(super) fn default_agent(&mut self, raw: &raw::Raw) -> String {
        if let Some(name) = &raw.default_agent {
            self.known("/default_agent", "/agents", "an agent", name);
            return name.clone();
        }
        let mut names = raw.agents.keys();
        match (names.next(), names.next()) {
            (Some(only), None) => only.clone(),
            _ => {
                if !self.refused("/agents") && !self.refused("/default_agent") {
                    let at = self.root.place("/agents");
                    self.faults.push(Fault {
                        source: at.source.clone(),
                        line: at.line,
                        key: "default_agent".to_owned(),
                        problem: "is missing".to_owned(),
                        expected: "of several agents, name the one of a session that names none"
                            .to_owned(),
                    });
                }
                String::new()
            }
        }
    }

    fn component(&mut self, pointer: &str, raw: &raw::ComponentRef) -> ComponentName {
        // The schema has seen to it that there is a slash, or has refused the value.
        let (plugin, component) = raw.0.split_once('/').unwrap_or((&raw.0, ""));
        if !self.refused(pointer) {
            self.known(pointer, "/plugins/libraries", "a plugin", plugin);
        }
        ComponentName {
            plugin: plugin.to_owned(),
            component: component.to_owned(),
        }
    }

    /// That `name`, written at `pointer`, is a key of the table at `table`.
    fn known(&mut self, pointer: &str, table: &str, what: &str, name: &str) {
        let entries = self.root.value().pointer(table).and_then(Value::as_object);
        if entries.is_some_and(|entries| entries.contains_key(name))
            || self.refused.iter().any(|r| r == table)
        {
            return;
        }
        let names: Vec<&str> = entries
            .into_iter()
            .flat_map(|entries| entries.keys().map(String::as_str))
            .collect();
        let expected = match nearest(name, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "none is configured".to_owned(),
            None => format!("configured: {}", names.join(", ")),
        };
        self.fault(
            pointer,
            &format!("names {what} that is not configured"),
            &expected,
        );
    }
}
