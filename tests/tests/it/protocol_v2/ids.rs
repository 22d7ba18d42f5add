//! A message's id: sent twice, it is taken once.

use std::time::Duration;

use roundhouse_host::session::SessionId;
use roundhouse_tests::client::Connect;
use roundhouse_tests::script::delta;
use roundhouse_tests::{Client, Frame, Rest, TestHost, script, text_of};
use serde_json::{Value, json};

use super::{begin_held, ended, held};

const ID: &str = "5e2f3a52-0c1b-4b60-9d43-1d7a3e1f7a11";

/// Two owners; the tokens are "one" and "two".
const TOKENS: &str = r#"
[[auth.tokens]]
owner = "ada"
sha256 = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"

[[auth.tokens]]
owner = "bob"
sha256 = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
"#;

fn message(id: &str, content: &str) -> Value {
    json!({"type": "message", "content": content, "id": id})
}

fn duplicate(id: &str, run: &Value, state: &str) -> Value {
    json!({"type": "message_ack", "id": id, "run_id": run, "status": "duplicate", "state": state})
}

async fn runs(host: &TestHost, session: SessionId) -> usize {
    host.runs(session).await.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_taken_once_and_told_how_its_run_stands() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    for (number, content, state) in [
        (1, "one".to_owned(), "completed"),
        (2, held("two"), "stopped"),
        (3, script(&[json!({"raise": ["agent", "x"]})]), "error"),
    ] {
        let id = ID.replacen("5e", &format!("{number}e"), 1);
        let answer = client.ask(&message(&id, &content)).await;
        let run = answer["run_id"].clone();
        assert_eq!(
            answer,
            json!({"type": "message_ack", "id": id, "run_id": run, "status": "accepted"})
        );
        if state == "stopped" {
            client.until(|frame| frame.delta().is_some()).await;
            let again = client.ask(&message(&id, &content)).await;
            assert_eq!(again, duplicate(&id, &run, "running"));
            host.stop(session).await;
        }
        ended(&mut client).await;
        let again = client.ask(&message(&id, &content)).await;
        assert_eq!(again, duplicate(&id, &run, state));
    }
    assert_eq!(runs(&host, session).await, 3);
    // Whatever is done when it is busy.
    begin_held(&mut client, "four").await;
    for on_busy in ["reject", "enqueue", "interrupt"] {
        let mut again = message(&ID.replacen("5e", "1e", 1), "one");
        again["on_busy"] = on_busy.into();
        assert_eq!(client.ask(&again).await["state"], "completed", "{on_busy}");
    }
    host.stop(session).await;
    assert_eq!(ended(&mut client).await, "stopped");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_back_as_it_was_written() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let upper = ID.to_uppercase();
    let first = client.ask(&message(&upper, "one")).await;
    assert_eq!(first["id"], upper);
    client.whole_run().await;
    // It is the same id all the same.
    let again = client.ask(&message(ID, "one")).await;
    assert_eq!(again, duplicate(ID, &first["run_id"], "completed"));
    // Without one there is nothing to repeat.
    for _ in 0..2 {
        let answer = client
            .ask(&json!({"type": "message", "content": "one", "id": null}))
            .await;
        assert_eq!(
            (answer["status"].as_str(), answer.get("id")),
            (Some("accepted"), None)
        );
        client.whole_run().await;
    }
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_uuid_is_refused() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    for id in [
        json!("x"),
        json!(""),
        json!(7),
        json!({}),
        json!(format!("{ID}0")),
    ] {
        let text = json!({"type": "message", "content": "a", "id": id}).to_string();
        client.send_text(&text).await;
        let answer = client.answer().await;
        assert_eq!(
            (&answer["code"], &answer["retryable"]),
            (&json!("invalid_message"), &json!(false))
        );
        assert_eq!(answer["message"], "`id` must be a UUID.");
    }
    assert_eq!(runs(&host, session).await, 0);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_for_another_message_is_a_conflict() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let uploads = host
        .rest()
        .upload(session, &[("a.txt", b"a"), ("b.txt", b"b")])
        .await
        .body;
    let files = uploads.as_array().unwrap().clone();
    let file = |index: usize| json!({"name": files[index]["name"], "path": files[index]["path"]});
    let gif = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
    let mut client = host.v2(session).await;
    let mut first = message(ID, "one");
    first["images"] = json!([gif]);
    first["files"] = json!([file(0)]);
    let taken = client.ask(&first).await;
    assert_eq!(taken["status"], "accepted");
    client.whole_run().await;
    let changed = [
        ("content", json!("two")),
        ("images", json!([gif, gif])),
        ("images", json!([])),
        ("files", json!([file(1)])),
        ("files", json!([file(0), file(1)])),
        ("files", Value::Null),
    ];
    let check = async |client: &mut Client| {
        for (key, value) in &changed {
            let mut other = first.clone();
            other[*key] = value.clone();
            assert_eq!(
                client.ask(&other).await,
                json!({
                    "type": "error", "message": "This message id was used for another message.",
                    "code": "id_conflict", "retryable": false, "id": ID
                }),
                "{key}"
            );
        }
        // The same bytes are the same message, however they are written.
        let mut same = first.clone();
        same["images"] = json!([format!("data:image/gif;base64,{gif}")]);
        assert_eq!(
            client.ask(&same).await,
            duplicate(ID, &taken["run_id"], "completed")
        );
    };
    check(&mut client).await;
    assert_eq!(runs(&host, session).await, 1);
    begin_held(&mut client, "busy").await;
    check(&mut client).await;
    host.stop(session).await;
    ended(&mut client).await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_leaves_no_trace() {
    let host = TestHost::with("limits.queue = 0").await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    begin_held(&mut client, "a").await;
    // Refused because it is busy, because the queue is full, and because of what came with it.
    assert_eq!(client.ask(&message(ID, "one")).await["code"], "busy");
    for on_busy in ["enqueue", "interrupt"] {
        let mut full = message(ID, "two");
        full["on_busy"] = on_busy.into();
        let answer = client.ask(&full).await;
        assert_eq!(
            (&answer["code"], &answer["id"]),
            (&json!("queue_full"), &json!(ID))
        );
    }
    let mut image = message(ID, "three");
    image["images"] = json!(["bm8gaW1hZ2U="]);
    assert_eq!(client.ask(&image).await["code"], "invalid_image");
    // Nothing was stopped for it.
    let run = host.host().registry.current_run(session);
    assert!(run.is_some());
    host.stop(session).await;
    assert_eq!(ended(&mut client).await, "stopped");
    assert_eq!(runs(&host, session).await, 1);
    // So the id is free.
    assert_eq!(client.ask(&message(ID, "four")).await["status"], "accepted");
    assert_eq!(text_of(&client.whole_run().await), "four ");
    assert_eq!(host.history(session).await.len(), 4);

    // One that could not be stored is not known either.
    let id = ID.replacen("5e", "6e", 1);
    let database = rusqlite::Connection::open(host.path("data/roundhouse.db")).unwrap();
    let broken =
        "CREATE TRIGGER broken BEFORE INSERT ON turns BEGIN SELECT RAISE(ABORT, 'broken'); END;";
    database.execute_batch(broken).unwrap();
    let answer = client.ask(&message(&id, "five")).await;
    assert_eq!(
        (&answer["code"], &answer["id"]),
        (&json!("internal"), &json!(id))
    );
    database.execute_batch("DROP TRIGGER broken;").unwrap();
    assert_eq!(
        client.ask(&message(&id, "five")).await["status"],
        "accepted"
    );
    client.whole_run().await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_belong_to_their_session() {
    let host = TestHost::start().await;
    let mut clients = Vec::new();
    let mut runs = Vec::new();
    for content in ["one", "two"] {
        let session = host.session().await;
        let mut client = host.v2(session).await;
        let answer = client.ask(&message(ID, content)).await;
        assert_eq!(answer["status"], "accepted");
        client.whole_run().await;
        let again = client.ask(&message(ID, content)).await;
        assert_eq!(again["run_id"], answer["run_id"]);
        runs.push(answer["run_id"].clone());
        clients.push(client);
    }
    assert_ne!(runs[0], runs[1]);
    host.shut_down(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_belong_to_their_owner() {
    let host = TestHost::with(TOKENS).await;
    let mut clients = Vec::new();
    for token in ["one", "two"] {
        let bearer = format!("Bearer {token}");
        let rest = Rest::of(host.address()).header("authorization", &bearer);
        let session = rest.create_session(&json!({})).await;
        let connect = Connect::to(host.address(), session).header("authorization", &bearer);
        let (mut client, _) = connect.v2().greeted().await;
        assert_eq!(client.ask(&message(ID, token)).await["status"], "accepted");
        client.whole_run().await;
        clients.push(client);
    }
    host.shut_down(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_from_many_connections_at_once_begins_one_run() {
    let host = TestHost::start().await;
    let session = host.session().await;
    for round in 0..15 {
        let id = format!("{round:08}-0000-4000-8000-000000000000");
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(host.v2(session).await);
        }
        // Short runs, long ones, and ones that wait for another.
        let content = match round % 3 {
            0 => "short".to_owned(),
            1 => script(&[delta("a"), json!({"sleep": 0.02})]),
            _ => "behind".to_owned(),
        };
        if round % 3 == 2 {
            begin_held(&mut clients[0], "before").await;
        }
        let asked: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                let mut message = message(&id, &content);
                message["on_busy"] = if round % 2 == 0 { "enqueue" } else { "reject" }.into();
                if round % 3 == 2 {
                    message["on_busy"] = "enqueue".into();
                }
                tokio::spawn(async move {
                    let answer = client.ask(&message).await;
                    (client, answer)
                })
            })
            .collect();
        let mut answers = Vec::new();
        let mut clients = Vec::new();
        for asked in asked {
            let (client, answer) = asked.await.unwrap();
            clients.push(client);
            answers.push(answer);
        }
        if round % 3 == 2 {
            host.stop(session).await;
        }
        let first = answers
            .iter()
            .filter(|answer| answer["status"] != "duplicate");
        assert_eq!(first.count(), 1, "{answers:?}");
        assert!(
            answers
                .iter()
                .all(|answer| answer["run_id"] == answers[0]["run_id"]),
            "{answers:?}"
        );
        for mut client in clients {
            let run = answers[0]["run_id"].clone();
            let frames: Frame = client.until(|frame| frame.value()["run_id"] == run).await;
            assert_eq!(frames.kind(), "stream_start");
            client.rest_of_run().await;
            client.close().await;
        }
    }
    assert_eq!(runs(&host, session).await, 20);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_survive_a_restart() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let taken = client.ask(&message(ID, "one")).await;
    client.whole_run().await;
    let folder = host.leave_folder([client]).await;
    let host = TestHost::in_folder(folder, "", Duration::ZERO).await;
    let mut client = host.v2(session).await;
    let again = client.ask(&message(ID, "one")).await;
    assert_eq!(again, duplicate(ID, &taken["run_id"], "completed"));
    assert_eq!(client.ask(&message(ID, "two")).await["code"], "id_conflict");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_kept_for_a_day() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    client.ask(&message(ID, "one")).await;
    client.whole_run().await;
    let database = rusqlite::Connection::open(host.path("data/roundhouse.db")).unwrap();
    let hours = |hours: u64| {
        format!(
            "UPDATE messages SET created_at_ms = created_at_ms - {}",
            hours * 3_600_000
        )
    };
    database.execute(&hours(23), []).unwrap();
    assert_eq!(client.ask(&message(ID, "one")).await["status"], "duplicate");
    database.execute(&hours(1), []).unwrap();
    assert_eq!(client.ask(&message(ID, "two")).await["status"], "accepted");
    client.whole_run().await;
    host.shut_down([client]).await;
}
