//! Checks of toolsets.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use plugin_api::abi::import::{FailureKind, ToolsetInstance};
use plugin_api::wire::{ToolCallParams, ToolList, ToolOutputData, ToolSpecData};
use serde_json::Value;

use super::agent::QUIET;
use super::bench::{Bench, PATIENCE, SEVERAL};
use super::observer::{End, Kind, Plan};
use super::{Check, Verdict, sample};
use crate::plugin::{Probed, Schema};

/// How long a call may take that nobody cancels.
const CALL: Duration = Duration::from_secs(30);

/// How long a call may take that was cancelled: what a library gives a tool, and some time.
const CANCELLED: Duration = Duration::from_secs(5);

pub(super) fn run(bench: &Bench<'_>, check: Check) -> Result<Verdict, String> {
    let made = bench.made()?;
    let toolset = of(&made)?;
    let verdict = match check {
        Check::Concurrent => concurrent(bench, toolset),
        Check::Stop => stop(bench, toolset),
        Check::AfterEnd => after_end(bench, toolset),
        _ => works(bench, toolset),
    }?;
    bench.end_instance(&made)?;
    Ok(verdict)
}

pub(super) fn of(made: &Probed) -> Result<&ToolsetInstance, String> {
    match made {
        Probed::Toolset(toolset) => Ok(toolset),
        _ => Err("it is no toolset".to_owned()),
    }
}

/// Lists the tools and checks what is listed.
pub(super) fn list(
    bench: &Bench<'_>,
    toolset: &ToolsetInstance,
) -> Result<Vec<ToolSpecData>, String> {
    let scope = bench.observer.open(Kind::Task, Plan::default());
    bench.at_once("`list`", || toolset.list(scope))?;
    let json = match bench.end(scope, "`list`", PATIENCE)? {
        End::Finished(json) | End::Stopped(json) => json,
        End::Failed(_, text) => return Err(format!("`list` failed: {text}")),
    };
    bench.observer.close(scope);
    let ToolList { tools, .. } = serde_json::from_str(&json)
        .map_err(|error| format!("the list of tools is not what it must be: {error}"))?;
    let mut names = BTreeSet::new();
    for tool in &tools {
        let name = &tool.name;
        if name.is_empty() {
            return Err("a tool has no name".to_owned());
        }
        if !names.insert(name) {
            return Err(format!("two tools are called `{name}`"));
        }
        Schema::compile(&tool.input_schema)
            .map_err(|error| format!("the schema of the arguments of `{name}` is {error}"))?;
    }
    Ok(tools)
}

/// Starts a call.
pub(super) fn start(
    bench: &Bench<'_>,
    toolset: &ToolsetInstance,
    name: &str,
    args: &str,
) -> Result<u64, String> {
    let scope = bench.observer.open(Kind::Call, Plan::default());
    let mut params = ToolCallParams::default();
    params.call_id = format!("call-{scope}");
    params.run_id = format!("run-{scope}");
    params.session_id = format!("session-{scope}");
    params.agent = "test".to_owned();
    params.timeout_ms = u64::try_from(CALL.as_millis()).unwrap_or(u64::MAX);
    let params = serde_json::to_string(&params).map_err(|error| error.to_string())?;
    bench.at_once("`call`", || toolset.call(scope, name, args, &params))?;
    Ok(scope)
}

/// Waits for a call's end; whether it was a success.
fn end(bench: &Bench<'_>, scope: u64, name: &str, within: Duration) -> Result<bool, String> {
    match bench.end(scope, &format!("a call of `{name}`"), within)? {
        End::Finished(json) | End::Stopped(json) => {
            let output: ToolOutputData = serde_json::from_str(&json).map_err(|error| {
                format!("the result of `{name}` is not what it must be: {error}")
            })?;
            Ok(output.success)
        }
        End::Failed(FailureKind::Internal, text) => Err(format!(
            "`{name}` failed with a fault that nobody foresaw: {text}"
        )),
        End::Failed(_, text) if text.is_empty() => {
            Err(format!("`{name}` failed without a word on why"))
        }
        End::Failed(..) => Ok(false),
    }
}

/// Each tool with arguments that fit its schema.
pub(super) fn samples(tools: &[ToolSpecData]) -> Vec<(&str, Value)> {
    let sample = |tool: &'_ ToolSpecData| sample::fitting(&tool.input_schema);
    tools
        .iter()
        .filter_map(|tool| Some((tool.name.as_str(), sample(tool)?)))
        .collect()
}

fn works(bench: &Bench<'_>, toolset: &ToolsetInstance) -> Result<Verdict, String> {
    let tools = list(bench, toolset)?;
    let mut succeeded = 0;
    let samples = samples(&tools);
    for (name, args) in &samples {
        let scope = start(bench, toolset, name, &args.to_string())?;
        succeeded += usize::from(end(bench, scope, name, CALL)?);
    }
    let left = tools.len() - samples.len();
    let left = match left {
        0 => String::new(),
        left => format!("; no arguments were found for {left}"),
    };
    Ok(Verdict::passed(format!(
        "of {} tools that were called with made-up arguments {succeeded} had success{left}",
        samples.len()
    )))
}

fn concurrent(bench: &Bench<'_>, toolset: &ToolsetInstance) -> Result<Verdict, String> {
    let tools = list(bench, toolset)?;
    let samples = samples(&tools);
    let mut calls = Vec::new();
    for (name, args) in samples.iter().cycle().take(samples.len() * SEVERAL) {
        calls.push((start(bench, toolset, name, &args.to_string())?, *name));
    }
    for (scope, name) in &calls {
        end(bench, *scope, name, CALL)?;
    }
    Ok(match calls.len() {
        0 => Verdict::not_provoked("there is no tool to call"),
        calls => Verdict::passed(format!("{calls} calls at a time")),
    })
}

fn stop(bench: &Bench<'_>, toolset: &ToolsetInstance) -> Result<Verdict, String> {
    let tools = list(bench, toolset)?;
    let mut in_the_middle = 0;
    for (name, args) in samples(&tools) {
        let scope = start(bench, toolset, name, &args.to_string())?;
        let ended = bench.observer.look(scope, |seen| seen.end.is_some()) == Some(true);
        in_the_middle += usize::from(!ended);
        let begun = Instant::now();
        bench.at_once("`cancel`", || toolset.cancel(scope))?;
        bench.at_once("`cancel`, once more", || toolset.cancel(scope))?;
        bench.end(
            scope,
            &format!("a cancelled call of `{name}`"),
            CANCELLED + PATIENCE,
        )?;
        if begun.elapsed() > CANCELLED {
            return Err(format!(
                "a call of `{name}` that was cancelled went on for {:.1} s",
                begun.elapsed().as_secs_f32()
            ));
        }
        bench.at_once("`cancel` of a call that is over", || toolset.cancel(scope))?;
        bench.sound(scope, "a call that was cancelled once it was over")?;
    }
    Ok(match in_the_middle {
        0 => Verdict::not_provoked("every call was over before it could be cancelled"),
        calls => Verdict::passed(format!(
            "{calls} calls were cancelled before they were over"
        )),
    })
}

fn after_end(bench: &Bench<'_>, toolset: &ToolsetInstance) -> Result<Verdict, String> {
    let tools = list(bench, toolset)?;
    let mut calls = Vec::new();
    for (name, args) in samples(&tools) {
        let scope = start(bench, toolset, name, &args.to_string())?;
        end(bench, scope, name, CALL)?;
        calls.push((scope, name));
    }
    bench.note("watching calls that are over");
    std::thread::sleep(QUIET);
    for (scope, name) in &calls {
        bench.sound(*scope, &format!("a call of `{name}` that is over"))?;
    }
    Ok(Verdict::passed(format!(
        "{} calls ended once, and nothing came in the {} ms after",
        calls.len(),
        QUIET.as_millis()
    )))
}
