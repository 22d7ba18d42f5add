//! How a run ends: from what the agent said to the last frame and what is saved.

use std::time::Duration;

use plugin_api::wire::OutcomeData;

use super::log::Closed;
use super::stored;
use plugin_api::abi::import::FailureKind;

use crate::plugin::RunEnd;
use crate::protocol::{ErrorCode, RunEvent, RunFailure, StreamEnd, errors};
use crate::session::{
    self, FinishRun, Outcome, ProfileSwitch, RunId, RunStatus, StatePut, TwoForms,
};

/// What a run came to.
#[derive(Debug)]
pub(super) struct Ending {
    status: RunStatus,
    outcome: OutcomeData,
    failure: Option<(ErrorCode, String)>,
}

/// The last events of a run that the host itself broke off.
pub(super) fn broken_off(run: RunId, message: &str) -> impl Iterator<Item = RunEvent> {
    let numbers = Numbers {
        run,
        elapsed_seconds: 0.0,
        tool_call_count: 0,
        ended_at_ms: 0,
    };
    let ending = Ending::failed(ErrorCode::Internal, message.to_owned());
    let last = ending.last_event(&numbers);
    std::iter::once(last).chain(ending.after_last(&numbers))
}

/// What the host itself knows of a run at its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    /// The run.
    pub run: RunId,
    /// From the run's begin, by a clock that does not jump.
    pub elapsed_seconds: f64,
    /// Tool calls in the run.
    pub tool_call_count: u64,
    /// Unix milliseconds.
    pub ended_at_ms: u64,
}

/// What a run's agents leave in the session.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub state: Vec<StatePut>,
    pub profile: Option<ProfileSwitch>,
}

/// The most of a failure's text that is sent and stored, in bytes. What people read is far shorter; a library may say
/// anything.
const FAILURE_BYTES: usize = 8 * 1024;

/// What ends a text of which only the beginning is shown.
const CUT: &str = " […]";

/// As much of a failure's text as is shown.
fn shown(mut text: String) -> String {
    if text.len() > FAILURE_BYTES {
        text.truncate(text.floor_char_boundary(FAILURE_BYTES - CUT.len()));
        text.push_str(CUT);
    }
    text
}

/// Why an outcome is not taken: its content or its data has more bytes than a saved turn may.
pub(super) fn too_large(outcome: &OutcomeData, limit: usize) -> Option<String> {
    let data = outcome.data.as_ref().map(|data| data.to_string().len());
    let parts = [
        ("content", outcome.content.len()),
        ("data", data.unwrap_or(0)),
    ];
    let (part, bytes) = parts.into_iter().find(|(_, bytes)| *bytes > limit)?;
    Some(format!(
        "the outcome's {part} has {bytes} bytes, and limits.history_bytes allows {limit}"
    ))
}

impl Ending {
    /// What the agent's own word means. Its outcome may have `limit` bytes of content, and as many of data.
    pub(super) fn of(end: RunEnd, limit: usize) -> Self {
        match end {
            RunEnd::Finished(outcome) | RunEnd::Stopped(outcome)
                if let Some(text) = too_large(&outcome, limit) =>
            {
                Self::internal(text)
            }
            RunEnd::Finished(outcome) => Self {
                status: RunStatus::Completed,
                outcome,
                failure: None,
            },
            RunEnd::Stopped(outcome) => Self {
                status: RunStatus::Stopped,
                outcome,
                failure: None,
            },
            RunEnd::Failed { kind, text } => Self::of_failure(kind, text),
        }
    }

    fn of_failure(kind: FailureKind, text: String) -> Self {
        let text = shown(text);
        match kind {
            FailureKind::SessionNotFound => Self::session_not_found(),
            FailureKind::MaxIterations => Self::failed(ErrorCode::MaxIterations, text),
            FailureKind::Agent => Self::failed(ErrorCode::Agent, text),
            _ => Self::internal(text),
        }
    }

    /// The run was stopped without a word of the agent.
    pub(super) fn stopped() -> Self {
        Self {
            status: RunStatus::Stopped,
            outcome: OutcomeData::default(),
            failure: None,
        }
    }

    /// The run failed; clients get `message` as it is.
    pub(super) fn failed(code: ErrorCode, message: String) -> Self {
        Self {
            status: RunStatus::Error,
            outcome: OutcomeData::default(),
            failure: Some((code, message)),
        }
    }

    /// Whether it is a fault that nobody foresaw.
    pub(super) fn is_unforeseen(&self) -> bool {
        matches!(self.failure, Some((ErrorCode::Internal, _)))
    }

    /// A fault that nobody foresaw.
    pub(super) fn internal(text: impl AsRef<str>) -> Self {
        Self::failed(ErrorCode::Internal, errors::internal(text.as_ref()))
    }

    /// The session is gone.
    pub(super) fn session_not_found() -> Self {
        Self::failed(
            ErrorCode::SessionNotFound,
            errors::SESSION_NOT_FOUND.to_owned(),
        )
    }

    /// The outcome could not be saved.
    pub(super) fn not_saved() -> Self {
        Self::failed(ErrorCode::Internal, errors::NOT_SAVED.to_owned())
    }

    /// The run took longer than a run may.
    pub(super) fn timed_out(limit: Duration) -> Self {
        Self::failed(ErrorCode::RunTimeout, errors::run_timeout(limit.as_secs()))
    }

    /// Has what was streamed saved as the answer, not what the agent says that it is: the mappers have seen the
    /// one and not the other.
    pub(super) fn keep_what_was_streamed(&mut self) {
        self.outcome.content.clear();
    }

    /// The run's last event.
    pub(super) fn last_event(&self, numbers: &Numbers) -> RunEvent {
        match (&self.failure, self.status) {
            (Some((code, message)), _) => RunEvent::Error(RunFailure {
                message: message.clone(),
                code: *code,
                run_id: numbers.run,
            }),
            (None, RunStatus::Stopped) => RunEvent::StreamStopped,
            (None, _) => {
                RunEvent::StreamEnd(self.stream_end(self.outcome.content.clone(), numbers))
            }
        }
    }

    /// The `stream_end` of version 2 that follows the run's last event, if that is another.
    pub(super) fn after_last(&self, numbers: &Numbers) -> Option<RunEvent> {
        (self.status != RunStatus::Completed)
            .then(|| RunEvent::StreamEnd(self.stream_end(String::new(), numbers)))
    }

    fn stream_end(&self, content: String, numbers: &Numbers) -> StreamEnd {
        StreamEnd {
            content,
            context_tokens: self.outcome.context_tokens,
            max_context_tokens: self.outcome.max_context_tokens,
            elapsed_seconds: numbers.elapsed_seconds,
            tool_call_count: numbers.tool_call_count,
            token_count: self.outcome.token_count,
            status: self.status,
        }
    }

    /// What is saved; `last` is the run's last event as it is, `sent` as clients get it.
    pub(super) fn into_finish(
        self,
        numbers: &Numbers,
        last: &RunEvent,
        sent: &RunEvent,
        rest: Closed,
        kept: Kept,
        last_seq: u64,
    ) -> FinishRun {
        let mapped = |own: &str, text: Option<&str>| TwoForms {
            emitted: own.to_owned(),
            sent: text.filter(|text| *text != own).map(str::to_owned),
        };
        let content = match sent {
            RunEvent::StreamEnd(end) => Some(mapped(&self.outcome.content, Some(&end.content))),
            // What was streamed is the answer then, unless the agent says what it is.
            _ if self.outcome.content.is_empty() => None,
            _ => Some(mapped(&self.outcome.content, None)),
        };
        let failure = match (last, sent) {
            (RunEvent::Error(own), RunEvent::Error(sent)) => Some(session::RunFailure {
                code: own.code.as_str().to_owned(),
                text: mapped(&own.message, Some(&sent.message)),
            }),
            _ => None,
        };
        FinishRun {
            run: numbers.run,
            status: self.status,
            ended_at_ms: numbers.ended_at_ms,
            content,
            outcome: Outcome {
                context_tokens: self.outcome.context_tokens,
                max_context_tokens: self.outcome.max_context_tokens,
                token_count: self.outcome.token_count,
                tool_call_count: numbers.tool_call_count,
                elapsed_seconds: numbers.elapsed_seconds,
            },
            failure,
            data: self.outcome.data,
            truncated: rest.cut,
            records: stored::records(&rest),
            state: kept.state,
            profile: kept.profile,
            last_seq,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str, kind: FailureKind) -> String {
        let end = RunEnd::Failed {
            kind,
            text: text.to_owned(),
        };
        Ending::of(end, 1000).failure.unwrap().1
    }

    #[test]
    fn the_text_of_a_failure_is_as_long_as_a_client_can_bear() {
        let kinds = [
            FailureKind::Agent,
            FailureKind::MaxIterations,
            FailureKind::Internal,
        ];
        for kind in kinds {
            let long = message(&"ä".repeat(1 << 20), kind);
            assert!(
                long.len() < 10_000 && long.ends_with(" […]"),
                "{}",
                long.len()
            );
            assert!(message("short", kind).ends_with("short"));
        }
    }
}
