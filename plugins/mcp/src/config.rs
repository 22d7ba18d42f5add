//! What the operator can set.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{CreateError, Secret};
use reqwest::Url;

/// The longest name of a server, in bytes: it begins the names of the server's tools.
const NAME_BYTES: usize = 64;

/// The settings of the toolset.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct Config {
    /// The servers, by names of the operator's choice.
    #[serde(default)]
    pub(crate) servers: BTreeMap<String, Server>,
}

/// One server: a `command` that is started, or the `url` of one that runs elsewhere.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub(crate) struct Server {
    /// The program of a server that speaks over its standard input and output.
    pub(crate) command: Option<String>,
    /// The program's arguments.
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// Environment variables of the program, besides PATH, HOME and a few that say nothing of the host.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, Secret>,
    /// The folder in which the program is started, absolute; the host's own when left out.
    pub(crate) cwd: Option<PathBuf>,
    /// What files the program, and whatever it starts, may use besides the system's own. Left out, all that the host
    /// may use.
    pub(crate) files: Option<Files>,
    /// Where a server is that speaks streamable HTTP, such as `https://mcp.example.com/mcp`.
    pub(crate) url: Option<String>,
    /// Sent to the `url` as a bearer token.
    pub(crate) bearer_token: Option<Secret>,
    /// More headers of every request to the `url`, by name.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Secret>,
    /// Put before the names of the server's tools; left out, the server's name and `_`.
    pub(crate) prefix: Option<String>,
    /// Which of the server's tools are offered, by patterns of the server's own names for them in which `*` stands
    /// for any characters.
    #[serde(default = "all")]
    pub(crate) tools: Vec<String>,
    /// Whether the host refuses to start without this server.
    #[serde(default)]
    pub(crate) required: bool,
    /// How the conversation is begun.
    #[serde(default)]
    pub(crate) handshake: Handshake,
    /// Milliseconds that may pass from the start to the list of tools.
    #[serde(default = "connect_timeout_ms")]
    #[schemars(range(min = 1, max = 600_000))]
    pub(crate) connect_timeout_ms: u64,
    /// Milliseconds between two questions whether the server is still there; 0: it is not asked.
    #[serde(default = "ping_interval_ms")]
    #[schemars(range(max = 86_400_000))]
    pub(crate) ping_interval_ms: u64,
    /// Milliseconds before a server that is away is tried again; each further time takes twice as long.
    #[serde(default = "retry_delay_ms")]
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(crate) retry_delay_ms: u64,
    /// The longest that these become.
    #[serde(default = "max_retry_delay_ms")]
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(crate) max_retry_delay_ms: u64,
    /// The largest message that is taken from the server, in bytes.
    #[serde(default = "max_message_bytes")]
    #[schemars(range(min = 1024, max = 33_554_432))]
    pub(crate) max_message_bytes: usize,
}

/// Files and folders, absolute.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub(crate) struct Files {
    /// What may be read.
    #[serde(default)]
    pub(crate) read: Vec<PathBuf>,
    /// What may be read and written.
    #[serde(default)]
    pub(crate) write: Vec<PathBuf>,
}

/// How a conversation is begun.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(crate = "plugin_api::serde", rename_all = "snake_case")]
#[schemars(crate = "plugin_api::schemars")]
pub(crate) enum Handshake {
    /// By `initialize`, and where the server refuses that, by `server/discover`.
    #[default]
    Auto,
    /// By `initialize`, as in the protocol's versions up to 2025-11-25.
    Initialize,
    /// By `server/discover`, as from version 2026-07-28 on.
    Discover,
}

fn all() -> Vec<String> {
    vec!["*".to_owned()]
}

fn connect_timeout_ms() -> u64 {
    30_000
}

fn ping_interval_ms() -> u64 {
    30_000
}

fn retry_delay_ms() -> u64 {
    1000
}

fn max_retry_delay_ms() -> u64 {
    60_000
}

fn max_message_bytes() -> usize {
    8 << 20
}

impl Config {
    /// What the schema cannot say.
    pub(crate) fn check(&self) -> Result<(), CreateError> {
        for (name, server) in &self.servers {
            check_name(name).map_err(|problem| at(name, "", problem))?;
            server.check(name)?;
        }
        Ok(())
    }
}

impl Server {
    fn check(&self, name: &str) -> Result<(), CreateError> {
        match (&self.command, &self.url) {
            (Some(_), Some(_)) => {
                return Err(at(
                    name,
                    "",
                    "has both `command` and `url`; it must have one",
                ));
            }
            (None, None) => return Err(at(name, "", "needs a `command` or a `url`")),
            (Some(command), None) => self.check_command(name, command)?,
            (None, Some(_)) => self.check_url(name)?,
        }
        let prefix = self.prefix.as_deref().unwrap_or_default();
        if !prefix
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
            || prefix.len() > NAME_BYTES
        {
            let problem = format!(
                "must be at most {NAME_BYTES} letters, digits, `_`, `-` or `.`, not `{}`",
                prefix.escape_debug()
            );
            return Err(at(name, "prefix", problem));
        }
        if self.max_retry_delay_ms < self.retry_delay_ms {
            let problem = format!("must be at least `retry_delay_ms`, {}", self.retry_delay_ms);
            return Err(at(name, "max_retry_delay_ms", problem));
        }
        Ok(())
    }

    fn check_command(&self, name: &str, command: &str) -> Result<(), CreateError> {
        if command.is_empty() {
            return Err(at(name, "command", "must not be empty"));
        }
        for (key, set) in [
            ("headers", !self.headers.is_empty()),
            ("bearer_token", self.bearer_token.is_some()),
        ] {
            if set {
                return Err(at(
                    name,
                    key,
                    "is for a server with a `url`; this one has a `command`",
                ));
            }
        }
        let absolute = |key: &str, path: &Path| match path.is_absolute() {
            true => Ok(()),
            false => {
                let problem = format!("must be an absolute path, not `{}`", path.display());
                Err(at(name, key, problem))
            }
        };
        if let Some(cwd) = &self.cwd {
            absolute("cwd", cwd)?;
        }
        for (key, paths) in self
            .files
            .iter()
            .flat_map(|files| [("files.read", &files.read), ("files.write", &files.write)])
        {
            paths.iter().try_for_each(|path| absolute(key, path))?;
        }
        for variable in self.env.keys() {
            if variable.is_empty() || variable.contains(['=', '\0']) {
                let problem = format!("`{}` is no name of a variable", variable.escape_debug());
                return Err(at(name, "env", problem));
            }
        }
        Ok(())
    }

    fn check_url(&self, name: &str) -> Result<(), CreateError> {
        for (key, set) in [
            ("args", !self.args.is_empty()),
            ("env", !self.env.is_empty()),
            ("cwd", self.cwd.is_some()),
            ("files", self.files.is_some()),
        ] {
            if set {
                return Err(at(
                    name,
                    key,
                    "is for a server with a `command`; this one has a `url`",
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    /// What begins the names of the tools of the server of this name.
    pub(crate) fn prefix(&self, name: &str) -> String {
        self.prefix.clone().unwrap_or_else(|| format!("{name}_"))
    }

    /// What nobody may read: what is sent to the server as a secret, and what stands in its address.
    pub(crate) fn secrets(&self) -> Vec<Cow<'_, str>> {
        let sent = self.env.values().chain(self.headers.values());
        let sent = sent.chain(&self.bearer_token).map(Secret::expose);
        let mut secrets: Vec<_> = sent.map(Cow::Borrowed).collect();
        // What follows the scheme of an `Authorization`.
        let headers = self.headers.values().map(Secret::expose);
        let tokens = headers.filter_map(|value| Some(value.trim().split_once(' ')?.1));
        let tokens = tokens.filter(|token| !token.contains(' '));
        secrets.extend(tokens.map(Cow::Borrowed));
        if let Some((_, query)) = self.url.as_deref().and_then(|url| url.split_once('?')) {
            secrets.push(query.into());
            let values = query.split('&').filter_map(|pair| pair.split_once('='));
            secrets.extend(values.map(|(_, value)| Cow::Borrowed(value)));
        }
        // As they are meant, too.
        if let Some(url) = self.url.as_deref().and_then(|url| Url::parse(url).ok()) {
            let values = url.query_pairs().map(|(_, value)| value.into_owned());
            secrets.extend(values.map(Cow::Owned));
        }
        secrets
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if fits && (1..=NAME_BYTES).contains(&name.len()) {
        return Ok(());
    }
    Err(format!(
        "a server's name has 1 to {NAME_BYTES} letters, digits, `_` or `-`"
    ))
}

/// What is wrong with a key of a server's settings; an empty key: with the server as a whole.
pub(crate) fn at(server: &str, key: &str, problem: impl std::fmt::Display) -> CreateError {
    let server = server.escape_debug();
    match key {
        "" => CreateError::config(format_args!("servers.{server}: {problem}")),
        key => CreateError::config(format_args!("servers.{server}.{key}: {problem}")),
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::{self, Value, json};

    use super::*;

    fn config(server: Value) -> Config {
        serde_json::from_value(json!({ "servers": { "s": server } })).unwrap()
    }

    fn problem(server: Value) -> String {
        config(server).check().unwrap_err().to_string()
    }

    #[test]
    fn a_command_or_a_url_is_enough() {
        config(json!({"command": "uvx", "args": ["mcp-server-time"]}))
            .check()
            .unwrap();
        let http = config(json!({"url": "http://127.0.0.1:3001/mcp"}));
        http.check().unwrap();
        assert_eq!(http.servers["s"].prefix("s"), "s_");
    }

    #[test]
    fn what_does_not_fit_together_is_told_with_its_key() {
        for (server, told) in [
            (json!({}), "servers.s: needs a `command` or a `url`"),
            (
                json!({"command": "a", "url": "b"}),
                "servers.s: has both `command` and `url`; it must have one",
            ),
            (
                json!({"command": ""}),
                "servers.s.command: must not be empty",
            ),
            (
                json!({"command": "a", "bearer_token": "t"}),
                "servers.s.bearer_token: is for a server with a `url`; this one has a `command`",
            ),
            (
                json!({"url": "http://h", "env": {"A": "b"}}),
                "servers.s.env: is for a server with a `command`; this one has a `url`",
            ),
            (
                json!({"command": "a", "cwd": "b"}),
                "servers.s.cwd: must be an absolute path, not `b`",
            ),
            (
                json!({"command": "a", "files": {"write": ["/a", "b"]}}),
                "servers.s.files.write: must be an absolute path, not `b`",
            ),
            (
                json!({"command": "a", "env": {"A=B": ""}}),
                "servers.s.env: `A=B` is no name of a variable",
            ),
            (
                json!({"command": "a", "prefix": "a b"}),
                "servers.s.prefix: must be at most 64 letters, digits, `_`, `-` or `.`, not `a b`",
            ),
            (
                json!({"command": "a", "retry_delay_ms": 10, "max_retry_delay_ms": 9}),
                "servers.s.max_retry_delay_ms: must be at least `retry_delay_ms`, 10",
            ),
        ] {
            assert_eq!(problem(server), format!("configuration: {told}"));
        }
        let names = json!({"servers": {"a b": {"command": "a"}}});
        let names: Config = serde_json::from_value(names).unwrap();
        let told = names.check().unwrap_err().to_string();
        assert!(
            told.starts_with("configuration: servers.a b: a server's name has"),
            "{told}"
        );
    }

    #[test]
    fn nothing_prints_a_secret() {
        let http = config(json!({
            "url": "http://h/mcp?key=sk-1", "bearer_token": "sk-2", "headers": {"x": "sk-3"}
        }));
        let secrets = http.servers["s"].secrets();
        assert_eq!(secrets, ["sk-3", "sk-2", "key=sk-1", "sk-1", "sk-1"]);
        let http = config(json!({
            "url": "http://h/mcp?a=s%2Fk&b=2", "headers": {"Authorization": " Basic c2s= "}
        }));
        let secrets = http.servers["s"].secrets();
        for secret in ["s/k", "s%2Fk", "c2s="] {
            assert!(secrets.iter().any(|known| known == secret), "{secrets:?}");
        }
        let printed = format!("{http:?}");
        assert!(
            !printed.contains("sk-2") && !printed.contains("sk-3"),
            "{printed}"
        );
    }
}
