//! Finds the layers, merges them, checks the whole.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::checked::Config;
use super::fault::{Fault, Faults, Source};
use super::layers::{self, Layer};
use super::located::Located;
use super::lower::Lowering;
use super::raw::Raw;
use super::schema::{schema, validator};
use super::validate;

/// The file that is read without being asked for, relative to the working directory.
pub const DEFAULT_FILE: &str = "config/roundhouse.toml";

/// Gathers the layers of a configuration; [`load`](Self::load) reads and checks them.
///
/// ```
/// use roundhouse_host::config::Loader;
///
/// let config = Loader::empty()
///     .env([("ROUNDHOUSE_SERVER__LISTEN".into(), "127.0.0.1:9001".into())])
///     .flag("--log", "log.filter", "debug")
///     .load()?;
/// assert_eq!(config.server.listen.port(), 9001);
/// assert_eq!(config.default_agent, "echo");
/// # Ok::<(), roundhouse_host::config::Faults>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Loader {
    folder: PathBuf,
    find_default_file: bool,
    file: Option<PathBuf>,
    text: Option<(PathBuf, String)>,
    variables: Vec<(OsString, OsString)>,
    flags: Vec<Flag>,
    listening: Option<SocketAddr>,
}

/// What a flag of the command line sets.
#[derive(Clone, Debug)]
struct Flag {
    name: String,
    path: Vec<String>,
    value: Value,
}

impl Loader {
    /// Nothing but the built-in defaults.
    pub fn empty() -> Self {
        Self::default()
    }

    /// What the running process was given: [`DEFAULT_FILE`] in the working directory, if it
    /// is there, and the environment.
    pub fn from_process() -> Self {
        Self::empty().default_file_in("").env(std::env::vars_os())
    }

    /// Takes `folder` for the working directory: looks for [`DEFAULT_FILE`] there, and lets
    /// relative paths from outside files start there. Its absence is no fault.
    pub fn default_file_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self.find_default_file = true;
        self
    }

    /// Adds the file that was asked for; that it cannot be read is a fault.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Adds a TOML text as if it stood in the file `path`, which is not read.
    pub fn text(mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        self.text = Some((path.into(), text.into()));
        self
    }

    /// Adds environment variables; only those that start with `ROUNDHOUSE_` count.
    pub fn env(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.variables.extend(variables);
        self
    }

    /// Adds what a flag sets: `name` with its dashes, the key as `server.listen`.
    pub fn flag(mut self, name: &str, key: &str, value: impl Into<Value>) -> Self {
        self.flags.push(Flag {
            name: name.to_owned(),
            path: key.split('.').map(str::to_owned).collect(),
            value: value.into(),
        });
        self
    }

    /// Judges the configuration as that of a host which listens there already, whatever it says of that: one beyond
    /// loopback is not to be left without authentication.
    pub fn listening_on(mut self, address: SocketAddr) -> Self {
        self.listening = Some(address);
        self
    }

    /// The files that are read, there or not.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let default = self
            .find_default_file
            .then(|| self.folder.join(DEFAULT_FILE));
        let asked_for = self.file.as_ref().map(|path| self.folder.join(path));
        default.into_iter().chain(asked_for).collect()
    }

    /// Reads, merges and checks the layers.
    ///
    /// # Errors
    ///
    /// Every fault at once. Files that are missing or not TOML are told first, since without
    /// them nothing can be said about the rest.
    pub fn load(self) -> Result<Config, Faults> {
        let (layers, faults) = self.layers();
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        check(&layers::merge(&layers), &self.folder, self.listening)
    }

    fn layers(&self) -> (Vec<Layer>, Vec<Fault>) {
        let mut files = Vec::new();
        let mut faults = Vec::new();
        let mut take = |read: Result<Layer, Vec<Fault>>| match read {
            Ok(layer) => files.push(layer),
            Err(more) => faults.extend(more),
        };
        if self.find_default_file {
            let path = self.folder.join(DEFAULT_FILE);
            if is_there(&path) {
                take(Layer::file(&path, path.clone()));
            }
        }
        if let Some(path) = &self.file {
            take(Layer::file(&self.folder.join(path), self.folder.join(path)));
        }
        if let Some((path, text)) = &self.text {
            take(Layer::text(text, path.clone()));
        }
        let agents_configured = files.iter().any(|file| file.table.contains_key("agents"));

        let (variables, more) = layers::environment(self.variables.clone(), schema());
        faults.extend(more);
        let flags = self.flags.iter().map(|flag| {
            let source = Source::Flag(flag.name.clone());
            Layer::single(source, &flag.path, flag.value.clone())
        });

        let mut layers = vec![Layer::built_in(built_in(agents_configured))];
        layers.extend(files);
        layers.extend(variables);
        layers.extend(flags);
        (layers, faults)
    }
}

impl Config {
    /// The configuration of a TOML text alone, over the built-in defaults: no file is read and
    /// no environment is looked at. Relative paths start in `folder`, and faults name the file
    /// `roundhouse.toml` there.
    ///
    /// # Errors
    ///
    /// Every fault at once.
    pub fn from_toml(text: &str, folder: impl AsRef<Path>) -> Result<Self, Faults> {
        let folder = folder.as_ref();
        let mut loader = Loader::empty().text(folder.join("roundhouse.toml"), text);
        loader.folder = folder.to_owned();
        loader.load()
    }
}

/// Whether there is anything at `path`, be it unreadable or a dangling link: only what is
/// really absent may be passed over.
fn is_there(path: &Path) -> bool {
    use std::io::ErrorKind;
    match std::fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(e) => !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

/// The weakest layer. The agent `echo` is part of it only where no file defines agents, so
/// that an operator's list of agents is exactly what the files say.
fn built_in(agents_configured: bool) -> Map<String, Value> {
    // Plain data in plain structs: it cannot fail to serialise, nor be anything but a table.
    let Ok(Value::Object(mut table)) = serde_json::to_value(Raw::default()) else {
        return Map::new();
    };
    if !agents_configured {
        table.insert("agents".into(), json!({"echo": {"component": "echo/echo"}}));
        table.insert("default_agent".into(), "echo".into());
        table.insert(
            "plugins".into(),
            json!({"libraries": {"echo": {"file": "roundhouse_echo"}}}),
        );
    }
    table
}

/// Checks the merged layers: first against the schema, then, with the values taken out that
/// it refused, everything a schema cannot say.
fn check(root: &Located, folder: &Path, listening: Option<SocketAddr>) -> Result<Config, Faults> {
    let found = validate::breaches(validator(), schema(), root.value());
    let refused: Vec<String> = found.iter().map(|breach| breach.pointer.clone()).collect();
    let mut faults: Vec<Fault> = found.iter().map(|breach| breach.fault(root)).collect();

    let mut value = root.value().clone();
    for pointer in &refused {
        remove(&mut value, pointer);
    }
    whole_numbers(&mut value);
    let checked = match serde_json::from_value::<Raw>(value) {
        Ok(raw) => {
            let mut lowering = Lowering::new(root, &refused, folder, listening);
            let config = lowering.config(&raw);
            faults.append(&mut lowering.faults);
            Some(config)
        }
        // The schema lets nothing through that the types refuse; should it all the same,
        // serde's text is not shown, as it may quote a value.
        Err(_) => {
            if faults.is_empty() {
                faults.push(root.fault(
                    "",
                    "does not have the shape of a configuration",
                    "compare it with the published schema",
                ));
            }
            None
        }
    };
    match checked {
        Some(config) if faults.is_empty() => Ok(config),
        _ => Err(Faults::in_order(faults)),
    }
}

/// Takes out the value at a pointer. In a list that would move the ones after it, so there
/// the whole list goes.
fn remove(root: &mut Value, pointer: &str) {
    let mut pointer = pointer;
    while let Some(cut) = pointer.rfind('/') {
        let key = pointer[cut + 1..].replace("~1", "/").replace("~0", "~");
        pointer = &pointer[..cut];
        match root.pointer_mut(pointer) {
            Some(Value::Object(table)) => {
                table.shift_remove(&key);
                return;
            }
            Some(Value::Array(_)) => {}
            _ => return,
        }
    }
}

/// `5.0` is a whole number to a JSON Schema and must be one to serde, too.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64().filter(|f| number.is_f64() && f.fract() == 0.0)
                // Exact, and the schema allows nothing larger.
                && float.abs() <= 9_007_199_254_740_992.0
            {
                #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
                let whole = float as i64;
                *value = Value::from(whole);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(table) => table.values_mut().for_each(whole_numbers),
        _ => {}
    }
}
