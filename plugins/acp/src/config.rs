//! What the operator can set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{CreateError, Secret};

use crate::permissions::Permissions;

/// The settings of an agent in a child process.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct Config {
    /// The program that speaks the protocol over its standard input and output: a name that is searched for in `PATH`, or
    /// a path.
    #[schemars(length(min = 1))]
    pub(crate) command: String,
    /// Its arguments.
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// Variables of its environment, besides `PATH`, `HOME`, `LANG` and the like, which it has of the host's.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, Secret>,
    /// The folder that it works in, and whose files it may read and change. A relative path starts where the host was
    /// started.
    pub(crate) folder: PathBuf,
    /// Whether each session has a folder of its own in `folder`, named by the session's id.
    #[serde(default)]
    pub(crate) folder_per_session: bool,
    /// Whether the program, and all that it starts, has no other files than `folder`, `files`, itself and the system's.
    #[serde(default = "confined")]
    pub(crate) confined: bool,
    /// More files and folders that the program has.
    #[serde(default)]
    pub(crate) files: Files,
    /// What it is answered when it asks for leave: `allow`, `deny`, or one of both for each kind of tool.
    #[serde(default)]
    pub(crate) permissions: Permissions,
    /// The way of logging in to choose, by its id, for programs that want one to be chosen.
    pub(crate) auth_method: Option<String>,
    /// How many processes there are at most at a time. A session that needs one more takes the place of the one that
    /// has been idle for longest.
    #[serde(default = "max_children")]
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max_children: usize,
    /// How many of the turns that a process does not know of it is told at most.
    #[serde(default = "max_history_turns")]
    #[schemars(range(max = 1000))]
    pub(crate) max_history_turns: u32,
    /// Milliseconds that a process may be idle before it is ended.
    #[serde(default = "idle_timeout_ms")]
    #[schemars(range(min = 1, max = 604_800_000))]
    pub(crate) idle_timeout_ms: u64,
    /// Milliseconds that it may take from its start to a session.
    #[serde(default = "start_timeout_ms")]
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(crate) start_timeout_ms: u64,
    /// Milliseconds that it may take to end a turn after a stop, before the process is ended. Shorter than the host's
    /// `stop.grace`.
    #[serde(default = "cancel_timeout_ms")]
    #[schemars(range(min = 1, max = 600_000))]
    pub(crate) cancel_timeout_ms: u64,
}

/// Files of a confined program besides its folder.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields, default)]
#[schemars(crate = "plugin_api::schemars")]
pub(crate) struct Files {
    /// To be read.
    pub(crate) read: Vec<PathBuf>,
    /// To be read and changed.
    pub(crate) write: Vec<PathBuf>,
}

fn confined() -> bool {
    true
}

fn max_children() -> usize {
    16
}

fn max_history_turns() -> u32 {
    40
}

fn idle_timeout_ms() -> u64 {
    600_000
}

fn start_timeout_ms() -> u64 {
    60_000
}

fn cancel_timeout_ms() -> u64 {
    5_000
}

impl Config {
    /// What the schema cannot say. Paths become absolute, with links resolved.
    pub(crate) fn checked(mut self) -> Result<Self, CreateError> {
        if let Some(name) = self
            .env
            .keys()
            .find(|name| name.is_empty() || name.contains(['=', '\0']))
        {
            return Err(CreateError::config(format_args!(
                "env: `{name}` is not the name of a variable"
            )));
        }
        self.folder = resolved("folder", &self.folder)?;
        if !self.folder.is_dir() {
            return Err(CreateError::config(format_args!(
                "folder: `{}` is not a folder",
                self.folder.display()
            )));
        }
        if !self.confined && !(self.files.read.is_empty() && self.files.write.is_empty()) {
            return Err(CreateError::config(
                "files: has no meaning with `confined = false`, which leaves the program all files",
            ));
        }
        for (key, paths) in [
            ("files.read", &mut self.files.read),
            ("files.write", &mut self.files.write),
        ] {
            for path in paths {
                *path = resolved(key, path)?;
            }
        }
        // One that is a path must stay the same file in whichever folder the program is started.
        if self.command.contains('/') {
            let command = resolved_parent("command", Path::new(&self.command))?;
            self.command = command.to_string_lossy().into_owned();
        }
        Ok(self)
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    pub(crate) fn start_timeout(&self) -> Duration {
        Duration::from_millis(self.start_timeout_ms)
    }

    pub(crate) fn cancel_timeout(&self) -> Duration {
        Duration::from_millis(self.cancel_timeout_ms)
    }
}

fn resolved(key: &str, path: &Path) -> Result<PathBuf, CreateError> {
    path.canonicalize()
        .map_err(|error| CreateError::config(format_args!("{key}: `{}`: {error}", path.display())))
}

/// A program is often a link, by whose own name it looks for what belongs to it.
fn resolved_parent(key: &str, path: &Path) -> Result<PathBuf, CreateError> {
    path.metadata().map_err(|error| {
        CreateError::config(format_args!("{key}: `{}`: {error}", path.display()))
    })?;
    std::path::absolute(path)
        .map_err(|error| CreateError::config(format_args!("{key}: `{}`: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::{self, json};

    use super::*;

    fn checked(more: serde_json::Value) -> Result<Config, String> {
        let mut all = json!({"command": "agent", "folder": "/"});
        let table = all.as_object_mut().unwrap();
        table.extend(more.as_object().unwrap().clone());
        let config: Config = serde_json::from_value(all).unwrap();
        config.checked().map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_and_a_folder_are_enough() {
        let config = checked(json!({})).unwrap();
        assert!(config.confined);
        assert_eq!(config.idle_timeout(), Duration::from_secs(600));
        assert_eq!(config.command, "agent");
    }

    #[test]
    fn what_is_not_there_is_named() {
        let missing = json!({"folder": "/no/such"});
        assert_eq!(
            checked(missing).unwrap_err(),
            "configuration: folder: `/no/such`: No such file or directory (os error 2)"
        );
        let missing = json!({"files": {"read": ["/usr", "/no/such"]}});
        assert!(
            checked(missing)
                .unwrap_err()
                .contains("files.read: `/no/such`")
        );
        let missing = json!({"command": "./no-such"});
        assert!(
            checked(missing)
                .unwrap_err()
                .contains("command: `./no-such`")
        );
        let no_folder = json!({"folder": "/dev/null"});
        assert!(checked(no_folder).unwrap_err().contains("not a folder"));
    }

    #[test]
    fn files_without_confinement_are_a_mistake() {
        let open = json!({"confined": false, "files": {"read": ["/usr"]}});
        assert!(checked(open).unwrap_err().contains("confined = false"));
        assert!(checked(json!({"confined": false})).is_ok());
    }

    #[test]
    fn nothing_prints_the_environment() {
        let config = checked(json!({"env": {"KEY": "sk-1"}})).unwrap();
        assert!(!format!("{config:?}").contains("sk-1"));
        assert!(checked(json!({"env": {"A=B": "x"}})).is_err());
    }
}
