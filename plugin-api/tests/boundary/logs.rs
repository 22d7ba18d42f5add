//! The author's `tracing` events. One test: the level is the whole library's.

use plugin_api::tracing::Level;

use crate::host::{PLUGIN, agent, host, run_json};

#[tokio::test]
async fn lines_reach_the_host_with_level_fields_and_scope() {
    let worker = agent("worker", "{}").await;
    let mut quiet = host().scope();
    worker.run(quiet.id, &run_json("log nothing"));
    quiet.finished().await;

    PLUGIN.library.set_log_level(Some(Level::INFO));
    let mut run = host().scope();
    worker.run(run.id, &run_json("log this"));
    run.finished().await;
    PLUGIN.library.set_log_level(None);
    let mut after = host().scope();
    worker.run(after.id, &run_json("log nothing"));
    after.finished().await;

    let lines = host().lines.borrow();
    assert!(
        !lines
            .iter()
            .any(|line| line.scope == quiet.id || line.scope == after.id)
    );
    let lines: Vec<_> = lines.iter().filter(|line| line.scope == run.id).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (lines[0].level, lines[0].message.as_str()),
        (Level::INFO, "told to: this")
    );
    assert_eq!(lines[0].fields, "{\"answer\":42,\"who\":\"me\"}");
    assert_eq!(lines[0].target, "boundary::fixture");
    // From a task of the author's own, by its span.
    assert_eq!(
        (lines[1].level, lines[1].message.as_str()),
        (Level::WARN, "from a task")
    );
}
