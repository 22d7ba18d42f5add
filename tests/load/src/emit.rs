//! Row 7: an event from the agent's `emit` into the log, in this very process: no socket, no session, no driver.
//!
//! Prints two figures in nanoseconds an event: with nobody watching, and with a watcher, for whom every event is
//! encoded. The argument is the number of rounds, of which it is the medians.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use plugin_api::wire::RunParams;
use roundhouse_host::config::Config;
use roundhouse_host::plugin::{Answer, Catalog, EventRef, RunEnd, RunHost, ServiceFailure, Sink};
use roundhouse_host::protocol::frames::Frames;
use roundhouse_host::run::control::RunControl;
use roundhouse_host::run::live::LiveRun;
use roundhouse_host::run::log::{EventLog, LogLimits};
use roundhouse_host::run::{Cursor, LogBudget, Progress, RunSettings};
use roundhouse_host::session::{Epoch, RunId};
use serde_json::json;
use tokio::sync::Notify;

/// As the host of the other rows.
const CONFIG: &str = include_str!("../load.toml");

const EVENTS: u64 = 2_000_000;

/// The host's side of a run, as `run/scope.rs` has it, without services.
struct Scope {
    live: LiveRun,
    slow: Notify,
}

impl RunHost for Scope {
    fn emit(&self, event: EventRef<'_>) -> Answer {
        if !self.live.has_room_for(&event) {
            return Answer::TooLarge;
        }
        self.live.emit(event, None, &self.slow)
    }

    fn request(&self, _: u64, _: &str, _: &str, sink: Sink) {
        sink.done(Err(ServiceFailure::Unsupported));
    }

    fn cancel(&self, _: u64) {}

    fn image(&self, _: u64) -> Option<Arc<[u8]>> {
        None
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let rounds = std::env::args().nth(1).context("how many rounds?")?;
    let folder = tempfile::tempdir()?;
    let config = Config::from_toml(CONFIG, folder.path()).map_err(|faults| anyhow!("{faults}"))?;
    let catalog = roundhouse_host::plugin::load(&config).await?;
    let (mut alone, mut watched) = (Vec::new(), Vec::new());
    for _ in 0..rounds.parse()? {
        alone.push(round(&config, &catalog, false).await?);
        watched.push(round(&config, &catalog, true).await?);
    }
    catalog.shutdown(Duration::from_secs(5)).await;
    println!("{} {}", median(alone), median(watched));
    Ok(())
}

fn median(mut rounds: Vec<Duration>) -> f64 {
    rounds.sort();
    rounds[rounds.len() / 2].as_nanos() as f64 / EVENTS as f64
}

/// How long a run of the agent takes that only emits. With a watcher, every event is encoded; nobody reads them, so
/// that it is the emitting alone that is measured, and the window's oldest frames make room for new ones.
async fn round(config: &Config, catalog: &Catalog, watched: bool) -> Result<Duration> {
    let mut settings = RunSettings::of(config);
    // Nobody is waited for.
    settings.slow_wait = Duration::ZERO;
    let limits = LogLimits {
        records: settings.replay_records,
        record_bytes: settings.replay_bytes,
        window_bytes: settings.window_bytes,
        history_bytes: settings.history_bytes,
    };
    let budget = Arc::new(LogBudget::new(config.limits.log_bytes));
    let log = Arc::new(EventLog::new(limits, budget, Epoch::random(), 0));
    let run = RunId::new();
    let (span, mut cursor) = Cursor::begin(&log, run, 0);
    if cursor.read(&mut Frames::default())? != Progress::CaughtUp {
        bail!("a log that has just begun has more than its beginning");
    }
    let cursor = watched.then_some(cursor);
    let control = Arc::new(RunControl::new(run));
    let live = LiveRun::new(control, Arc::clone(&log), span, Arc::new(settings), None);
    let scope = Arc::new(Scope {
        live,
        slow: Notify::new(),
    });
    let script = json!([{"repeat": [EVENTS, {"kind": "stream_delta", "delta": "token "}]}]);
    let mut params = RunParams::default();
    params.user_text = format!("script:{script}");
    let agent = catalog.agent("scripted").context("no agent")?;
    let begun = Instant::now();
    let mut handle = agent.start(&params, Arc::clone(&scope) as _).await?;
    let end = handle.finished().await;
    let took = begun.elapsed();
    drop(cursor);
    match end {
        RunEnd::Finished(outcome) if outcome.token_count == EVENTS => {}
        other => bail!("the run ended otherwise: {other:?}"),
    }
    if log.last_seq() != EVENTS + 1 {
        bail!("{} of {EVENTS} events are in the log", log.last_seq());
    }
    Ok(took)
}
