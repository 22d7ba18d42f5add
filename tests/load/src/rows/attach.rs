//! Row 4: attaching to a run in the middle, with a replay of 500 records.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;

use super::{Bench, Meter, idle_client, message, wait_for};
use crate::client::{Client, socket};
use crate::frames;
use crate::process::Server;
use crate::report::{Figure, Row, Target, Usage, median};

const WORK: &str = "attaching mid-run, 500 records";

const RECORDS: usize = 500;

/// Attaches in a round.
const TURNS: usize = 50;

pub(super) async fn measure(bench: &Bench) -> Result<Row> {
    let folder = tempfile::tempdir()?;
    let host = Server::host(&bench.binary, folder.path())?;
    let (session, mut watcher) = idle_client(&host).await?;
    // Events that do not fold, so that each is a record.
    let event =
        json!({"kind": "planning_status", "phase": "research", "label": "Reading file {i}"});
    let script =
        json!([{"repeat": [RECORDS, event]}, {"emit": {"kind": "thinking_end"}}, {"sleep": 3600}]);
    watcher.send(&message(&script)).await?;
    wait_for(&mut watcher, "thinking_end").await?;
    let path = socket(&session);

    let mut frames = Vec::new();
    attach(&host, &path, |frame| frames.push(frame.to_vec())).await?;
    // `stream_start`, `replay_start` and `replay_end` come around them.
    if frames.len() != RECORDS + 3 {
        bail!(
            "{} frames are attached with, not {}",
            frames.len(),
            RECORDS + 3
        );
    }
    let file = folder.path().join("frames");
    let mut written = std::fs::File::create(&file)?;
    for frame in &frames {
        written.write_all(frame)?;
        written.write_all(b"\n")?;
    }
    drop(written);
    let floor = Server::floor(Some(&file))?;

    let mut rounds = Vec::new();
    let mut usage = Usage {
        work: WORK,
        ..Usage::default()
    };
    let mut floor_cpu = Duration::ZERO;
    for round in 0..=bench.rounds(8) {
        let meter = Meter::start(&floor)?;
        let of_floor = turns(&floor, "/ws/attach", frames.len()).await?;
        let (floor_used, _) = meter.stop()?;
        let meter = Meter::start(&host)?;
        let of_host = turns(&host, &path, frames.len()).await?;
        let (host_used, driver) = meter.stop()?;
        if round == 0 {
            // It warms both up.
            continue;
        }
        rounds.push((of_host, of_floor));
        usage.events += (TURNS * RECORDS) as u64;
        usage.frames += (TURNS * frames.len()) as u64;
        usage.host_cpu += host_used;
        usage.driver_cpu += driver;
        floor_cpu += floor_used;
    }
    usage.floor_cpu = Some(floor_cpu);
    usage.host_peak = host.memory()?.peak;
    usage.floor_peak = Some(floor.memory()?.peak);
    Ok(Row {
        figures: vec![Figure::of_rounds(
            WORK,
            "median ms",
            &rounds,
            Target::RatioAtMost(1.3),
        )],
        usage: vec![usage],
        faults: Vec::new(),
    })
}

/// The median of some attaches, in milliseconds.
async fn turns(server: &Server, path: &str, expected: usize) -> Result<f64> {
    let mut took = Vec::new();
    for _ in 0..TURNS {
        let mut got = 0;
        let begun = Instant::now();
        attach(server, path, |_| got += 1).await?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        if got != expected {
            bail!("{got} of {expected} frames came");
        }
    }
    Ok(median(took.into_iter()))
}

/// Connects and reads to the end of the replay.
async fn attach(server: &Server, path: &str, mut each: impl FnMut(&[u8])) -> Result<()> {
    let mut client = Client::connect(server.address, path).await?;
    let mut complete = false;
    while !complete {
        client
            .read(|frame| {
                each(frame);
                complete |= frames::is(frame, "replay_end");
            })
            .await?;
    }
    Ok(())
}
