//! The rows of a plugin in a worker process: what that costs beside the same plugin in the host's own.

use anyhow::Result;

use super::{Bench, Both, burst, paced};
use crate::process::Server;
use crate::report::{Figure, Row, Target, Usage, median};

const EVENTS: u64 = 500_000;

/// What an event may cost more than in the host's own process, in nanoseconds.
const MORE: f64 = 1000.0;

/// One client, 500,000 events, from a worker and from the host's own process in turns.
pub(super) async fn single(bench: &Bench) -> Result<Row> {
    let work = "1 session in a worker (floor: in-process)";
    let folders = (tempfile::tempdir()?, tempfile::tempdir()?);
    let apart = Server::host_apart(&bench.binary, folders.0.path())?;
    let here = Server::host(&bench.binary, folders.1.path())?;
    let (mut times, mut costs) = (Vec::new(), Vec::new());
    let mut usage = Usage {
        work,
        ..Usage::default()
    };
    for round in 0..=bench.rounds(7) {
        let near = burst::from_host(&here, 1, EVENTS).await?;
        let far = burst::from_host(&apart, 1, EVENTS).await?;
        if round == 0 {
            // It warms both up.
            continue;
        }
        let time = |sample: &burst::Sample| sample.took.as_nanos() as f64 / sample.events as f64;
        let cost = |sample: &burst::Sample| sample.cpu.as_nanos() as f64 / sample.events as f64;
        times.push((time(&far), time(&near)));
        costs.push((cost(&far), cost(&near)));
        usage.events += far.events;
        usage.frames += far.frames;
        usage.host_cpu += far.cpu;
        usage.driver_cpu += far.driver;
        usage.floor_cpu = Some(usage.floor_cpu.unwrap_or_default() + near.cpu);
    }
    usage.host_peak = apart.memory()?.peak;
    usage.floor_peak = Some(here.memory()?.peak);
    let more = median(times.iter().map(|(far, near)| far - near));
    let mut more = Figure::alone(work, "ns more an event", more, Target::AtMost(MORE));
    let folded = usage.events - usage.frames;
    if folded > 0 {
        more.void = Some(format!("{folded} events came folded"));
    }
    let figures = vec![
        Figure::of_rounds(work, "ns an event", &times, Target::None),
        more,
        Figure::of_rounds(work, "CPU ns an event", &costs, Target::None),
    ];
    Ok(Row {
        figures,
        usage: vec![usage],
        faults: Vec::new(),
    })
}

/// As `paced`, with the agent in a worker; the floor is the same.
pub(super) async fn paced(bench: &Bench) -> Result<Row> {
    let folder = tempfile::tempdir()?;
    let both = Both {
        host: Server::host_apart(&bench.binary, folder.path())?,
        floor: Server::floor(None)?,
        _folder: folder,
    };
    let work = "1,000 sessions in a worker, each 50 events/s";
    let mut row = paced::measure_on(bench, both, work).await?;
    for figure in &mut row.figures {
        // That the rate is kept is what counts here.
        if !matches!(figure.target, Target::AtLeast(_)) {
            figure.target = Target::None;
        }
    }
    Ok(row)
}
