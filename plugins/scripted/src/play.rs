//! Taking the steps of a script.

use std::pin::pin;
use std::time::Duration;

use plugin_api::tokio::{self, time::Instant};
use plugin_api::tracing::{debug, error, info, trace, warn};
use plugin_api::{EmitError, Event, Outcome, RunError, ServiceError};

use crate::answer::Answer;
use crate::script::{Level, Script, Step};
use crate::stage::Stage;
use crate::template::Template;

/// The most bytes of one delta that is not the script's own; longer text is sent in pieces. Far below what a
/// host lets through in one event.
const MAX_DELTA_BYTES: usize = 64 * 1024;

/// Longer than anybody will wait, and no more than a clock can tell.
const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// How a run ends that does not fail.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct End {
    pub(crate) stopped: bool,
    pub(crate) content: String,
    pub(crate) context_tokens: u64,
    pub(crate) max_context_tokens: u64,
    pub(crate) token_count: u64,
}

impl From<End> for Outcome {
    fn from(end: End) -> Self {
        let outcome = if end.stopped {
            Self::stopped(end.content)
        } else {
            Self::finished(end.content)
        };
        outcome
            .context_tokens(end.context_tokens)
            .max_context_tokens(end.max_context_tokens)
            .token_count(end.token_count)
    }
}

/// Why no more steps are taken.
enum Halt {
    /// The script ended the run.
    Ended(End),
    Stopped,
    /// The step could not be taken.
    Problem(String),
    /// The script failed the run.
    Raised(RunError),
}

impl From<RunError> for Halt {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Stopped => Self::Stopped,
            other => Self::Problem(other.to_string()),
        }
    }
}

impl From<ServiceError> for Halt {
    fn from(error: ServiceError) -> Self {
        RunError::from(error).into()
    }
}

/// Plays a script, or echoes.
pub(crate) struct Player<'a, S> {
    stage: &'a S,
    answer: Answer,
}

impl<'a, S: Stage> Player<'a, S> {
    pub(crate) fn new(stage: &'a S) -> Self {
        Self {
            stage,
            answer: Answer::default(),
        }
    }

    /// Streams a text word by word.
    pub(crate) async fn echo_words(&mut self, text: &str) -> Result<End, RunError> {
        for word in text.split_whitespace() {
            if self.stage.is_stopped() {
                return Ok(self.stopped());
            }
            if let Err(halt) = self.stream(&format!("{word} ")).await {
                return self.halted(halt, "echo");
            }
        }
        Ok(End {
            content: text.to_owned(),
            token_count: self.answer.words(),
            ..End::default()
        })
    }

    /// Takes the steps one after the other. After the last one the run finishes with what was streamed.
    pub(crate) async fn play(&mut self, script: Script) -> Result<End, RunError> {
        for (index, step) in script.steps.into_iter().enumerate() {
            let kind = step.kind();
            if let Err(halt) = self.take(step).await {
                return self.halted(halt, &format!("script, step {} ({kind})", index + 1));
            }
        }
        Ok(End {
            content: self.answer.text().to_owned(),
            token_count: self.answer.words(),
            ..End::default()
        })
    }

    fn halted(&self, halt: Halt, place: &str) -> Result<End, RunError> {
        match halt {
            Halt::Ended(end) => Ok(end),
            Halt::Stopped => Ok(self.stopped()),
            Halt::Problem(problem) => Err(RunError::agent(format_args!("{place}: {problem}"))),
            Halt::Raised(error) => Err(error),
        }
    }

    fn stopped(&self) -> End {
        End {
            stopped: true,
            content: self.answer.text().to_owned(),
            token_count: self.answer.words(),
            ..End::default()
        }
    }

    async fn take(&mut self, step: Step) -> Result<(), Halt> {
        match step {
            Step::Emit(event) => self.emit(&event).await?,
            Step::Repeat { times, event } => self.repeat(times, &event).await?,
            Step::Paced { times, wait, event } => self.paced(times, wait, &event).await?,
            // A `wait_stop` hopes for the stop, a `sleep` does not; both end when it comes.
            Step::Sleep(time) | Step::WaitStop(time) => {
                if self.stopped_within(time).await {
                    return Err(Halt::Stopped);
                }
            }
            Step::IgnoreStop(time) => tokio::time::sleep(time).await,
            Step::Echo(what) => {
                let text = self.stage.received(what).await?;
                self.stream(&text).await?;
            }
            Step::Tool { name, args } => tokio::select! {
                biased;
                () = self.stage.stopped() => return Err(Halt::Stopped),
                called = self.stage.call_tool(&name, args) => called?,
            },
            // Not given up at a stop: the host stops the subagent, which then answers.
            Step::Subagent { agent, content } => {
                if self.stage.run_agent(&agent, content).await? || self.stage.is_stopped() {
                    return Err(Halt::Stopped);
                }
            }
            Step::Log(level, text) => log(level, &text),
            Step::Raise(error) => return Err(Halt::Raised(error)),
            Step::Panic(text) => panic!("{text}"),
        }
        Ok(())
    }

    async fn repeat(&mut self, times: u64, event: &Template) -> Result<(), Halt> {
        for index in 0..times {
            if self.stage.is_stopped() {
                return Err(Halt::Stopped);
            }
            self.emit(&event.event(index)).await?;
        }
        Ok(())
    }

    async fn paced(&mut self, times: u64, wait: Duration, event: &Template) -> Result<(), Halt> {
        let mut due = Instant::now();
        // Made once, for there may be thousands of runs that do nothing else.
        let mut stopped = pin!(self.stage.stopped());
        let mut timer = pin!(tokio::time::sleep_until(due));
        for index in 0..times {
            // From when the one before was due, not from when it was shown: what is late is made up for, so
            // that the rate is the script's.
            due = match due.checked_add(wait) {
                Some(next) => next,
                // For ever, as far as a clock goes.
                None => Instant::now() + FOR_EVER,
            };
            timer.as_mut().reset(due);
            tokio::select! {
                biased;
                () = &mut stopped => return Err(Halt::Stopped),
                () = &mut timer => {}
            }
            self.emit(&event.event(index)).await?;
        }
        Ok(())
    }

    /// Shows an event. A `stream_end`, which no agent can emit, is the end that it describes.
    ///
    /// The event is handed over at once and not kept in the future: it is large, and millions may be emitted.
    fn emit(&mut self, event: &Event) -> impl Future<Output = Result<(), Halt>> {
        let shown = match self.note(event) {
            Ok(()) => Ok(self.stage.emit(event)),
            Err(halt) => Err(halt),
        };
        async move {
            shown?.await.map_err(|error| match error {
                EmitError::Stopped => Halt::Stopped,
                refused => Halt::Problem(refused.to_string()),
            })
        }
    }

    /// Keeps what belongs to the answer.
    fn note(&mut self, event: &Event) -> Result<(), Halt> {
        match event {
            Event::StreamDelta(event) => self.answer.push(&event.delta),
            Event::StreamEnd(end) => {
                return Err(Halt::Ended(End {
                    stopped: false,
                    content: end.content.clone(),
                    context_tokens: end.context_tokens,
                    max_context_tokens: end.max_context_tokens,
                    token_count: end.token_count,
                }));
            }
            _ => {}
        }
        Ok(())
    }

    /// Streams a text, in pieces if it is long.
    async fn stream(&mut self, mut text: &str) -> Result<(), Halt> {
        while !text.is_empty() {
            let (piece, rest) = text.split_at(text.floor_char_boundary(MAX_DELTA_BYTES));
            self.emit(&Event::stream_delta(piece)).await?;
            text = rest;
        }
        Ok(())
    }

    /// Waits for a stop, but not longer than this. Whether there was one.
    async fn stopped_within(&self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stage.stopped() => true,
            () = tokio::time::sleep(time) => false,
        }
    }
}

fn log(level: Level, text: &str) {
    match level {
        Level::Error => error!("{text}"),
        Level::Warn => warn!("{text}"),
        Level::Info => info!("{text}"),
        Level::Debug => debug!("{text}"),
        Level::Trace => trace!("{text}"),
    }
}

#[cfg(test)]
mod tests;
