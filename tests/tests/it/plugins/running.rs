//! Runs of real agents, the bad ones above all.

use std::sync::Arc;
use std::time::Duration;

use plugin_api::Event;
use roundhouse_host::plugin::{FailureKind, RunEnd};

use super::stage::{FAULTY, Recorder, Stage, answer, run, soon, start, toml_path, until};

const MAIN: &str = "[agents.main]\ncomponent = \"faulty/agent\"\n";

#[tokio::test]
async fn a_run_emits_and_ends_with_its_outcome() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}")).await;
    let agent = catalog.agent("main").unwrap();
    let host = Recorder::new();
    let mut handle = start(agent, "hello", &host).await;
    let RunEnd::Finished(outcome) = soon("the run", handle.finished()).await else {
        panic!()
    };
    assert_eq!(
        (outcome.content.as_str(), outcome.token_count),
        ("hello", 7)
    );
    assert_eq!(outcome.data, Some(serde_json::json!({"previous": null})));
    assert_eq!(host.deltas(), ["hello"]);
    // Asked again, the end is the same.
    assert_eq!(handle.finished().await, RunEnd::Finished(outcome));
}

#[tokio::test]
async fn errors_and_panics_keep_their_kind_and_hurt_nobody_else() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}")).await;
    let agent = catalog.agent("main").unwrap();
    let failed = async |content: &str| match run(agent, content, &Recorder::new()).await {
        RunEnd::Failed { kind, text } => (kind, text),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        failed("error not_found").await.0,
        FailureKind::SessionNotFound
    );
    let (kind, text) = failed("error max_iterations").await;
    assert_eq!(
        (kind, text.as_str()),
        (FailureKind::MaxIterations, "told to iterate")
    );
    let (kind, text) = failed("error agent").await;
    assert_eq!((kind, text.as_str()), (FailureKind::Agent, "told to fail"));
    let (kind, text) = failed("error internal").await;
    assert_eq!(kind, FailureKind::Internal);
    assert!(text.contains("told to fail inside"), "{text}");
    let (kind, text) = failed("panic").await;
    assert_eq!(kind, FailureKind::Internal);
    assert!(text.contains("told to panic"), "{text}");
    assert_eq!(answer(agent, "still here").await, "still here");
}

#[tokio::test]
async fn a_stop_reaches_the_agent_and_what_it_returns_decides() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}")).await;
    let agent = catalog.agent("main").unwrap();
    let mut handle = start(agent, "wait_stop", &Recorder::new()).await;
    handle.stop();
    handle.stop();
    let RunEnd::Stopped(outcome) = soon("the stop", handle.finished()).await else {
        panic!()
    };
    assert_eq!(outcome.content, "stopped as asked");
    handle.stop();
}

#[tokio::test]
async fn one_that_ignores_the_stop_but_awaits_is_dropped_by_its_library() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}")).await;
    let agent = catalog.agent("main").unwrap();
    let mut params = super::stage::params("hang");
    params.grace_ms = 50;
    let mut handle = agent.start(&params, Recorder::new()).await.unwrap();
    handle.stop();
    let end = soon("the library's own deadline", handle.finished()).await;
    assert!(matches!(end, RunEnd::Stopped(_)), "{end:?}");
}

#[tokio::test]
async fn a_run_is_over_after_its_end() {
    let stage = Stage::new();
    let report = toml_path(&stage.path("report"));
    let catalog = stage
        .load(&format!("{FAULTY}{MAIN}config.report = {report}\n"))
        .await;
    let agent = catalog.agent("main").unwrap();
    let host = Recorder::new();
    let go = stage.path("go");
    let mut handle = start(agent, &format!("late {}", go.display()), &host).await;
    soon("the run", handle.finished()).await;
    std::fs::write(&go, "").unwrap();
    until("the late report", || stage.report("report").len() == 3).await;
    assert_eq!(
        stage.report("report")[1..],
        ["late emit Err(Stopped)", "late request refused true"]
    );
    assert_eq!(host.events(), []);
}

#[tokio::test]
async fn a_run_is_over_when_nobody_holds_it_any_more() {
    let stage = Stage::new();
    let report = toml_path(&stage.path("report"));
    let catalog = stage
        .load(&format!("{FAULTY}{MAIN}config.report = {report}\n"))
        .await;
    let agent = catalog.agent("main").unwrap();
    let host = Recorder::new();
    let go = stage.path("go");
    let handle = start(agent, &format!("block {}", go.display()), &host).await;
    until("the first event", || host.deltas() == ["blocking"]).await;
    drop(handle);
    std::fs::write(&go, "").unwrap();
    until("the end in the library", || {
        stage.report("report").len() == 2
    })
    .await;
    // What the library still reports goes nowhere, and the next run is served.
    assert_eq!(host.deltas(), ["blocking"]);
    assert_eq!(answer(agent, "next").await, "next");
}

#[tokio::test]
async fn events_come_from_any_number_of_threads() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}")).await;
    let agent = catalog.agent("main").unwrap();
    let host = Recorder::new();
    let RunEnd::Finished(outcome) = run(agent, "threads 8 200", &host).await else {
        panic!()
    };
    assert_eq!(outcome.content, "true");
    let deltas = host.deltas();
    assert_eq!(deltas.len(), 1600);
    for thread in 0..8 {
        let of_thread: Vec<usize> = deltas
            .iter()
            .filter_map(|delta| delta.strip_prefix(&format!("{thread}:"))?.parse().ok())
            .collect();
        assert_eq!(
            of_thread,
            (0..200).collect::<Vec<_>>(),
            "the order of thread {thread}"
        );
    }
}

#[tokio::test]
async fn concurrent_runs_do_not_see_each_other() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}")).await;
    let agent = catalog.agent("main").unwrap();
    let runs = (0..20).map(|n| async move {
        let host = Recorder::new();
        let end = run(agent, &format!("run {n}"), &host).await;
        assert!(matches!(end, RunEnd::Finished(_)), "{end:?}");
        assert_eq!(host.deltas(), [format!("run {n}")]);
    });
    futures_util::future::join_all(runs).await;
}

#[tokio::test]
async fn what_the_host_refuses_the_agent_hears() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}")).await;
    let agent = catalog.agent("main").unwrap();
    let host = Recorder::with_limit(1000);
    let RunEnd::Finished(outcome) = run(agent, "big 1001", &host).await else {
        panic!()
    };
    assert_eq!(outcome.content, "Err(TooLarge)");
    let RunEnd::Finished(outcome) = run(agent, "big 1000", &host).await else {
        panic!()
    };
    assert_eq!(outcome.content, "Ok(())");
    assert_eq!(host.deltas().len(), 1);
}

#[tokio::test]
async fn a_runs_requests_and_images_come_from_its_host() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}")).await;
    let agent = catalog.agent("main").unwrap();
    assert_eq!(answer(agent, "tool any {}").await, "true from the host");

    let host = Recorder::with_images(vec![
        Arc::from([0_u8].as_slice()),
        Arc::from([1_u8, 2, 3].as_slice()),
    ]);
    let mut params = super::stage::params("image");
    let mut image = plugin_api::wire::ImageInfo::default();
    image.handle = 1;
    image.media_type = "image/png".to_owned();
    image.bytes = 3;
    params.images.push(image);
    let mut handle = agent.start(&params, host).await.unwrap();
    let RunEnd::Finished(outcome) = soon("the run", handle.finished()).await else {
        panic!()
    };
    assert_eq!(outcome.content, "image/png [1, 2, 3]");
}

#[tokio::test]
async fn many_events_are_quick() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}")).await;
    let host = Recorder::new();
    let flood = run(catalog.agent("main").unwrap(), "flood 20000", &host);
    let end = tokio::time::timeout(Duration::from_secs(60), flood)
        .await
        .unwrap();
    assert!(matches!(end, RunEnd::Finished(_)));
    let events = host.events();
    assert_eq!(events.len(), 20_000);
    assert!(matches!(&events[19_999], Event::StreamDelta(delta) if delta.delta == "19999"));
}
