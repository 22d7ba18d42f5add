//! What the host counts of itself, for `/metrics`. Counters are added to once for many events, or once a run; what can be
//! looked up when somebody asks is not counted at all.
//!
//! Every metric is described in `docs/operations.md`.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The content type of [`Metrics::page`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One label and its value.
type Label = [(&'static str, &'static str); 1];

/// A failed plugin's labels: what failed, and the agent in whose run.
type Failed = [(&'static str, String); 2];

/// How a plugin fails a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginFailure {
    /// An agent could not be started.
    Start,
    /// An agent panicked, or reported a fault that nobody foresaw.
    Agent,
    /// An agent did not end although it was stopped.
    Abandoned,
    /// A mapper failed or took too long.
    Mapper,
}

impl PluginFailure {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Agent => "agent",
            Self::Abandoned => "abandoned",
            Self::Mapper => "mapper",
        }
    }
}

/// What is looked up when the page is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// Sessions that are kept in memory.
    pub sessions: usize,
    /// Bytes of all logs.
    pub log_bytes: usize,
    /// By how many events the furthest client is behind.
    pub max_lag: u64,
    /// Clients that are so far behind that they are given folded events.
    pub lagging: usize,
    /// Plugins that serve.
    pub loaded: usize,
    /// Plugins that could not be loaded.
    pub failed: usize,
}

/// Generations of plugins, by state.
pub type Generations = [(&'static str, usize)];

/// See the module.
pub struct Metrics {
    registry: Registry,
    connections: Family<Label, Gauge>,
    closes: Family<[(&'static str, u32); 1], Counter>,
    dead: Counter,
    in_progress: Gauge,
    runs: Family<Label, Counter>,
    events: Counter,
    folds: Counter,
    sent_events: Counter,
    sent_folded: Counter,
    sent_frames: Counter,
    sent_bytes: Counter,
    replays: Histogram,
    latency: Histogram,
    failures: Family<Failed, Counter>,
    sessions: Gauge,
    log_bytes: Gauge,
    max_lag: Gauge,
    lagging: Gauge,
    plugins: Family<Label, Gauge>,
    generations: Family<Label, Gauge>,
    reloads: Family<Label, Counter>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Something that is counted while it lasts.
#[derive(Debug)]
pub struct Lasting(Gauge);

impl Lasting {
    fn of(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("roundhouse"),
            connections: Family::default(),
            closes: Family::default(),
            dead: Counter::default(),
            in_progress: Gauge::default(),
            runs: Family::default(),
            events: Counter::default(),
            folds: Counter::default(),
            sent_events: Counter::default(),
            sent_folded: Counter::default(),
            sent_frames: Counter::default(),
            sent_bytes: Counter::default(),
            // 1 to 16,384 frames.
            replays: Histogram::new(exponential_buckets(1.0, 4.0, 8)),
            // 50 µs to 13 s.
            latency: Histogram::new(exponential_buckets(0.000_05, 4.0, 10)),
            failures: Family::default(),
            sessions: Gauge::default(),
            log_bytes: Gauge::default(),
            max_lag: Gauge::default(),
            lagging: Gauge::default(),
            plugins: Family::default(),
            generations: Family::default(),
            reloads: Family::default(),
        };
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let mut registry = std::mem::take(&mut self.registry);
        let r = &mut registry;
        r.register("connections", "Open connections", self.connections.clone());
        r.register(
            "closes",
            "Connections that the host closed, by close code",
            self.closes.clone(),
        );
        r.register(
            "dead_clients",
            "Connections given up since no ping was answered",
            self.dead.clone(),
        );
        r.register(
            "runs_in_progress",
            "Runs in progress",
            self.in_progress.clone(),
        );
        r.register("runs", "Runs that have ended, by status", self.runs.clone());
        r.register(
            "log_events",
            "Events that runs have emitted",
            self.events.clone(),
        );
        r.register(
            "log_folds",
            "Deltas that were folded into the record before them",
            self.folds.clone(),
        );
        r.register(
            "sent_events",
            "Events that clients were given, folded ones counted singly",
            self.sent_events.clone(),
        );
        r.register(
            "sent_folded_frames",
            "Frames for clients that had fallen behind",
            self.sent_folded.clone(),
        );
        r.register(
            "sent_frames",
            "Frames written to clients",
            self.sent_frames.clone(),
        );
        r.register(
            "sent_bytes",
            "Bytes of frames written to clients",
            self.sent_bytes.clone(),
        );
        r.register(
            "replay_frames",
            "Frames in the replay of a client that attached or resumed",
            self.replays.clone(),
        );
        r.register(
            "event_to_socket_seconds",
            "From an event's entry into the log until it is written to a client, sampled",
            self.latency.clone(),
        );
        r.register(
            "plugin_failures",
            "Runs that a plugin failed",
            self.failures.clone(),
        );
        r.register("sessions", "Sessions kept in memory", self.sessions.clone());
        r.register(
            "log_bytes",
            "Bytes that all event logs keep in memory",
            self.log_bytes.clone(),
        );
        r.register(
            "max_lag_events",
            "Events that the client furthest behind has yet to read",
            self.max_lag.clone(),
        );
        r.register(
            "lagging_clients",
            "Clients so far behind that they are given folded events",
            self.lagging.clone(),
        );
        r.register(
            "plugins",
            "Configured plugins, by state",
            self.plugins.clone(),
        );
        r.register(
            "plugin_generations",
            "Libraries that were opened since the process began, by state",
            self.generations.clone(),
        );
        r.register("reloads", "Reloads, by result", self.reloads.clone());
        self.registry = registry;
        self
    }

    /// A connection of this kind (`1`, `2` or `events`), while it lasts.
    pub fn connection(&self, version: &'static str) -> Lasting {
        Lasting::of(
            self.connections
                .get_or_create_owned(&[("version", version)]),
        )
    }

    /// A connection was closed with this code.
    pub fn closed(&self, code: u16) {
        self.closes
            .get_or_create(&[("code", u32::from(code))])
            .inc();
    }

    /// A client did not answer a ping.
    pub fn dead(&self) {
        self.dead.inc();
    }

    /// A run, while it is in progress.
    pub fn run(&self) -> Lasting {
        Lasting::of(self.in_progress.clone())
    }

    /// A run has ended with this status.
    pub fn run_ended(&self, status: &'static str) {
        self.runs.get_or_create(&[("status", status)]).inc();
    }

    /// So many events went into a log, and so many of them were folded.
    pub fn logged(&self, events: u64, folds: u64) {
        self.events.inc_by(events);
        self.folds.inc_by(folds);
    }

    /// A client was given so many events, of them so many frames folded since it had fallen behind.
    pub fn read(&self, events: u64, folded_frames: u64) {
        self.sent_events.inc_by(events);
        if folded_frames > 0 {
            self.sent_folded.inc_by(folded_frames);
        }
    }

    /// So much was written to a client.
    pub fn sent(&self, frames: u64, bytes: u64) {
        self.sent_frames.inc_by(frames);
        self.sent_bytes.inc_by(bytes);
    }

    /// A client that came was given a replay of so many frames.
    pub fn replayed(&self, frames: usize) {
        self.replays.observe(frames as f64);
    }

    /// A sampled event took so long to be written.
    pub fn delivered(&self, after: Duration) {
        self.latency.observe(after.as_secs_f64());
    }

    /// A plugin failed a run of this agent.
    pub fn plugin_failed(&self, failure: PluginFailure, agent: &str) {
        let labels = [
            ("kind", failure.as_str().to_owned()),
            ("agent", agent.to_owned()),
        ];
        self.failures.get_or_create(&labels).inc();
    }

    /// The host read its configuration and plugins again, and put them in force or refused to.
    pub fn reloaded(&self, in_force: bool) {
        let result = if in_force { "ok" } else { "refused" };
        self.reloads.get_or_create(&[("result", result)]).inc();
    }

    /// All metrics as text, in the OpenMetrics format that Prometheus reads.
    pub fn page(&self, now: &Now, generations: &Generations) -> String {
        let set = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.sessions, now.sessions as u64);
        set(&self.log_bytes, now.log_bytes as u64);
        set(&self.max_lag, now.max_lag);
        set(&self.lagging, now.lagging as u64);
        for (state, count) in [("loaded", now.loaded), ("failed", now.failed)] {
            set(
                &self.plugins.get_or_create(&[("state", state)]),
                count as u64,
            );
        }
        for (state, count) in generations {
            let gauge = self.generations.get_or_create_owned(&[("state", state)]);
            set(&gauge, *count as u64);
        }
        let mut page = String::new();
        // A string takes all that is written to it.
        let _ = encode(&mut page, &self.registry);
        page
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_page_and_the_documented_list_agree() {
        let metrics = Metrics::default();
        // A family is on the page once it has a member.
        let _connection = metrics.connection("1");
        metrics.closed(4008);
        metrics.run_ended("lost");
        metrics.plugin_failed(PluginFailure::Mapper, "echo");
        metrics.reloaded(true);
        let page = metrics.page(&Now::default(), &[("serving", 1)]);
        let on_page: BTreeSet<_> = page
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
            .collect();
        let docs = include_str!("../../docs/operations.md");
        let documented: BTreeSet<_> = docs
            .lines()
            .filter_map(|line| {
                let mut cells = line.strip_prefix("| `roundhouse_")?.split(" | ");
                let (name, kind) = (cells.next()?, cells.next()?);
                Some((name.strip_suffix('`')?, kind))
            })
            .collect();
        let on_page: BTreeSet<_> = on_page
            .iter()
            .filter_map(|(name, kind)| Some((name.strip_prefix("roundhouse_")?, *kind)))
            .collect();
        assert!(on_page.len() > 10, "{page}");
        assert_eq!(on_page, documented);
    }
}
