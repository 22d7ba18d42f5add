//! Row 3: many sessions at the rate of a model, each with a client.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::{Bench, Both, Meter, PATIENCE, delta, message, wait_for};
use crate::client::{Client, Http, socket};
use crate::frames;
use crate::process::Server;
use crate::report::{Figure, Row, Target, quantile};

const WORK: &str = "1,000 sessions, each 50 events/s";

const SESSIONS: usize = 1000;

/// Events a second in a session.
const RATE: u32 = 50;

/// How long what is measured goes on, after all have begun.
const MEASURED: Duration = Duration::from_secs(6);

/// How long it goes on before, for all to begin.
const BEGIN: Duration = Duration::from_secs(2);

/// How long it goes on afterwards.
const REST: Duration = Duration::from_secs(1);

/// Digits of a moment in Unix nanoseconds.
const DIGITS: usize = 19;

struct Sample {
    /// Deliveries a second in the time that was measured.
    rate: f64,
    cpu: Duration,
    driver: Duration,
    /// In that time.
    events: u64,
    /// In all.
    frames: u64,
    p50: f64,
    p99: f64,
}

pub(super) async fn measure(bench: &Bench) -> Result<Row> {
    measure_on(bench, bench.both()?, WORK).await
}

/// The row of these two.
pub(super) async fn measure_on(bench: &Bench, both: Both, work: &'static str) -> Result<Row> {
    let mut http = Http::connect(both.host.address).await?;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(http.session().await?);
    }
    let mut usage = both.usage(work)?;
    let mut floor_cpu = Duration::ZERO;
    let (mut rates, mut costs, mut latencies, mut medians) = (vec![], vec![], vec![], vec![]);
    for _ in 0..bench.rounds(3) {
        let mut clients = Vec::new();
        for _ in 0..SESSIONS {
            clients.push(Client::connect(both.floor.address, "/ws/paced").await?);
        }
        let micros = 1_000_000 / RATE;
        let floor = round(&both.floor, clients, &format!("{} {micros}", events())).await?;
        let mut clients = Vec::new();
        for session in &sessions {
            let mut client = Client::connect(both.host.address, &socket(session)).await?;
            wait_for(&mut client, "session_sync").await?;
            clients.push(client);
        }
        let pause = 1.0 / f64::from(RATE);
        let script = message(&json!([{"paced": [events(), pause, delta("{t}")]}]));
        let host = round(&both.host, clients, &script).await?;
        let each = |sample: &Sample| sample.cpu.as_secs_f64() * 1e6 / sample.events as f64;
        rates.push((host.rate, floor.rate));
        costs.push((each(&host), each(&floor)));
        latencies.push((host.p99 / 1e6, floor.p99 / 1e6));
        medians.push((host.p50 / 1e6, floor.p50 / 1e6));
        usage.events += SESSIONS as u64 * u64::from(events());
        usage.frames += host.frames;
        usage.host_cpu += host.cpu;
        usage.driver_cpu += host.driver;
        floor_cpu += floor.cpu;
    }
    usage.floor_cpu = Some(floor_cpu);
    let peaks = both.usage(work)?;
    (usage.host_peak, usage.floor_peak) = (peaks.host_peak, peaks.floor_peak);
    let all = f64::from(RATE) * SESSIONS as f64;
    Ok(Row {
        figures: vec![
            // The rate is a clock's; a hundredth is what the edges of the time that is measured are worth.
            Figure::of_rounds(work, "deliveries/s", &rates, Target::AtLeast(all * 0.99)),
            Figure::of_rounds(work, "CPU µs a delivery", &costs, Target::RatioAtMost(1.3)),
            Figure::of_rounds(work, "p99 ms", &latencies, Target::RatioAtMost(1.5)),
            Figure::of_rounds(work, "median ms", &medians, Target::None),
        ],
        usage: vec![usage],
        faults: Vec::new(),
    })
}

fn events() -> u32 {
    RATE * (BEGIN + MEASURED + REST).as_secs() as u32
}

#[derive(Default)]
struct Watch {
    begun: Cell<usize>,
    finished: RefCell<Vec<Client>>,
    measuring: Cell<bool>,
    /// Nanoseconds, while it is measured.
    latencies: RefCell<Vec<f64>>,
    frames: Cell<u64>,
    failed: RefCell<Option<anyhow::Error>>,
    changed: Notify,
}

impl Watch {
    async fn follow(&self, mut client: Client) -> Result<()> {
        let (mut received, mut wrong, mut latest) = (0, false, 0);
        while received < events() {
            let begun = received > 0;
            let mut now = None;
            client
                .read(|frame| {
                    let is_end = frames::is(frame, "stream_end");
                    wrong |= frames::is(frame, "error") || (is_end && received < events());
                    let Some(text) = frames::text_of(frame) else {
                        return;
                    };
                    let now = *now.get_or_insert_with(unix_nanos);
                    self.frames.set(self.frames.get() + 1);
                    let moments = text.chunks_exact(DIGITS);
                    wrong |= !moments.remainder().is_empty();
                    for moment in moments {
                        received += 1;
                        let Some(emitted) = number(moment) else {
                            wrong = true;
                            continue;
                        };
                        wrong |= emitted < latest;
                        latest = emitted;
                        if self.measuring.get() {
                            let late = now.saturating_sub(emitted) as f64;
                            self.latencies.borrow_mut().push(late);
                        }
                    }
                })
                .await?;
            if wrong {
                bail!(
                    "after {received} of {} events something else came",
                    events()
                );
            }
            if !begun && received > 0 {
                self.begun.set(self.begun.get() + 1);
                self.changed.notify_one();
            }
        }
        self.finished.borrow_mut().push(client);
        self.changed.notify_one();
        Ok(())
    }

    async fn until(&self, what: &str, reached: impl Fn(&Self) -> bool) -> Result<()> {
        let waiting = async {
            while !reached(self) {
                if let Some(error) = self.failed.borrow_mut().take() {
                    return Err(error);
                }
                self.changed.notified().await;
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .with_context(|| format!("not all clients have {what}"))?
    }
}

async fn round(server: &Server, clients: Vec<Client>, ask: &str) -> Result<Sample> {
    let watch = Rc::new(Watch::default());
    let all = clients.len();
    for mut client in clients {
        client.send(ask).await?;
        let watch = Rc::clone(&watch);
        spawn_local(async move {
            if let Err(error) = watch.follow(client).await {
                watch.failed.borrow_mut().get_or_insert(error);
                watch.changed.notify_one();
            }
        });
    }
    watch
        .until("begun", |watch| watch.begun.get() == all)
        .await?;
    if !watch.finished.borrow().is_empty() {
        bail!("the first sessions had ended before the last one began");
    }
    let meter = Meter::start(server)?;
    watch.measuring.set(true);
    let from = Instant::now();
    tokio::time::sleep(MEASURED).await;
    let took = from.elapsed();
    watch.measuring.set(false);
    let (cpu, driver) = meter.stop()?;
    if !watch.finished.borrow().is_empty() {
        bail!("the first sessions had ended before all was measured");
    }
    watch
        .until("every event", |watch| watch.finished.borrow().len() == all)
        .await?;
    let mut latencies = watch.latencies.take();
    Ok(Sample {
        rate: latencies.len() as f64 / took.as_secs_f64(),
        cpu,
        driver,
        events: latencies.len() as u64,
        frames: watch.frames.get(),
        p50: quantile(&mut latencies, 0.5),
        p99: quantile(&mut latencies, 0.99),
    })
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
