//! Rows 1 and 2: one run as fast as it goes, to one client and to many.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::{Bench, Meter, PATIENCE, delta, idle_client, message, wait_for};
use crate::client::{Client, Http, socket};
use crate::frames::{self, Counts, TEXT};
use crate::process::Server;
use crate::report::{Figure, Row, Target};

/// How long the agent of a host waits until all clients are there.
const GATHER: f64 = 2.0;

/// One client, 500,000 events.
pub(super) async fn single(bench: &Bench) -> Result<Row> {
    let work = "1 session, 1 client, 500,000 events";
    let (mut row, folded) = measure(bench, work, 1, 500_000, 7).await?;
    row.figures.truncate(1);
    if let Some(throughput) = row.figures.first_mut() {
        throughput.target = Target::RatioAtLeast(0.7);
        if folded > 0 {
            throughput.void = Some(format!("{folded} events came folded"));
        }
    }
    Ok(row)
}

/// 500 clients, 2,000 events.
pub(super) async fn fanout(bench: &Bench) -> Result<Row> {
    let work = "1 run, 500 clients, 2,000 events";
    Ok(measure(bench, work, 500, 2_000, 7).await?.0)
}

/// What one round has come to.
pub(super) struct Sample {
    /// From the first delta that any client got to the last one.
    pub(super) took: Duration,
    pub(super) cpu: Duration,
    pub(super) driver: Duration,
    pub(super) events: u64,
    pub(super) frames: u64,
}

/// The row, and how many events came folded from the host.
async fn measure(
    bench: &Bench,
    work: &'static str,
    clients: usize,
    events: u64,
    rounds: u32,
) -> Result<(Row, u64)> {
    let both = bench.both()?;
    let (mut throughput, mut cost) = (Vec::new(), Vec::new());
    let mut usage = both.usage(work)?;
    let mut floor_cpu = Duration::ZERO;
    for round in 0..=bench.rounds(rounds) {
        let floor = from_floor(&both.floor, clients, events).await?;
        let host = from_host(&both.host, clients, events).await?;
        if round == 0 {
            // It warms both up.
            continue;
        }
        let rate = |sample: &Sample| sample.events as f64 / sample.took.as_secs_f64();
        let each = |sample: &Sample| sample.cpu.as_nanos() as f64 / sample.events as f64;
        throughput.push((rate(&host), rate(&floor)));
        cost.push((each(&host), each(&floor)));
        usage.events += host.events;
        usage.frames += host.frames;
        usage.host_cpu += host.cpu;
        usage.driver_cpu += host.driver;
        floor_cpu += floor.cpu;
    }
    usage.floor_cpu = Some(floor_cpu);
    let peaks = both.usage(work)?;
    (usage.host_peak, usage.floor_peak) = (peaks.host_peak, peaks.floor_peak);
    let folded = usage.events - usage.frames;
    let row = Row {
        figures: vec![
            Figure::of_rounds(work, "deliveries/s", &throughput, Target::RatioAtLeast(0.9)),
            Figure::of_rounds(work, "CPU ns a delivery", &cost, Target::RatioAtMost(1.2)),
        ],
        usage: vec![usage],
        faults: Vec::new(),
    };
    Ok((row, folded))
}

/// The clients of one round, all reading.
#[derive(Default)]
struct Crowd {
    attached: Cell<usize>,
    first: Cell<Option<Instant>>,
    last: Cell<Option<Instant>>,
    /// Those that have everything; open until all have, for closing is not what is measured.
    finished: RefCell<Vec<Client>>,
    counts: RefCell<Vec<Counts>>,
    failed: RefCell<Option<anyhow::Error>>,
    changed: Notify,
}

impl Crowd {
    /// Reads until `events` deltas have come, and the run's end if there is to be one.
    async fn follow(&self, mut client: Client, events: u64, ends: bool) -> Result<()> {
        let mut counts = Counts::default();
        let mut attached = false;
        while counts.events < events || (ends && !counts.ended) {
            let before = counts.events;
            client
                .read(|frame| {
                    counts.add(frame);
                    attached |= frames::is(frame, "stream_start");
                })
                .await?;
            if std::mem::take(&mut attached) {
                self.attached.set(self.attached.get() + 1);
                self.changed.notify_one();
            }
            if counts.events > before {
                let now = Instant::now();
                self.first.set(self.first.get().or(Some(now)));
                self.last.set(Some(now));
            }
            if counts.wrong || (counts.ended && counts.events < events) {
                bail!(
                    "after {} of {events} events something else came",
                    counts.events
                );
            }
        }
        self.counts.borrow_mut().push(counts);
        self.finished.borrow_mut().push(client);
        self.changed.notify_one();
        Ok(())
    }

    fn spawn(self: &Rc<Self>, client: Client, events: u64, ends: bool) {
        let crowd = Rc::clone(self);
        spawn_local(async move {
            if let Err(error) = crowd.follow(client, events, ends).await {
                crowd.failed.borrow_mut().get_or_insert(error);
                crowd.changed.notify_one();
            }
        });
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

    /// Waits for all of them to have everything.
    async fn sample(&self, meter: Meter<'_>, clients: usize) -> Result<Sample> {
        self.until("every event", |crowd| {
            crowd.finished.borrow().len() == clients
        })
        .await?;
        let (cpu, driver) = meter.stop()?;
        let first = self.first.get().context("no event came")?;
        let last = self.last.get().context("no event came")?;
        let counts = self.counts.borrow();
        Ok(Sample {
            took: last - first,
            cpu,
            driver,
            events: counts.iter().map(|counts| counts.events).sum(),
            frames: counts.iter().map(|counts| counts.frames).sum(),
        })
    }
}

async fn from_floor(floor: &Server, clients: usize, events: u64) -> Result<Sample> {
    let crowd = Rc::new(Crowd::default());
    for _ in 0..clients {
        let client = Client::connect(floor.address, "/ws/burst").await?;
        crowd.spawn(client, events, false);
    }
    crowd
        .until("begun", |crowd| crowd.attached.get() == clients)
        .await?;
    let mut http = Http::connect(floor.address).await?;
    let meter = Meter::start(floor)?;
    http.request("GET", &format!("/go/{events}")).await?;
    crowd.sample(meter, clients).await
}

pub(super) async fn from_host(host: &Server, clients: usize, events: u64) -> Result<Sample> {
    let (session, mut first) = idle_client(host).await?;
    let crowd = Rc::new(Crowd::default());
    let repeat = json!({"repeat": [events, delta(TEXT)]});
    if clients == 1 {
        let meter = Meter::start(host)?;
        first.send(&message(&json!([repeat]))).await?;
        crowd.spawn(first, events, true);
        return crowd.sample(meter, clients).await;
    }
    first
        .send(&message(&json!([{"sleep": GATHER}, repeat])))
        .await?;
    wait_for(&mut first, "stream_start").await?;
    crowd.spawn(first, events, true);
    crowd.attached.set(1);
    for _ in 1..clients {
        let client = Client::connect(host.address, &socket(&session)).await?;
        crowd.spawn(client, events, true);
    }
    crowd
        .until("attached", |crowd| crowd.attached.get() == clients)
        .await?;
    let meter = Meter::start(host)?;
    if crowd.first.get().is_some() {
        bail!("not all clients were there in {GATHER} s");
    }
    crowd.sample(meter, clients).await
}
