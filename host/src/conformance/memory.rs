//! What a thousand runs leave behind.

use std::time::{Duration, Instant};

use plugin_api::abi::import::ComponentKind;

use super::bench::{Bench, SEVERAL};
use super::observer::Plan;
use super::{Verdict, agent, mapper, toolset};
use crate::plugin::Probed;

/// Runs before the first measurement: caches are filled, pools are grown.
const WARM_UP: usize = 200;

/// Runs between the measurements.
const RUNS: usize = 1000;

/// What is spent at most on them.
const TIME: Duration = Duration::from_secs(30);

/// Fewer runs than this say nothing.
const FEWEST: usize = 50;

/// What may remain of a run, on the average, in bytes.
const PER_RUN: u64 = 1024;

/// What may come on top of that: allocators take memory in larger pieces, and give it back late.
const SLACK: u64 = 1 << 20;

/// How long one run may take before it is stopped.
const ONE: Duration = Duration::from_secs(1);

pub(super) fn check(bench: &Bench<'_>) -> Result<Verdict, String> {
    if resident().is_none() {
        return Ok(Verdict::not_run(
            "this system does not say in /proc how much memory a process has",
        ));
    }
    let made = bench.made()?;
    let begun = Instant::now();
    // Half of the time at most is the warm-up's.
    let warm = many(bench, &made, WARM_UP, begun + TIME / 3)?;
    let before = resident().unwrap_or_default();
    let runs = many(bench, &made, RUNS, begun + TIME)?;
    let after = resident().unwrap_or_default();
    bench.end_instance(&made)?;
    if runs < FEWEST {
        return Ok(Verdict::not_provoked(format!(
            "only {} runs in {} s, too few to tell; --message may name a shorter one",
            warm + runs,
            TIME.as_secs()
        )));
    }
    let growth = after.saturating_sub(before);
    let (kib, each) = (growth / 1024, growth / runs as u64);
    let detail = format!("{kib} KiB more after {runs} runs, {each} bytes each");
    if growth > SLACK + PER_RUN * runs as u64 {
        return Err(format!(
            "memory is lost: {detail}; more than {PER_RUN} each and {} KiB",
            SLACK / 1024
        ));
    }
    Ok(Verdict::passed(detail))
}

/// Does what the component is for this many times, or until then; how often.
fn many(bench: &Bench<'_>, made: &Probed, times: usize, until: Instant) -> Result<usize, String> {
    let mut done = 0;
    while done < times && Instant::now() < until {
        done += match bench.component.kind {
            ComponentKind::Agent(_) => runs(bench, made)?,
            ComponentKind::Toolset(_) => calls(bench, made)?,
            _ => maps(bench, made, done)?,
        };
    }
    Ok(done)
}

fn runs(bench: &Bench<'_>, made: &Probed) -> Result<usize, String> {
    let agent = agent::of(made)?;
    let scopes: Vec<_> = (0..SEVERAL)
        .map(|_| agent::start(bench, agent, Plan::default()))
        .collect::<Result<_, _>>()?;
    bench.note("waiting for one of many runs");
    for scope in scopes {
        if bench
            .observer
            .wait(scope, ONE, |seen| seen.end.is_some().then_some(()))
            .is_none()
        {
            agent.stop(scope);
        }
        bench.end(scope, "one of many runs", Duration::from_secs(20))?;
        bench.observer.close(scope);
    }
    Ok(SEVERAL)
}

fn calls(bench: &Bench<'_>, made: &Probed) -> Result<usize, String> {
    let toolset = toolset::of(made)?;
    let tools = toolset::list(bench, toolset)?;
    let samples = toolset::samples(&tools);
    for (name, args) in &samples {
        let scope = toolset::start(bench, toolset, name, &args.to_string())?;
        if bench
            .observer
            .wait(scope, ONE, |seen| seen.end.is_some().then_some(()))
            .is_none()
        {
            toolset.cancel(scope);
        }
        bench.end(scope, "one of many calls", Duration::from_secs(20))?;
        bench.observer.close(scope);
    }
    // Listing them counts, where there is nothing to call.
    Ok(samples.len().max(1))
}

fn maps(bench: &Bench<'_>, made: &Probed, run: usize) -> Result<usize, String> {
    let mapper = mapper::of(made)?;
    let mut state = mapper::open(bench, mapper, run)?;
    for event in mapper::events() {
        mapper::map(mapper, &mut state, &event)?;
    }
    Ok(1)
}

/// The memory that is the process's own and in use, in bytes.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
