//! What clients are told when the store fails.

use roundhouse_tests::script::delta;
use roundhouse_tests::{TestHost, script, text_of};
use rusqlite::Connection;
use serde_json::json;

const NOT_SAVED: &str = "Internal error: the turn could not be saved";

/// The host's database, opened a second time.
fn database(host: &TestHost) -> Connection {
    Connection::open(host.path("data/roundhouse.db")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_outcome_cannot_be_saved_ends_with_an_error() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.run("one").await;
    database(&host)
        .execute_batch(
            "CREATE TRIGGER broken BEFORE UPDATE OF status ON runs BEGIN SELECT RAISE(ABORT, 'broken'); END;",
        )
        .unwrap();
    let frames = client
        .run(&script(&[
            delta("streamed"),
            json!({"emit": {"kind": "stream_end", "content": "x"}}),
        ]))
        .await;
    assert_eq!(text_of(&frames), "streamed");
    assert_eq!(
        *frames.last().unwrap().value(),
        json!({"type": "error", "message": NOT_SAVED})
    );

    database(&host)
        .execute_batch("DROP TRIGGER broken;")
        .unwrap();
    assert_eq!(text_of(&client.run("works again").await), "works again ");
    let statuses: Vec<_> = host
        .runs(session)
        .await
        .iter()
        .map(|run| run.status.as_str())
        .collect();
    assert_eq!(statuses, ["completed", "lost", "completed"]);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_saved_begins_no_run() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    database(&host)
        .execute_batch("CREATE TRIGGER broken BEFORE INSERT ON turns BEGIN SELECT RAISE(ABORT, 'broken'); END;")
        .unwrap();
    client.message("in vain").await;
    client.expect_error(NOT_SAVED).await;
    assert!(host.history(session).await.is_empty());
    assert!(host.runs(session).await.is_empty());

    database(&host)
        .execute_batch("DROP TRIGGER broken;")
        .unwrap();
    assert_eq!(text_of(&client.run("works again").await), "works again ");
    host.shut_down([client]).await;
}
