//! What is told of a test.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The rule is kept.
    Passed,
    /// The rule is broken.
    Failed,
    /// What the check is about could not be brought about: nothing is known.
    NotProvoked,
    /// The check was not run.
    NotRun,
}

impl Outcome {
    /// As people read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Failed => "FAILED",
            Self::NotProvoked => "not provoked",
            Self::NotRun => "not run",
        }
    }
}

/// How a check ended, and what there is to say of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// How.
    pub outcome: Outcome,
    /// For people.
    pub detail: String,
}

impl Verdict {
    fn new(outcome: Outcome, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { outcome, detail }
    }

    pub(super) fn passed(detail: impl Into<String>) -> Self {
        Self::new(Outcome::Passed, detail)
    }

    /// The rule is broken.
    pub fn failed(detail: impl Into<String>) -> Self {
        Self::new(Outcome::Failed, detail)
    }

    pub(super) fn not_provoked(detail: impl Into<String>) -> Self {
        Self::new(Outcome::NotProvoked, detail)
    }

    /// The check was not run.
    pub fn not_run(detail: impl Into<String>) -> Self {
        Self::new(Outcome::NotRun, detail)
    }
}

/// What a library is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Examined {
    /// Its own name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// Kind and name of each of its components.
    pub components: Vec<(String, String)>,
    /// On the descriptor.
    pub descriptor: Verdict,
    /// On the schemas of its components' configuration.
    pub schemas: Verdict,
}

/// One check's result.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// `agent`, `toolset` or `mapper`; none for the library as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The component's name; none for the library as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The check's name.
    pub check: String,
    /// How it ended, and what there is to say of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// How long it took.
    pub seconds: f64,
}

/// The result of a test.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The library.
    pub file: PathBuf,
    /// Its own name; empty if it could not be opened.
    pub name: String,
    /// Its own version; empty if it could not be opened.
    pub version: String,
    /// Whether no check has failed, and none was left out for want of a configuration.
    pub passed: bool,
    /// In the order in which they were run.
    pub checks: Vec<CheckReport>,
}

impl Report {
    /// Whether these checks make a library that has passed.
    #[must_use]
    pub fn is_good(checks: &[CheckReport]) -> bool {
        let good = |check: &CheckReport| {
            matches!(
                check.verdict.outcome,
                Outcome::Passed | Outcome::NotProvoked
            )
        };
        checks.iter().all(good)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.name.is_empty() {
            write!(f, "{} {}, ", self.name, self.version)?;
        }
        writeln!(f, "{}", self.file.display())?;
        let mut of = None;
        for check in &self.checks {
            let component = (&check.kind, &check.component);
            if of != Some(component) {
                of = Some(component);
                if let (Some(kind), Some(name)) = component {
                    writeln!(f, "{kind} `{name}`")?;
                }
            }
            let Verdict { outcome, detail } = &check.verdict;
            writeln!(f, "  {:<13} {:<14} {detail}", outcome.as_str(), check.check)?;
        }
        let count = |outcome| {
            let checks = self.checks.iter();
            checks
                .filter(|check| check.verdict.outcome == outcome)
                .count()
        };
        let (failed, not_run) = (count(Outcome::Failed), count(Outcome::NotRun));
        let all = self.checks.len();
        match (failed, not_run) {
            (0, 0) => writeln!(f, "passed: {all} checks"),
            (0, not_run) => writeln!(f, "incomplete: {not_run} of {all} checks were not run"),
            (failed, 0) => writeln!(f, "failed: {failed} of {all} checks"),
            (failed, not_run) => {
                writeln!(
                    f,
                    "failed: {failed} of {all} checks, and {not_run} were not run"
                )
            }
        }
    }
}
