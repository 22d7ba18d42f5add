//! A component under test.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plugin_api::abi::import::{Component, FailureKind};
use plugin_api::wire::InstanceParams;

use super::Verdict;
use super::observer::{End, Kind, Observer, Plan};
use crate::plugin::{Configured, Probe, Probed};

/// How long anything may take that has no bound of its own.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How long a function that is to return at once may take.
const AT_ONCE: Duration = Duration::from_secs(2);

/// How many instances, runs or calls there are at a time where there are several.
pub(super) const SEVERAL: usize = 8;

/// A component, with all that a check needs.
pub(super) struct Bench<'a> {
    pub(super) probe: &'a Probe,
    pub(super) observer: &'a Arc<Observer>,
    pub(super) component: &'a Component,
    pub(super) configured: Configured,
    pub(super) message: &'a str,
    pub(super) note: &'a Path,
    pub(super) said: Option<&'a Path>,
}

impl Bench<'_> {
    /// Says what is done next, for the case that it is the last.
    pub(super) fn note(&self, doing: &str) {
        // Without it a crash is told with less.
        let _ = std::fs::write(self.note, doing);
    }

    /// Calls something that is to return at once.
    pub(super) fn at_once<R>(&self, what: &str, call: impl FnOnce() -> R) -> Result<R, String> {
        self.note(&format!("calling {what}"));
        let begun = Instant::now();
        let result = call();
        let took = begun.elapsed();
        if took > AT_ONCE {
            return Err(format!(
                "{what} is to return at once, and took {:.1} s",
                took.as_secs_f32()
            ));
        }
        Ok(result)
    }

    /// Starts `create` and waits for its end.
    pub(super) fn create(&self, config: &str) -> Result<(End, Option<Probed>), String> {
        let scope = self.observer.open(Kind::Instance, Plan::default());
        let mut params = InstanceParams::default();
        params.name = "test".to_owned();
        params.plugin = "test".to_owned();
        params.generation = 1;
        params.deadline_ms = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
        let params = serde_json::to_string(&params).map_err(|error| error.to_string())?;
        self.at_once("`create`", || {
            self.probe.create(self.component, scope, config, &params);
        })?;
        let end = self.end(scope, "`create`", PATIENCE)?;
        Ok((end, self.probe.take(scope)))
    }

    /// Makes an instance that is to be.
    pub(super) fn made(&self) -> Result<Probed, String> {
        match self.create(&self.configured.json)? {
            (End::Finished(_), Some(made)) => Ok(made),
            (End::Finished(_), None) => Err("`create` finished without an instance".to_owned()),
            (End::Stopped(_), _) => Err("`create` ended as stopped".to_owned()),
            (End::Failed(kind, text), _) => {
                let from = match &self.configured.from {
                    Some(from) => format!("the configuration `{from}`"),
                    None => {
                        "an empty configuration (--config names a file with another)".to_owned()
                    }
                };
                let how = if kind == FailureKind::Config {
                    "refused"
                } else {
                    "failed with"
                };
                Err(format!("`create` {how} {from}: {text}"))
            }
        }
    }

    /// Waits for the end of a scope, and for nothing to be wrong with it.
    pub(super) fn end(&self, scope: u64, what: &str, within: Duration) -> Result<End, String> {
        self.note(&format!("waiting for the end of {what}"));
        let ended = self
            .observer
            .wait(scope, within, |seen| seen.end.clone())
            .ok_or_else(|| format!("{what} did not end within {} s", within.as_secs_f32()))?;
        self.sound(scope, what)?;
        Ok(ended)
    }

    /// Whether no rule was broken with the scope.
    pub(super) fn sound(&self, scope: u64, what: &str) -> Result<(), String> {
        let faults = self
            .observer
            .look(scope, |seen| std::mem::take(&mut seen.faults));
        match faults.unwrap_or_default().first() {
            Some(fault) => Err(format!("{what}: {fault}")),
            None => Ok(()),
        }
    }

    /// Ends an instance.
    pub(super) fn end_instance(&self, instance: &Probed) -> Result<(), String> {
        let scope = self.observer.open(Kind::Task, Plan::default());
        let first = self.at_once("`shutdown`", || match instance {
            Probed::Agent(agent) => agent.shutdown(scope),
            Probed::Toolset(toolset) => toolset.shutdown(scope),
            Probed::Mapper(mapper) => mapper.shutdown(scope),
        })?;
        debug_assert!(first, "each instance is ended once");
        match self.end(scope, "`shutdown`", PATIENCE)? {
            End::Finished(_) | End::Stopped(_) => Ok(()),
            End::Failed(_, text) => Err(format!("`shutdown` failed: {text}")),
        }
    }

    pub(super) fn starts(&self) -> Result<Verdict, String> {
        let begun = Instant::now();
        // How it is ended is another check's.
        self.made()?;
        let took = begun.elapsed();
        let from = match &self.configured.from {
            Some(from) => format!("configured as `{from}`"),
            None => "without a configuration".to_owned(),
        };
        Ok(Verdict::passed(format!(
            "in {} ms, {from}",
            took.as_millis()
        )))
    }

    pub(super) fn ends(&self) -> Result<Verdict, String> {
        let made: Vec<_> = (0..SEVERAL)
            .map(|_| self.made())
            .collect::<Result<_, _>>()?;
        let begun = Instant::now();
        for instance in &made {
            if let Probed::Agent(agent) = instance {
                self.at_once("`session_ended`", || agent.session_ended("session"))?;
            }
            if let Probed::Toolset(toolset) = instance {
                self.at_once("`session_ended`", || toolset.session_ended("session"))?;
            }
            self.end_instance(instance)?;
        }
        Ok(Verdict::passed(format!(
            "{SEVERAL} instances in {} ms",
            begun.elapsed().as_millis()
        )))
    }
}
