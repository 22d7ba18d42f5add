//! A plugin in C, compiled here with the published header, and what a library can do wrong that Rust would
//! not let it.

use plugin_api::Event;
use roundhouse_host::plugin::{FailureKind, PluginState, RunEnd, ToolRequest};
use roundhouse_tests::compile_c;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::stage::{
    EVENT_BYTES, Recorder, Stage, answer, mapper_params, run, soon, start, toml_path, until,
};

const AGENT: &str = "[agents.main]\ncomponent = \"c/agent\"\n";

/// A configuration of the library, which is compiled first.
fn with_library(stage: &Stage, macros: &[&str], rest: &str) -> String {
    let file = compile_c(&stage.path(""), "c", macros);
    format!("[plugins.libraries.c]\nfile = {}\n{rest}", toml_path(&file))
}

async fn faults(macros: &[&str], rest: &str) -> String {
    let stage = Stage::new();
    stage.faults(&with_library(&stage, macros, rest)).await
}

#[tokio::test]
async fn a_minimal_agent_runs() {
    let stage = Stage::new();
    let catalog = stage.load(&with_library(&stage, &[], AGENT)).await;
    let agent = catalog.agent("main").unwrap();
    assert_eq!(agent.summary(), "An agent in C.");
    let host = Recorder::new();
    let RunEnd::Finished(outcome) = run(agent, "hello", &host).await else {
        panic!()
    };
    assert_eq!(outcome.content, "done");
    assert_eq!(host.deltas(), ["hello from C"]);
    soon(
        "shutting down",
        catalog.shutdown(std::time::Duration::from_secs(30)),
    )
    .await;
}

#[tokio::test]
async fn a_library_that_needs_a_newer_host_is_told_with_both_versions() {
    let told = faults(&["MINOR=99", "MIN_HOST_MINOR=98"], AGENT).await;
    for part in [
        "c-fixture 1.2.3",
        "a C compiler",
        "1.99",
        "1.98",
        "this host has 1.1",
        "FOLDER/c.so",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[tokio::test]
async fn a_library_that_is_newer_and_needs_nothing_newer_loads() {
    let stage = Stage::new();
    let catalog = stage
        .load(&with_library(&stage, &["MINOR=99"], AGENT))
        .await;
    assert_eq!(
        answer(catalog.agent("main").unwrap(), "hello").await,
        "done"
    );
}

#[tokio::test]
async fn a_library_of_another_major_is_told_with_both_majors() {
    let told = faults(&["SYMBOL=rh_plugin_v9"], AGENT).await;
    assert!(
        told.contains(
            "c.so` was built for version 9 of the plugin boundary (it exports `rh_plugin_v9`)"
        ),
        "{told}"
    );
    assert!(
        told.contains("this host has version 0 (`rh_plugin_v1`)"),
        "{told}"
    );
}

#[tokio::test]
async fn a_library_that_is_no_plugin_is_told_so() {
    let told = faults(&["SYMBOL=something_else"], AGENT).await;
    assert!(
        told.contains("c.so` is a library but not a plugin: it exports no `rh_plugin_v1`"),
        "{told}"
    );
    let told = faults(&["NO_DESCRIPTOR"], AGENT).await;
    assert!(
        told.contains("c.so` cannot be loaded: the descriptor is not what it must be"),
        "{told}"
    );
    let told = faults(&["REFUSE"], AGENT).await;
    assert!(
        told.contains("c.so` cannot be loaded: the library's init answered -3"),
        "{told}"
    );
    let told = faults(&["FLAGS=RH_PLUGIN_PANIC_ABORT"], AGENT).await;
    assert!(told.contains("panic = \"abort\""), "{told}");
}

#[tokio::test]
async fn a_component_of_an_unknown_kind_is_listed_and_the_rest_works() {
    let stage = Stage::new();
    let config = with_library(&stage, &[], AGENT);
    let catalog = stage.load(&config).await;
    let PluginState::Loaded { components, .. } = &catalog.plugins()[0].state else {
        panic!()
    };
    let hologram = components
        .iter()
        .find(|component| component.name == "hologram")
        .unwrap();
    assert!(
        !hologram.supported && hologram.kind.contains("4711"),
        "{hologram:?}"
    );
    assert_eq!(
        answer(catalog.agent("main").unwrap(), "hello").await,
        "done"
    );

    let told = faults(&[], "[agents.main]\ncomponent = \"c/hologram\"\n").await;
    assert!(
        told.contains(
            "agents.main.component: plugin `c` has `hologram`, which is of a kind (4711)"
        ),
        "{told}"
    );
}

#[tokio::test]
async fn garbage_in_the_life_of_an_instance_is_a_fault() {
    for (config, reason) in [
        ("no_instance", "it finished `create` without an instance"),
        (
            "null_completion",
            "the plugin's completion is not what it must be",
        ),
        ("strange_status", "could not be made"),
    ] {
        let told = faults(&[], &format!("{AGENT}config.{config} = 1\n")).await;
        assert!(
            told.contains("agents.main.component: ") && told.contains(reason),
            "{told}"
        );
    }
    let told = faults(&[], "[agents.main]\ncomponent = \"c/badly-described\"\n").await;
    assert!(
        told.contains("the component's description is not what it must be"),
        "{told}"
    );
}

#[tokio::test]
async fn garbage_that_a_run_emits_changes_nothing() {
    let stage = Stage::new();
    let catalog = stage.load(&with_library(&stage, &[], AGENT)).await;
    let agent = catalog.agent("main").unwrap();
    let host = Recorder::new();
    let RunEnd::Finished(outcome) = run(agent, "garbage", &host).await else {
        panic!()
    };
    assert_eq!(outcome.content, "-1 -1 -1 -1 -1 -1 -1 2");
    assert_eq!(host.events(), []);

    let end = run(agent, "bad_outcome", &host).await;
    let RunEnd::Failed {
        kind: FailureKind::Internal,
        text,
    } = end
    else {
        panic!("{end:?}")
    };
    assert!(
        text.contains("the agent's outcome is not what it must be"),
        "{text}"
    );
    let end = run(agent, "no_outcome", &host).await;
    assert_eq!(end, RunEnd::Finished(Default::default()));
    let RunEnd::Finished(outcome) = run(agent, "twice", &host).await else {
        panic!()
    };
    assert_eq!(outcome.content, "first");
    assert_eq!(host.events(), []);
}

/// One thread serves this test's host: if the run had it, nobody else would get on.
#[tokio::test]
async fn a_run_that_does_not_return_at_once_takes_no_thread_from_the_host() {
    let stage = Stage::new();
    let catalog = stage.load(&with_library(&stage, &[], AGENT)).await;
    let agent = catalog.agent("main").unwrap();
    let host = Recorder::new();
    let mut blocking = start(agent, "blocking", &host).await;
    assert_eq!(host.deltas(), ["blocking"]);
    assert_eq!(answer(agent, "hello").await, "done");
    blocking.stop();
    let RunEnd::Stopped(outcome) = soon("the end", blocking.finished()).await else {
        panic!()
    };
    assert_eq!(outcome.content, "stopped");
}

#[tokio::test]
async fn a_kind_of_event_from_a_later_release_is_carried_as_a_custom_event() {
    let stage = Stage::new();
    let catalog = stage.load(&with_library(&stage, &[], AGENT)).await;
    let host = Recorder::new();
    run(catalog.agent("main").unwrap(), "newer", &host).await;
    let weather = Event::from_wire_value(json!({"type": "weather", "sky": "blue"})).unwrap();
    assert_eq!(host.events(), [weather]);
}

#[tokio::test]
async fn a_scope_is_worth_nothing_to_another_library() {
    let stage = Stage::new();
    let one = compile_c(&stage.path(""), "one", &[]);
    let other = compile_c(&stage.path(""), "other", &[]);
    let catalog = stage
        .load(&format!(
            "default_agent = \"one\"\n[plugins.libraries.one]\nfile = {}\n[plugins.libraries.other]\nfile = {}\n\
             [agents.one]\ncomponent = \"one/agent\"\n[agents.other]\ncomponent = \"other/agent\"\n",
            toml_path(&one),
            toml_path(&other)
        ))
        .await;
    let host = Recorder::new();
    let mut open = start(catalog.agent("one").unwrap(), "scope", &host).await;
    until("the scope", || host.deltas().len() == 1).await;
    let scope = host.deltas().remove(0);
    let forging = format!("foreign {scope}");
    assert_eq!(
        answer(catalog.agent("other").unwrap(), &forging).await,
        "2 2",
        "STOP to both"
    );
    assert_eq!(host.deltas(), std::slice::from_ref(&scope));
    open.stop();
    assert!(matches!(
        soon("the end", open.finished()).await,
        RunEnd::Stopped(_)
    ));
    // And nothing to anybody after its end.
    assert_eq!(answer(catalog.agent("one").unwrap(), &forging).await, "2 2");
}

#[tokio::test]
async fn garbage_from_a_tool_is_a_result_without_success() {
    let stage = Stage::new();
    let config = with_library(
        &stage,
        &[],
        &format!("{AGENT}[tools.t]\ncomponent = \"c/tools\"\n"),
    );
    let catalog = stage.load(&config).await;
    let (args, cancel) = (json!({}), CancellationToken::new());
    let call = async |tool| {
        let request = ToolRequest {
            tool,
            args: &args,
            call_id: "c",
            run_id: "r",
            session_id: "s",
        };
        let agent = catalog.agent("main").unwrap();
        soon("a call", catalog.call_tool(agent, request, |_| {}, &cancel)).await
    };
    let output = call("garbage").await;
    assert!(!output.success);
    assert!(
        output
            .text
            .starts_with("Tool `garbage` gave an answer that is not what it must be"),
        "{}",
        output.text
    );
    assert_eq!(call("good").await.text, "fine");
}

#[tokio::test]
async fn garbage_from_a_mapper_is_its_fault() {
    let stage = Stage::new();
    let config = with_library(
        &stage,
        &[],
        &format!("{AGENT}[[mappers]]\ncomponent = \"c/mapper\"\n"),
    );
    let catalog = stage.load(&config).await;
    for bad in [
        "unknown verdict",
        "push and pass",
        "bad utf8",
        "bad json",
        "null",
    ] {
        let mut chain = catalog
            .agent("main")
            .unwrap()
            .open_mappers(&mapper_params())
            .await
            .unwrap();
        let mapped = Event::stream_delta(bad).with_parts(|parts| {
            chain.map(parts, EVENT_BYTES, &mut |event| panic!("{bad}: {event:?}"))
        });
        assert_eq!(mapped.unwrap_err().mapper, "c/mapper", "{bad}");
    }
}

/// The library with functions that do not return before `until` is there.
fn hanging(stage: &Stage, macros: &[&str]) -> String {
    let until = format!("UNTIL={}", toml_path(&stage.path("until")));
    let folder = format!("FOLDER={}", toml_path(&stage.path("")));
    let macros = [&[until.as_str(), &folder], macros].concat();
    with_library(stage, &macros, AGENT)
}

// On one thread, which the library would block.
#[tokio::test]
async fn a_stop_that_does_not_return_holds_nobody_up() {
    let stage = Stage::new();
    let catalog = stage.load(&hanging(&stage, &["STOP_HANGS"])).await;
    let agent = catalog.agent("main").unwrap();
    let first = start(agent, "scope", &Recorder::new()).await;
    first.stop();
    // The same library goes on, but for its stops.
    assert_eq!(answer(agent, "hello").await, "done");
    drop(start(agent, "scope", &Recorder::new()).await);
    assert_eq!(answer(agent, "hello").await, "done");
    std::fs::write(stage.path("until"), "").unwrap();
}

#[test]
fn runs_that_do_not_return_leave_threads_to_others() {
    // Of which a host has a few hundred, and a test these.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(24)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stage = Stage::new();
        let catalog = stage.load(&hanging(&stage, &[])).await;
        let starts = (0..30).map(|_| {
            let agent = std::sync::Arc::clone(catalog.agent("main").unwrap());
            tokio::spawn(async move {
                let params = super::stage::params("hang");
                agent.start(&params, Recorder::new()).await
            })
        });
        let starts = soon("30 starts", futures_util::future::join_all(starts)).await;
        let begun = starts
            .iter()
            .filter(|start| start.as_ref().unwrap().is_ok());
        assert_eq!(begun.count(), 16);
        soon("a thread", tokio::task::spawn_blocking(|| ()))
            .await
            .unwrap();
        std::fs::write(stage.path("until"), "").unwrap();
    });
}

#[tokio::test]
async fn a_library_that_does_not_open_is_given_up() {
    let stage = Stage::new();
    let config = hanging(&stage, &["INIT_HANGS"]);
    let long_after = async {
        until("the library's init", || stage.path("until.begun").exists()).await;
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_secs(61)).await;
        tokio::time::resume();
    };
    let (faults, ()) = tokio::join!(stage.faults(&config), long_after);
    assert!(
        faults.contains("FOLDER/c.so` was not opened within 60 seconds"),
        "{faults}"
    );
    std::fs::write(stage.path("until"), "").unwrap();
}

// On two threads, which two runs would take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_not_returned_from_holds_nobody_up() {
    let stage = Stage::new();
    let config = hanging(&stage, &[]).replace("agents.main", "agents.c");
    let host = roundhouse_tests::TestHost::with(&config).await;
    let mut asking = Vec::new();
    for _ in 0..3 {
        let session = host.session_with("c").await;
        let mut client = host.idle(session).await;
        client.begin("ask").await;
        asking.push(client);
    }
    until("an answer", || stage.path("until.begun").exists()).await;
    let mut other = host.client().await;
    let frames = other.run("hello").await;
    assert_eq!(frames.last().unwrap().kind(), "stream_end");
    std::fs::write(stage.path("until"), "").unwrap();
    for client in &mut asking {
        let frames = client.rest_of_run().await;
        assert_eq!(frames.last().unwrap().kind(), "stream_end");
    }
    asking.push(other);
    host.shut_down(asking).await;
}
