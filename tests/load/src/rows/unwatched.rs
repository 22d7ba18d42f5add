//! Row 6: a long run that nobody watches.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::{Bench, Meter, PATIENCE, delta, idle_client, message, wait_for};
use crate::client::Http;
use crate::frames::TEXT;
use crate::process::Server;
use crate::report::{Figure, Row, Target, Usage, median};

const WORK: &str = "1 run of 10 million events, nobody watching";

const EVENTS: u64 = 10_000_000;

/// How often it is looked whether the run has ended.
const LOOK: Duration = Duration::from_millis(10);

struct Sample {
    took: Duration,
    cpu: Duration,
    driver: Duration,
    /// Bytes that the most memory of the second half is above that at its beginning.
    grown: u64,
}

pub(super) async fn measure(bench: &Bench) -> Result<Row> {
    let mut samples = Vec::new();
    let mut usage = Usage {
        work: WORK,
        ..Usage::default()
    };
    for _ in 0..bench.rounds(5) {
        let folder = tempfile::tempdir()?;
        let host = Server::host(&bench.binary, folder.path())?;
        let sample = round(&host).await?;
        usage.events += EVENTS;
        usage.host_cpu += sample.cpu;
        usage.driver_cpu += sample.driver;
        usage.host_peak = usage.host_peak.max(host.memory()?.peak);
        samples.push(sample);
    }
    let of = |part: fn(&Sample) -> f64| median(samples.iter().map(part));
    let events = EVENTS as f64;
    let took = of(|sample| sample.took.as_nanos() as f64) / events;
    let cpu = of(|sample| sample.cpu.as_nanos() as f64) / events;
    let grown = samples.iter().map(|sample| sample.grown).max();
    let grown = grown.unwrap_or_default() as f64 / (1024.0 * 1024.0);
    Ok(Row {
        figures: vec![
            Figure::alone(WORK, "ns an event", took, Target::AtMost(150.0)),
            Figure::alone(WORK, "CPU ns an event", cpu, Target::None),
            Figure::alone(
                WORK,
                "MiB grown in its second half",
                grown,
                Target::AtMost(4.0),
            ),
        ],
        usage: vec![usage],
        faults: Vec::new(),
    })
}

async fn round(host: &Server) -> Result<Sample> {
    let (session, mut client) = idle_client(host).await?;
    let mut http = Http::connect(host.address).await?;
    let path = format!("/sessions/{session}");
    // It sleeps so that the client is gone before the first event.
    let script = json!([{"sleep": 0.5}, {"repeat": [EVENTS, delta(TEXT)]}]);
    client.send(&message(&script)).await?;
    wait_for(&mut client, "stream_start").await?;
    drop(client);
    let meter = Meter::start(host)?;
    let mut memory = Vec::new();
    let begun = Instant::now();
    while !http.request("GET", &path).await?["run_id"].is_null() {
        if begun.elapsed() > PATIENCE {
            bail!("the run does not end");
        }
        memory.push((begun.elapsed(), host.memory()?.resident));
        tokio::time::sleep(LOOK).await;
    }
    let (cpu, driver) = meter.stop()?;
    let runs = http.request("GET", &format!("{path}/runs")).await?;
    let outcome = &runs["runs"][0]["outcome"];
    let words = outcome["token_count"].as_u64();
    // Besides its events, a run has a first and a last one.
    let last = runs["runs"][0]["last_seq"].as_u64();
    if words != Some(EVENTS) || last != Some(EVENTS + 2) {
        bail!("{words:?} words and {last:?} events were counted");
    }
    let seconds = outcome["elapsed_seconds"].as_f64().context("no time")? - 0.5;
    let half = memory.last().map(|(at, _)| *at / 2).unwrap_or_default();
    let second: Vec<u64> = memory
        .iter()
        .filter(|(at, _)| *at >= half)
        .map(|(_, resident)| *resident)
        .collect();
    let most = second.iter().copied().max().unwrap_or_default();
    Ok(Sample {
        took: Duration::from_secs_f64(seconds),
        cpu,
        driver,
        grown: most - second.first().copied().unwrap_or_default(),
    })
}
