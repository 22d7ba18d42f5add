//! Instances: how they are made and ended, and the many ways in which that goes wrong.

use super::stage::{FAULTY, Recorder, Stage, params, soon, toml_path, until};

const MAIN: &str = "[agents.main]\ncomponent = \"faulty/agent\"\n";

#[tokio::test]
async fn an_instance_that_cannot_be_made_is_told_with_its_reason() {
    for (step, key, reason) in [
        ("panic", "agents.main.component", "told to panic"),
        ("fail", "agents.main.component", "told to fail"),
        ("refuse", "agents.main.config", "told to refuse"),
    ] {
        let stage = Stage::new();
        let faults = stage
            .faults(&format!("{FAULTY}{MAIN}config.create = \"{step}\"\n"))
            .await;
        assert!(faults.contains(&format!("{key}: ")), "{faults}");
        assert!(faults.contains(reason), "{faults}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_never_comes_is_not_waited_for() {
    let stage = Stage::new();
    let faults = stage
        .faults(&format!("{FAULTY}{MAIN}config.create = \"hang\"\n"))
        .await;
    assert!(
        faults.contains(
            "agents.main.component: could not be made: it did not answer within 30 seconds"
        ),
        "{faults}"
    );
}

#[tokio::test]
async fn a_component_that_panics_when_asked_what_it_is_fails_alone() {
    let stage = Stage::new();
    let faults = stage
        .faults(&format!(
            "{FAULTY}[agents.main]\ncomponent = \"faulty/undescribed\"\n"
        ))
        .await;
    assert!(
        faults.contains(
            "agents.main.component: cannot be used: the component does not describe itself"
        ),
        "{faults}"
    );
}

#[tokio::test]
async fn toolsets_are_listed_at_the_start() {
    let stage = Stage::new();
    let tools = "[tools.t]\ncomponent = \"faulty/tools\"\n";
    for (config, reason) in [
        (
            "config.list = \"panic\"",
            "tools.t.component: cannot be used: its tools could not be listed: ",
        ),
        (
            "config.list = \"fail\"",
            "tools.t.component: cannot be used: it lists a tool called ``",
        ),
        ("config.more = [\"a\", \"a\"]", "two tools called `a`"),
        ("config.more = [\"a b\"]", "a tool called `a b`"),
        (
            "config.schema = { type = \"thing\" }",
            "the input schema of its tool `odd` is not a valid JSON Schema",
        ),
    ] {
        let faults = stage
            .faults(&format!("{FAULTY}{MAIN}{tools}{config}\n"))
            .await;
        assert!(faults.contains(reason), "{reason}\n{faults}");
    }
}

#[tokio::test]
async fn instances_are_ended_with_the_catalogue() {
    let stage = Stage::new();
    let report = toml_path(&stage.path("report"));
    let catalog = stage
        .load(&format!("{FAULTY}{MAIN}config.report = {report}\n"))
        .await;
    catalog.session_ended("s-1");
    soon(
        "shutting down",
        catalog.shutdown(std::time::Duration::from_secs(30)),
    )
    .await;
    until("the report", || stage.report("report").len() == 3).await;
    let lines = stage.report("report");
    assert_eq!(lines[..2], ["created main", "session ended s-1"]);
    assert!(lines[2].starts_with("shut down"), "{lines:?}");
    let refused = catalog
        .agent("main")
        .unwrap()
        .start(&params("hello"), Recorder::new())
        .await
        .err()
        .unwrap();
    assert!(refused.to_string().contains("shutting"), "{refused}");
}

#[tokio::test]
async fn an_instance_that_does_not_end_is_not_waited_for() {
    let stage = Stage::new();
    let catalog = stage
        .load(&format!("{FAULTY}{MAIN}config.shutdown = \"hang\"\n"))
        .await;
    // As above, the host's clock.
    tokio::time::pause();
    soon(
        "shutting down",
        catalog.shutdown(std::time::Duration::from_secs(5)),
    )
    .await;
}
