//! Checks of agents.

use std::time::{Duration, Instant};

use plugin_api::abi::import::{AgentInstance, FailureKind};
use plugin_api::wire::{OutcomeData, RunParams};

use super::bench::{Bench, PATIENCE, SEVERAL};
use super::observer::{End, Kind, Plan};
use super::{Check, Verdict};
use crate::plugin::Probed;

/// The time that a run has to end after a stop.
const GRACE: Duration = Duration::from_secs(2);

/// How long a run may take that nobody stops.
const RUN: Duration = Duration::from_secs(30);

/// How long it is watched that nothing comes any more.
pub(super) const QUIET: Duration = Duration::from_millis(500);

pub(super) fn run(bench: &Bench<'_>, check: Check) -> Result<Verdict, String> {
    let made = bench.made()?;
    let agent = of(&made)?;
    let verdict = match check {
        Check::Concurrent => concurrent(bench, agent),
        Check::Stop => stop(bench, agent),
        Check::AfterEnd => after_end(bench, agent),
        _ => works(bench, agent),
    }?;
    bench.end_instance(&made)?;
    Ok(verdict)
}

pub(super) fn of(made: &Probed) -> Result<&AgentInstance, String> {
    match made {
        Probed::Agent(agent) => Ok(agent),
        _ => Err("it is no agent".to_owned()),
    }
}

/// The parameters of a run, each time of another run in another session.
pub(super) fn params(bench: &Bench<'_>, scope: u64) -> RunParams {
    let mut params = RunParams::default();
    params.run_id = format!("run-{scope}");
    params.session_id = format!("session-{scope}");
    params.agent = "test".to_owned();
    params.content = bench.message.to_owned();
    params.user_text = bench.message.to_owned();
    params.metadata = serde_json::json!({});
    params.grace_ms = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
    params
}

/// Starts a run.
pub(super) fn start(bench: &Bench<'_>, agent: &AgentInstance, plan: Plan) -> Result<u64, String> {
    let scope = bench.observer.open(Kind::Run, plan);
    let params = serde_json::to_string(&params(bench, scope)).map_err(|error| error.to_string())?;
    bench.at_once("`run`", || agent.run(scope, &params))?;
    Ok(scope)
}

/// What is wrong with how a run ended; otherwise what to say of it.
pub(super) fn judge(end: &End) -> Result<String, String> {
    match end {
        End::Finished(json) | End::Stopped(json) => {
            if !json.is_empty() {
                serde_json::from_str::<OutcomeData>(json)
                    .map_err(|error| format!("the outcome is not what it must be: {error}"))?;
            }
            Ok(match end {
                End::Stopped(_) => "stopped".to_owned(),
                _ => "finished".to_owned(),
            })
        }
        End::Failed(FailureKind::Internal, text) => Err(format!(
            "the run failed with a fault that nobody foresaw: {text}"
        )),
        End::Failed(_, text) if text.is_empty() => {
            Err("the run failed without a word on why".to_owned())
        }
        End::Failed(_, text) => Ok(format!("failed, as it may, and says why: {text}")),
    }
}

fn works(bench: &Bench<'_>, agent: &AgentInstance) -> Result<Verdict, String> {
    let begun = Instant::now();
    let scope = start(bench, agent, Plan::default())?;
    let end = bench.end(scope, "the run", RUN)?;
    let took = begun.elapsed();
    let how = judge(&end)?;
    if matches!(end, End::Stopped(_)) {
        return Err("the run ended as stopped, and nobody had stopped it".to_owned());
    }
    let events = bench
        .observer
        .look(scope, |seen| seen.events)
        .unwrap_or_default();
    Ok(Verdict::passed(format!(
        "{how}; {events} events in {} ms",
        took.as_millis()
    )))
}

pub(super) fn slow(bench: &Bench<'_>) -> Result<Verdict, String> {
    let made = bench.made()?;
    let agent = of(&made)?;
    let scope = start(
        bench,
        agent,
        Plan {
            slow: 100,
            ..Plan::default()
        },
    )?;
    let begun = Instant::now();
    let mut waited = 0;
    let end = loop {
        bench.note("waiting for the run that was told to wait and to go on");
        let next = bench
            .observer
            .wait(scope, PATIENCE, |seen| match &seen.end {
                Some(end) => Some(Some(end.clone())),
                None => std::mem::take(&mut seen.waits).then_some(None),
            });
        match next {
            Some(Some(end)) => break end,
            Some(None) => {
                waited += 1;
                bench.at_once("`resume`", || agent.resume(scope))?;
            }
            None => {
                return Err(format!(
                    "a run that was told to wait (SLOW) did not go on within {} s of its `resume`",
                    PATIENCE.as_secs()
                ));
            }
        }
        if begun.elapsed() > RUN {
            return Err(format!("the run did not end within {} s", RUN.as_secs()));
        }
    };
    bench.sound(scope, "the run")?;
    judge(&end)?;
    let impatient = bench
        .observer
        .look(scope, |seen| seen.impatient)
        .unwrap_or_default();
    bench.end_instance(&made)?;
    Ok(match (waited, impatient) {
        (0, _) => {
            Verdict::not_provoked("the run emitted nothing that it could be told to wait after")
        }
        (_, 0) => Verdict::passed(format!("waited {waited} times, and went on each time")),
        _ => Verdict::passed(format!(
            "went on; {impatient} events came while it was to wait, which it may and better does not"
        )),
    })
}

fn concurrent(bench: &Bench<'_>, agent: &AgentInstance) -> Result<Verdict, String> {
    // Each is told to wait after its first event, so that none is over before the last has begun.
    let plan = Plan {
        slow: 1,
        ..Plan::default()
    };
    let scopes: Vec<_> = (0..SEVERAL)
        .map(|_| start(bench, agent, plan))
        .collect::<Result<_, _>>()?;
    bench.note("waiting for the first events of several runs at a time");
    for scope in &scopes {
        bench.observer.wait(*scope, RUN, |seen| {
            (seen.events > 0 || seen.end.is_some()).then_some(())
        });
    }
    for scope in &scopes {
        bench.at_once("`resume`", || agent.resume(*scope))?;
    }
    let mut events = 0;
    for scope in scopes {
        judge(&bench.end(scope, "one of several runs at a time", RUN)?)?;
        events += bench
            .observer
            .look(scope, |seen| seen.events)
            .unwrap_or_default();
    }
    Ok(Verdict::passed(format!(
        "{SEVERAL} runs at a time, {events} events, each with its own run"
    )))
}

fn stop(bench: &Bench<'_>, agent: &AgentInstance) -> Result<Verdict, String> {
    let mut in_the_middle = 0;
    let mut longest = Duration::ZERO;
    // At once, and after the first event, where the run is told to wait so that it does not get to its end.
    for after_an_event in [false, true, true] {
        let scope = start(
            bench,
            agent,
            Plan {
                slow: 1,
                ..Plan::default()
            },
        )?;
        if after_an_event {
            bench.note("waiting for the first event of a run, to stop it");
            bench.observer.wait(scope, PATIENCE, |seen| {
                (seen.events > 0 || seen.end.is_some()).then_some(())
            });
        }
        let ended = bench.observer.look(scope, |seen| seen.end.is_some()) == Some(true);
        in_the_middle += usize::from(!ended);
        let begun = Instant::now();
        bench.at_once("`stop`", || agent.stop(scope))?;
        bench.at_once("`stop`, once more", || agent.stop(scope))?;
        let end = bench.end(scope, "a run that was asked to stop", GRACE + PATIENCE)?;
        let took = begun.elapsed();
        if !ended && took >= GRACE.mul_f32(0.95) {
            return Err(format!(
                "a run that was asked to stop did not end by itself within the {} s that it had; it was dropped, or \
                 came late ({:.1} s)",
                GRACE.as_secs(),
                took.as_secs_f32()
            ));
        }
        if let End::Failed(_, text) = &end {
            return Err(format!(
                "a run that was asked to stop has failed instead: {text}"
            ));
        }
        judge(&end)?;
        longest = longest.max(took);
        // Late, which changes nothing.
        bench.at_once("`stop` of a run that is over", || agent.stop(scope))?;
        bench.at_once("`resume` of a run that is over", || agent.resume(scope))?;
        bench.sound(scope, "a run that was asked to stop once it was over")?;
    }
    Ok(if in_the_middle == 0 {
        Verdict::not_provoked(
            "every run was over before it could be stopped; --message may name a longer one",
        )
    } else {
        Verdict::passed(format!(
            "{in_the_middle} runs were stopped in their middle, the longest took {} ms",
            longest.as_millis()
        ))
    })
}

fn after_end(bench: &Bench<'_>, agent: &AgentInstance) -> Result<Verdict, String> {
    let mut scopes = Vec::new();
    for index in 0..SEVERAL {
        let scope = start(bench, agent, Plan::default())?;
        // Some by themselves, some because they are stopped.
        if index % 2 == 1 {
            bench.at_once("`stop`", || agent.stop(scope))?;
        }
        scopes.push(scope);
    }
    for scope in &scopes {
        bench.end(*scope, "the run", RUN)?;
    }
    bench.note("watching runs that are over");
    std::thread::sleep(QUIET);
    for scope in &scopes {
        bench.sound(*scope, "a run that is over")?;
    }
    Ok(Verdict::passed(format!(
        "{SEVERAL} runs ended once, and nothing came in the {} ms after",
        QUIET.as_millis()
    )))
}
