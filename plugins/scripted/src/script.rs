//! Reading a script.

use std::fmt;
use std::time::Duration;

use plugin_api::serde_json::{self, Value};
use plugin_api::{Event, RunError};

use crate::template::Template;

/// The steps of a script, each known to be good.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
}

/// One thing to do.
#[derive(Debug)]
pub(crate) enum Step {
    Emit(Event),
    Repeat {
        times: u64,
        event: Template,
    },
    Paced {
        times: u64,
        wait: Duration,
        event: Template,
    },
    Sleep(Duration),
    WaitStop(Duration),
    IgnoreStop(Duration),
    Echo(Received),
    Tool {
        name: String,
        args: Value,
    },
    Subagent {
        agent: String,
        content: String,
    },
    Log(Level, String),
    Raise(RunError),
    Panic(String),
}

impl Step {
    /// The kind of step, and of its event, for people.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Emit(event) => format!("`emit` of `{}`", event.name()),
            Self::Repeat { event, .. } => format!("`repeat` of `{}`", event.name()),
            Self::Paced { event, .. } => format!("`paced` of `{}`", event.name()),
            Self::Sleep(_) => "`sleep`".to_owned(),
            Self::WaitStop(_) => "`wait_stop`".to_owned(),
            Self::IgnoreStop(_) => "`ignore_stop`".to_owned(),
            Self::Echo(_) => "`echo`".to_owned(),
            Self::Tool { name, .. } => format!("`tool` `{name}`"),
            Self::Subagent { agent, .. } => format!("`subagent` `{agent}`"),
            Self::Log(..) => "`log`".to_owned(),
            Self::Raise(_) => "`raise`".to_owned(),
            Self::Panic(_) => "`panic`".to_owned(),
        }
    }
}

/// What an agent has received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Received {
    User,
    Images,
    Files,
    History,
}

/// The level of a line in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// What is wrong with a script.
#[derive(Debug)]
pub(crate) struct ScriptError {
    place: Place,
    problem: String,
}

#[derive(Debug)]
enum Place {
    Whole,
    /// The step's number, counted from 1, and its kind as far as it has one.
    Step(usize, Option<&'static str>),
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Whole => f.write_str("script: ")?,
            Place::Step(number, None) => write!(f, "script, step {number}: ")?,
            Place::Step(number, Some(kind)) => write!(f, "script, step {number} (`{kind}`): ")?,
        }
        f.write_str(&self.problem)
    }
}

impl Script {
    /// Reads the JSON list of steps.
    pub(crate) fn parse(json: &str) -> Result<Self, ScriptError> {
        let whole = |problem: String| ScriptError {
            place: Place::Whole,
            problem,
        };
        let steps: Value =
            serde_json::from_str(json).map_err(|error| whole(format!("not JSON: {error}")))?;
        let Value::Array(steps) = steps else {
            return Err(whole(format!(
                "must be a JSON list of steps, not {}",
                kind_of(&steps)
            )));
        };
        let steps = steps
            .into_iter()
            .enumerate()
            .map(|(index, step)| read_step(index + 1, step))
            .collect::<Result<_, _>>()?;
        Ok(Self { steps })
    }
}

/// What reads the argument of a kind of step.
type Reader = fn(Value) -> Result<Step, String>;

const KINDS: &[(&str, Reader)] = &[
    ("emit", |argument| Ok(Step::Emit(event(argument)?))),
    ("repeat", |argument| {
        let [times, message] = list(argument, "[n, EVENT]")?;
        Ok(Step::Repeat {
            times: count(&times)?,
            event: Template::new(event(message)?),
        })
    }),
    ("paced", |argument| {
        let [times, wait, message] = list(argument, "[n, seconds, EVENT]")?;
        Ok(Step::Paced {
            times: count(&times)?,
            wait: seconds(&wait)?,
            event: Template::new(event(message)?),
        })
    }),
    ("sleep", |argument| Ok(Step::Sleep(seconds(&argument)?))),
    ("wait_stop", |argument| {
        Ok(Step::WaitStop(seconds(&argument)?))
    }),
    ("ignore_stop", |argument| {
        Ok(Step::IgnoreStop(seconds(&argument)?))
    }),
    ("echo", |argument| {
        one_of(
            &argument,
            &[
                ("user", Received::User),
                ("images", Received::Images),
                ("files", Received::Files),
                ("history", Received::History),
            ],
        )
        .map(Step::Echo)
    }),
    ("tool", |argument| {
        let [name, args] = list(argument, "[name, args]")?;
        let name = text(name, "the name")?;
        Ok(Step::Tool { name, args })
    }),
    ("subagent", |argument| {
        let [agent, content] = list(argument, "[agent, content]")?;
        Ok(Step::Subagent {
            agent: text(agent, "the agent")?,
            content: text(content, "the content")?,
        })
    }),
    ("log", |argument| {
        let [level, line] = list(argument, "[level, text]")?;
        let level = one_of(
            &level,
            &[
                ("error", Level::Error),
                ("warn", Level::Warn),
                ("info", Level::Info),
                ("debug", Level::Debug),
                ("trace", Level::Trace),
            ],
        )?;
        Ok(Step::Log(level, text(line, "the text")?))
    }),
    ("raise", |argument| {
        let [kind, problem] = list(argument, "[kind, text]")?;
        let problem = text(problem, "the text")?;
        let kinds = [
            ("not_found", RunError::SessionNotFound),
            ("max_iterations", RunError::max_iterations(&problem)),
            ("agent", RunError::agent(&problem)),
            ("internal", RunError::internal(&problem)),
        ];
        one_of(&kind, &kinds).map(Step::Raise)
    }),
    ("panic", |argument| {
        text(argument, "the text").map(Step::Panic)
    }),
];

fn read_step(number: usize, step: Value) -> Result<Step, ScriptError> {
    let error = |kind, problem| ScriptError {
        place: Place::Step(number, kind),
        problem,
    };
    let known = || {
        let kinds: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
        kinds.join(", ")
    };
    let Value::Object(step) = step else {
        let problem = format!(
            "must be an object with one key, not {}; the keys are {}",
            kind_of(&step),
            known()
        );
        return Err(error(None, problem));
    };
    let mut keys = step.into_iter();
    let (Some((key, argument)), None) = (keys.next(), keys.next()) else {
        let problem = format!("must have exactly one key, one of {}", known());
        return Err(error(None, problem));
    };
    let Some((kind, read)) = KINDS.iter().find(|(name, _)| *name == key) else {
        let problem = format!("there is no step `{key}`; there are {}", known());
        return Err(error(None, problem));
    };
    read(argument).map_err(|problem| error(Some(kind), problem))
}

/// The wire event with `kind` in place of `type`.
fn event(message: Value) -> Result<Event, String> {
    let Value::Object(mut fields) = message else {
        return Err(format!(
            "an event must be an object, not {}",
            kind_of(&message)
        ));
    };
    // The others keep their order.
    match fields.shift_remove("kind") {
        Some(Value::String(kind)) => {
            Event::from_wire(&kind, fields).map_err(|error| error.to_string())
        }
        Some(other) => Err(format!(
            "an event's `kind` must be a string, not {}",
            kind_of(&other)
        )),
        None => Err("an event needs a `kind`, the wire's `type`".to_owned()),
    }
}

fn list<const N: usize>(argument: Value, shape: &str) -> Result<[Value; N], String> {
    match argument {
        Value::Array(items) => items
            .try_into()
            .map_err(|items: Vec<_>| format!("must be {shape}, not a list of {}", items.len())),
        other => Err(format!("must be {shape}, not {}", kind_of(&other))),
    }
}

fn text(value: Value, what: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("{what} must be a string, not {}", kind_of(&other))),
    }
}

fn count(value: &Value) -> Result<u64, String> {
    value
        .as_u64()
        .ok_or_else(|| format!("n must be a whole number from 0, not {}", shown(value)))
}

fn seconds(value: &Value) -> Result<Duration, String> {
    value
        .as_f64()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("seconds must be a number from 0, not {}", shown(value)))
}

fn one_of<T: Clone>(value: &Value, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices
        .iter()
        .find(|(name, _)| value.as_str() == Some(name));
    found.map(|(_, choice)| choice.clone()).ok_or_else(|| {
        let names: Vec<_> = choices
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        format!("must be one of {}, not {}", names.join(", "), shown(value))
    })
}

/// A small value itself, of others what they are.
fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.len() <= 40 => format!("{text:?}"),
        other => kind_of(other).to_owned(),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
