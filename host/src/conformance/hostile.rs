//! Input that no host would send, and answers that few would give: nothing of it may crash a library.

use std::time::Duration;

use plugin_api::abi::import::{Answer, ComponentKind, EventRef};
use plugin_api::{EventKinds, ServiceErrorCode};
use serde_json::{Value, json};

use super::bench::Bench;
use super::observer::{End, Kind, Plan};
use super::{Verdict, agent, mapper, toolset};
use crate::plugin::Probed;

/// How long anything may take that is nonsense.
const NONSENSE: Duration = Duration::from_secs(20);

/// How long it is waited before what goes on is stopped.
const SOON: Duration = Duration::from_millis(500);

/// What a panic in Rust writes to standard error.
const PANIC: &str = "panicked at ";

pub(super) fn check(bench: &Bench<'_>) -> Result<Verdict, String> {
    let made = bench.made()?;
    let tried = match bench.component.kind {
        ComponentKind::Agent(_) => runs(bench, &made),
        ComponentKind::Toolset(_) => calls(bench, &made),
        _ => maps(bench, &made),
    }?;
    bench.end_instance(&made)?;
    Ok(match panics(bench) {
        0 => Verdict::not_provoked(format!(
            "no panic: of {tried} hostile inputs none made it crash, or panic"
        )),
        panics => Verdict::passed(format!(
            "of {tried} hostile inputs none made it crash; {panics} panics became errors"
        )),
    })
}

/// Panics that the library has written to standard error.
fn panics(bench: &Bench<'_>) -> usize {
    let said = bench.said.and_then(|said| std::fs::read(said).ok());
    let said = said.unwrap_or_default();
    String::from_utf8_lossy(&said).matches(PANIC).count()
}

fn deep() -> String {
    format!("{}{}", "[".repeat(20_000), "]".repeat(20_000))
}

/// Texts that are hard to handle.
fn texts() -> Vec<(&'static str, String)> {
    vec![
        ("an empty text", String::new()),
        ("a text of null bytes", "\0\0\0".to_owned()),
        ("a text of 4 MiB", "x".repeat(4 << 20)),
        (
            "a text of many kinds of characters",
            "é\u{202e}\u{feff}😀\u{301}\r\n\t\"\\%s%n{}".repeat(100),
        ),
        ("a text that is JSON", deep()),
    ]
}

fn runs(bench: &Bench<'_>, made: &Probed) -> Result<usize, String> {
    let agent = agent::of(made)?;
    let mut params: Vec<(String, String)> = Vec::new();
    for (what, text) in [
        ("no parameters at all", ""),
        ("parameters that are no JSON", "{\"content\":"),
        ("a list for parameters", "[]"),
        ("parameters without any field", "{}"),
        ("parameters of null", "null"),
        ("a number for a text", r#"{"content":3,"user_text":{}}"#),
        ("half of a surrogate pair", r#"{"user_text":"\ud800"}"#),
        (
            "unknown fields",
            r#"{"content":"x","from_a_later_release":[1,{"a":null}]}"#,
        ),
    ] {
        params.push((what.to_owned(), text.to_owned()));
    }
    for (what, text) in texts() {
        params.push((
            what.to_owned(),
            json!({ "content": text, "user_text": text }).to_string(),
        ));
    }
    let message = bench.message;
    for (what, field, value) in [
        (
            "images that the host does not have",
            "images",
            json!([{ "handle": 7, "media_type": "image/png", "bytes": 9 }]),
        ),
        (
            "files that are not there",
            "files",
            json!([{ "name": "../../etc/passwd", "path": "/no/such/file" }]),
        ),
        (
            "tools without a schema",
            "tools",
            json!([{ "name": "nothing", "input_schema": null }]),
        ),
        (
            "data of another agent's",
            "outcome_data",
            json!(["not", { "yours": -1 }]),
        ),
        ("metadata that is a text", "metadata", json!("text")),
    ] {
        let mut with: Value = json!({ "content": message, "user_text": message });
        with[field] = value;
        params.push((what.to_owned(), with.to_string()));
    }
    params.push(("parameters that are nested 20,000 deep".to_owned(), deep()));
    let tried = params.len();
    for (what, params) in params {
        run(
            bench,
            made,
            &format!("a run with {what}"),
            &params,
            Plan::default(),
        )?;
    }
    let answers = [
        Answer::Invalid,
        Answer::TooLarge,
        Answer::Internal,
        Answer::Stop,
    ];
    let refusals = [
        ServiceErrorCode::NotFound,
        ServiceErrorCode::NotAllowed,
        ServiceErrorCode::Internal,
        ServiceErrorCode::Unsupported,
        ServiceErrorCode::Cancelled,
        ServiceErrorCode::Timeout,
    ];
    let usual = json!({ "content": message, "user_text": message }).to_string();
    for answer in answers {
        let plan = Plan {
            emit: Some(answer),
            ..Plan::default()
        };
        run(
            bench,
            made,
            &format!("a run whose events are answered {answer:?}"),
            &usual,
            plan,
        )?;
    }
    for code in refusals {
        let plan = Plan {
            request: Some(code),
            ..Plan::default()
        };
        run(
            bench,
            made,
            &format!("a run whose requests are answered {}", code.as_str()),
            &usual,
            plan,
        )?;
    }
    // After all of that it still answers.
    let scope = agent::start(bench, agent, Plan::default())?;
    let end = bench.end(scope, "a run after the hostile ones", NONSENSE)?;
    agent::judge(&end).map_err(|fault| format!("after the hostile runs: {fault}"))?;
    Ok(tried + answers.len() + refusals.len())
}

fn run(
    bench: &Bench<'_>,
    made: &Probed,
    what: &str,
    params: &str,
    plan: Plan,
) -> Result<(), String> {
    let agent = agent::of(made)?;
    let scope = bench.observer.open(Kind::Run, plan);
    bench.note(what);
    agent.run(scope, params);
    // However it ends, it ends; one that only waits is stopped.
    let ended = bench
        .observer
        .wait(scope, SOON, |seen| seen.end.is_some().then_some(()));
    if ended.is_none() {
        agent.stop(scope);
    }
    bench
        .observer
        .wait(scope, NONSENSE, |seen| seen.end.clone())
        .ok_or_else(|| {
            format!(
                "{what} did not end, although it was stopped, within {} s",
                NONSENSE.as_secs()
            )
        })?;
    bench.sound(scope, what)
}

fn calls(bench: &Bench<'_>, made: &Probed) -> Result<usize, String> {
    let toolset = toolset::of(made)?;
    let tools = toolset::list(bench, toolset)?;
    let mut args: Vec<(&str, String)> = vec![
        ("no arguments at all", String::new()),
        ("arguments that are no JSON", "{\"a\":".to_owned()),
        ("arguments of null", "null".to_owned()),
        ("a list for arguments", "[1]".to_owned()),
        ("arguments without any field", "{}".to_owned()),
        (
            "unknown arguments",
            r#"{"no_such_argument":[{}]}"#.to_owned(),
        ),
        ("arguments that are nested 20,000 deep", deep()),
    ];
    let mut tried = 0;
    let names = tools
        .iter()
        .map(|tool| tool.name.as_str())
        .chain(["", "no such tool"]);
    for name in names {
        let schema = tools
            .iter()
            .find(|tool| tool.name == name)
            .map(|tool| &tool.input_schema);
        let properties = schema
            .and_then(|schema| schema.get("properties"))
            .and_then(Value::as_object);
        args.truncate(7);
        for (key, _) in properties.into_iter().flatten() {
            for (what, text) in texts() {
                args.push((what, json!({ key: text }).to_string()));
            }
            for value in [json!(null), json!(-1), json!(1e300), json!([]), json!({})] {
                args.push((
                    "an argument of another type",
                    json!({ key: value }).to_string(),
                ));
            }
        }
        for (what, args) in &args {
            let what = format!("a call of `{name}` with {what}");
            let scope = toolset::start(bench, toolset, name, args)?;
            bench.note(&what);
            let ended = bench
                .observer
                .wait(scope, SOON, |seen| seen.end.is_some().then_some(()));
            if ended.is_none() {
                toolset.cancel(scope);
            }
            bench
                .observer
                .wait(scope, NONSENSE, |seen| seen.end.clone())
                .ok_or_else(|| {
                    format!(
                        "{what} did not end, although it was cancelled, within {} s",
                        NONSENSE.as_secs()
                    )
                })?;
            bench.sound(scope, &what)?;
            bench.observer.close(scope);
            tried += 1;
        }
    }
    // What it lists by now is its own business.
    let scope = bench.observer.open(Kind::Task, Plan::default());
    bench.at_once("`list`", || toolset.list(scope))?;
    if let End::Failed(_, text) = bench.end(scope, "`list` after the hostile calls", NONSENSE)? {
        return Err(format!("after the hostile calls `list` failed: {text}"));
    }
    Ok(tried)
}

fn maps(bench: &Bench<'_>, made: &Probed) -> Result<usize, String> {
    let mapper = mapper::of(made)?;
    for params in ["", "{", "[]", "{}", "null", &deep()] {
        bench.note("opening a mapper with parameters that are none");
        // A state or none, both are right.
        drop(mapper.open(params));
    }
    let mut tried = 6;
    let kinds = mapper.kinds();
    let texts = texts();
    let jsons = ["", "null", "{", "[]", "{}", r#"{"tool":3}"#, &deep()];
    for kind in (0..64).filter(|kind| wanted(kinds, *kind)) {
        for (what, text) in &texts {
            for json in jsons {
                // A new state for each: one that has failed is done with.
                let mut state = mapper::open(bench, mapper, tried)?;
                bench.note(&format!("mapping an event of kind {kind} with {what}"));
                let event = EventRef {
                    kind,
                    name: "event",
                    text,
                    json,
                    ..EventRef::default()
                };
                // It may fail, and may not crash.
                let _ = state.map(event, &mut |_| {});
                tried += 1;
            }
        }
    }
    let mut state = mapper::open(bench, mapper, tried)?;
    for event in mapper::events() {
        mapper::map(mapper, &mut state, &event)
            .map_err(|fault| format!("after the hostile events: {fault}"))?;
    }
    Ok(tried)
}

fn wanted(kinds: EventKinds, kind: u32) -> bool {
    kinds.contains_kind(kind)
}
