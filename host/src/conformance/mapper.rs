//! Checks of mappers.

use std::time::{Duration, Instant};

use plugin_api::Event;
use plugin_api::abi::import::{EventRef, MapFault, MapperInstance, MapperState, Verdict as Mapped};
use plugin_api::wire::MapperParams;
use serde_json::{Map, Value, json};

use super::bench::{Bench, SEVERAL};
use super::{Check, Verdict};
use crate::plugin::{MAP_BUDGET, Probed};

pub(super) fn run(bench: &Bench<'_>, check: Check) -> Result<Verdict, String> {
    let made = bench.made()?;
    let mapper = of(&made)?;
    let verdict = match check {
        Check::Concurrent => concurrent(bench, mapper),
        _ => works(bench, mapper),
    }?;
    bench.end_instance(&made)?;
    Ok(verdict)
}

pub(super) fn of(made: &Probed) -> Result<&MapperInstance, String> {
    match made {
        Probed::Mapper(mapper) => Ok(mapper),
        _ => Err("it is no mapper".to_owned()),
    }
}

/// One event of each kind.
pub(super) fn events() -> Vec<Event> {
    let mut all = vec![
        Event::stream_delta("text"),
        Event::thinking_delta("thinking"),
        Event::thinking_end(),
        Event::turn_thinking("thinking"),
        Event::planning_status("phase", "label"),
        Event::plan_ready(json!(["step"])),
        Event::tool_started("call", "tool", json!({ "key": "value" })),
        Event::tool_call("call", "tool")
            .args(json!({ "key": "value" }))
            .result("result")
            .into(),
        Event::profile_switched("id", "name"),
        Event::context_compressed(2, 1, "summary"),
        Event::custom("weather", fields("sky", "blue")),
    ];
    all.extend(hosts());
    all
}

/// One of each kind that is the host's own.
fn hosts() -> Vec<Event> {
    ["stream_stopped", "stream_end", "error"]
        .into_iter()
        .filter_map(|name| Event::from_wire(name, Map::new()).ok())
        .collect()
}

fn fields(key: &str, value: &str) -> Map<String, Value> {
    [(key.to_owned(), Value::from(value))].into_iter().collect()
}

/// Opens the mapper for a run.
pub(super) fn open(
    bench: &Bench<'_>,
    mapper: &MapperInstance,
    run: usize,
) -> Result<MapperState, String> {
    let mut params = MapperParams::default();
    params.run_id = format!("run-{run}");
    params.session_id = format!("session-{run}");
    params.agent = "test".to_owned();
    let params = serde_json::to_string(&params).map_err(|error| error.to_string())?;
    bench
        .at_once("`open`", || mapper.open(&params))?
        .ok_or_else(|| "`open` gave no state".to_owned())
}

/// Maps an event as a host does; how many events take its place.
pub(super) fn map(
    mapper: &MapperInstance,
    state: &mut MapperState,
    event: &Event,
) -> Result<usize, String> {
    if !mapper.kinds().contains(event) {
        return Ok(1);
    }
    event.with_parts(|parts| map_parts(state, parts))
}

/// Maps an event, whatever it is.
pub(super) fn map_parts(state: &mut MapperState, event: EventRef<'_>) -> Result<usize, String> {
    let name = event.name;
    let mut made: Vec<(u32, Option<String>)> = Vec::new();
    let begun = Instant::now();
    let mapped = state.map(event, &mut |event| {
        let fault = Event::from_parts(event)
            .err()
            .map(|error| error.to_string());
        made.push((event.kind, fault));
    });
    let took = begun.elapsed();
    if took > MAP_BUDGET {
        return Err(format!(
            "`map` took {:.1} s over `{name}`; it has {} s",
            took.as_secs_f32(),
            MAP_BUDGET.as_secs()
        ));
    }
    let is_hosts = hosts().iter().any(|own| own.kind() == event.kind);
    match mapped {
        Ok(Mapped::Pass) => Ok(1),
        Ok(Mapped::Drop) if is_hosts => Err(format!("`{name}` is the host's own, and was dropped")),
        Ok(Mapped::Drop) => Ok(0),
        Ok(Mapped::Replace) => {
            if let Some(fault) = made.iter().find_map(|(_, fault)| fault.as_ref()) {
                return Err(format!(
                    "what took the place of `{name}` is no event: {fault}"
                ));
            }
            if is_hosts && !matches!(&made[..], [(kind, _)] if *kind == event.kind) {
                return Err(format!(
                    "`{name}` is the host's own, and not one of its kind took its place"
                ));
            }
            Ok(made.len())
        }
        Err(fault @ MapFault::Failed(_)) => Err(format!("over `{name}`: {fault}")),
        Err(fault) => Err(format!(
            "over `{name}`: {fault}, against the rules of the boundary"
        )),
    }
}

fn works(bench: &Bench<'_>, mapper: &MapperInstance) -> Result<Verdict, String> {
    let mut state = open(bench, mapper, 0)?;
    let (mut wanted, mut longest) = (0, Duration::ZERO);
    for event in events() {
        wanted += usize::from(mapper.kinds().contains(&event));
        bench.note(&format!("mapping `{}`", event.name()));
        let begun = Instant::now();
        map(mapper, &mut state, &event)?;
        longest = longest.max(begun.elapsed());
    }
    bench.note("closing a state");
    drop(state);
    Ok(match wanted {
        0 => Verdict::not_provoked("it wants no event that this host knows"),
        wanted => Verdict::passed(format!(
            "{wanted} kinds of events, the slowest took {} µs",
            longest.as_micros()
        )),
    })
}

fn concurrent(bench: &Bench<'_>, mapper: &MapperInstance) -> Result<Verdict, String> {
    let states: Vec<_> = (0..SEVERAL)
        .map(|run| open(bench, mapper, run))
        .collect::<Result<_, _>>()?;
    bench.note("mapping on several threads");
    std::thread::scope(|threads| {
        let running: Vec<_> = states
            .into_iter()
            .map(|mut state| {
                threads.spawn(move || {
                    for event in std::iter::repeat_with(events).take(20).flatten() {
                        map(mapper, &mut state, &event)?;
                    }
                    Ok(())
                })
            })
            .collect();
        running.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err("the test panicked".to_owned()))
        })
    })?;
    Ok(Verdict::passed(format!("{SEVERAL} runs at a time")))
}
