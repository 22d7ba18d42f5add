//! A run that cannot be ended, and the fresh copy of its library that serves the next one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::wire::RunParams;
use roundhouse_host::plugin::{COPIES_OPENED, Catalog, RunEnd};

use super::stage::{FAULTY, Recorder, Stage, answer, mapper_params, soon, start, toml_path, until};

const MAIN: &str = "[agents.main]\ncomponent = \"faulty/agent\"\n";

async fn generation(catalog: &Catalog) -> u64 {
    answer(catalog.agent("main").unwrap(), "generation")
        .await
        .parse()
        .unwrap()
}

/// Starts a run that blocks until `go` is there, and abandons it.
async fn abandon_one(stage: &Stage, catalog: &Catalog) {
    let host = Recorder::new();
    let blocking = start(
        catalog.agent("main").unwrap(),
        &format!("block {}", stage.path("go").display()),
        &host,
    )
    .await;
    until("the blocking run", || host.deltas() == ["blocking"]).await;
    blocking.stop();
    blocking.abandon();
}

#[tokio::test]
async fn after_a_run_was_abandoned_a_fresh_copy_serves() {
    let stage = Stage::new();
    let report = toml_path(&stage.path("report"));
    let catalog = stage
        .load(&format!(
            "default_agent = \"main\"\n{FAULTY}{MAIN}config.report = {report}\n[agents.other]\ncomponent = \"faulty/agent\"\n\
             [[mappers]]\ncomponent = \"faulty/mapper\"\nconfig.mode = \"dot\"\n[tools.t]\ncomponent = \"faulty/tools\"\n"
        ))
        .await;
    let first = generation(&catalog).await;
    // These go on in the old copy.
    let mut waiting = start(
        catalog.agent("other").unwrap(),
        "wait_stop",
        &Recorder::new(),
    )
    .await;
    let _chain = catalog
        .agent("main")
        .unwrap()
        .open_mappers(&mapper_params())
        .await
        .unwrap();
    abandon_one(&stage, &catalog).await;

    let second = generation(&catalog).await;
    assert!(second > first, "{second} after {first}");
    assert_eq!(
        generation(&catalog).await,
        second,
        "one fresh copy is enough"
    );
    assert_eq!(stage.report("report"), ["created main", "created main"]);
    assert_eq!(catalog.tools().len(), 13);
    catalog
        .agent("main")
        .unwrap()
        .open_mappers(&mapper_params())
        .await
        .unwrap();

    waiting.stop();
    let end = soon("the run in the old copy", waiting.finished()).await;
    assert!(matches!(end, RunEnd::Stopped(_)), "{end:?}");
    std::fs::write(stage.path("go"), "").unwrap();
}

#[tokio::test]
async fn the_old_copy_ends_when_its_last_run_does() {
    let stage = Stage::new();
    let report = toml_path(&stage.path("report"));
    let catalog = stage
        .load(&format!("{FAULTY}{MAIN}config.report = {report}\n"))
        .await;
    let first = generation(&catalog).await;
    abandon_one(&stage, &catalog).await;
    let second = generation(&catalog).await;
    assert_eq!(stage.report("report"), ["created main", "created main"]);
    std::fs::write(stage.path("go"), "").unwrap();
    until("the old instance's end", || {
        stage.report("report").len() == 4
    })
    .await;
    assert_eq!(
        stage.report("report")[2..],
        ["unblocked".to_owned(), format!("shut down {first}")]
    );
    assert_eq!(generation(&catalog).await, second);
}

#[tokio::test]
async fn those_who_come_at_the_same_time_share_the_fresh_copy() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}")).await;
    abandon_one(&stage, &catalog).await;
    let all = futures_util::future::join_all((0..10).map(|_| generation(&catalog))).await;
    assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
    std::fs::write(stage.path("go"), "").unwrap();
}

#[tokio::test]
async fn a_start_that_is_dropped_does_not_stop_the_renewal() {
    let stage = Stage::new();
    let report = toml_path(&stage.path("report"));
    let catalog = stage
        .load(&format!("{FAULTY}{MAIN}config.report = {report}\n"))
        .await;
    abandon_one(&stage, &catalog).await;
    {
        let params = RunParams::default();
        let starting = catalog
            .agent("main")
            .unwrap()
            .start(&params, Recorder::new());
        tokio::pin!(starting);
        // Polled once, which is when it begins.
        assert!(futures_util::poll!(&mut starting).is_pending());
    }
    until("the fresh copy", || stage.report("report").len() == 2).await;
    generation(&catalog).await;
    assert_eq!(stage.report("report").len(), 2);
    std::fs::write(stage.path("go"), "").unwrap();
}

#[tokio::test]
async fn a_fresh_copy_that_cannot_be_made_is_a_reason_not_to_start() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}")).await;
    abandon_one(&stage, &catalog).await;
    take_staged(&stage);
    let params = super::stage::params("hello");
    let refused = catalog
        .agent("main")
        .unwrap()
        .start(&params, Recorder::new())
        .await
        .err()
        .unwrap();
    assert!(
        refused
            .to_string()
            .contains("no fresh copy could be made: cannot read"),
        "{refused}"
    );
    std::fs::write(stage.path("go"), "").unwrap();
}

/// Takes the file away that fresh copies are made of, which is the one that was checked at the start. Answers what is
/// to be put back.
fn take_staged(stage: &Stage) -> Vec<(PathBuf, Vec<u8>)> {
    let mut taken = Vec::new();
    let folders = std::fs::read_dir(stage.path("data/plugins")).unwrap();
    for folder in folders
        .flatten()
        .map(|folder| folder.path())
        .filter(|path| path.is_dir())
    {
        for file in std::fs::read_dir(folder).unwrap().flatten() {
            let bytes = std::fs::read(file.path()).unwrap();
            std::fs::remove_file(file.path()).unwrap();
            taken.push((file.path(), bytes));
        }
    }
    taken
}

#[tokio::test]
async fn copies_that_could_not_be_made_do_not_count() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}")).await;
    let first = generation(&catalog).await;
    abandon_one(&stage, &catalog).await;
    let taken = take_staged(&stage);
    let params = super::stage::params("hello");
    let agent = catalog.agent("main").unwrap();
    // Each attempt a while after the one before it.
    tokio::time::pause();
    for _ in 0..=COPIES_OPENED {
        assert!(agent.start(&params, Recorder::new()).await.is_err());
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    tokio::time::resume();
    for (file, bytes) in taken {
        std::fs::write(file, bytes).unwrap();
    }
    assert!(generation(&catalog).await > first);
    std::fs::write(stage.path("go"), "").unwrap();
}

#[tokio::test]
async fn copies_are_not_opened_without_end() {
    let stage = Stage::new();
    let catalog = stage.load(&format!("{FAULTY}{MAIN}")).await;
    let mut last = 0;
    for _ in 0..COPIES_OPENED + 3 {
        // Abandoned without need, which to the host is the same.
        let host: Arc<Recorder> = Recorder::new();
        let handle = start(catalog.agent("main").unwrap(), "wait_stop", &host).await;
        handle.abandon();
        last = generation(&catalog).await;
    }
    assert_eq!(generation(&catalog).await, last, "the last one serves on");
    soon("shutting down", catalog.shutdown(Duration::from_secs(30))).await;
}

#[tokio::test]
async fn a_run_that_goes_on_keeps_only_its_own_instance_from_ending() {
    let stage = Stage::new();
    let report = toml_path(&stage.path("report"));
    let catalog = stage
        .load(&format!(
            "default_agent = \"main\"\n{FAULTY}{MAIN}[agents.other]\ncomponent = \"faulty/agent\"\nconfig.report = {report}\n"
        ))
        .await;
    abandon_one(&stage, &catalog).await;
    let shutdown = catalog.shutdown(Duration::from_secs(30));
    tokio::pin!(shutdown);
    let other_ended = until("the other's end", || stage.report("report").len() == 2);
    tokio::select! {
        () = &mut shutdown => panic!("an instance in use was ended"),
        () = other_ended => {}
    }
    std::fs::write(stage.path("go"), "").unwrap();
    soon("shutting down", shutdown).await;
}
