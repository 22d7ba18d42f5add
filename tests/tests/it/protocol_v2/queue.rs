//! A message for a session that is busy: refused, queued, or instead of what runs.

use std::time::Duration;

use roundhouse_tests::script::repeat;
use roundhouse_tests::{Client, Frame, TestHost, script, soon, text_of};
use serde_json::{Value, json};

use super::{begin_held, ended, held};

const ID: &str = "5e2f3a52-0c1b-4b60-9d43-1d7a3e1f7a11";

async fn send(client: &mut Client, content: &str, on_busy: &str) -> Value {
    client
        .ask(&json!({"type": "message", "content": content, "on_busy": on_busy}))
        .await
}

/// The runs that follow up to the `count`th end: what each streamed.
async fn texts(client: &mut Client, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..count {
        texts.push(text_of(&client.rest_of_run().await));
    }
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_takes_it_whatever_is_asked_for() {
    let host = TestHost::start().await;
    let mut client = host.v2(host.session().await).await;
    for on_busy in ["reject", "enqueue", "interrupt"] {
        assert_eq!(
            send(&mut client, on_busy, on_busy).await["status"],
            "accepted"
        );
        assert_eq!(texts(&mut client, 1).await, [format!("{on_busy} ")]);
    }
    for wrong in [json!("x"), json!(7), json!(["enqueue"])] {
        client
            .send_text(&json!({"type": "message", "content": "a", "on_busy": wrong}).to_string())
            .await;
        assert_eq!(client.answer().await["code"], "invalid_message");
    }
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_refused_unless_it_may_wait() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let run = begin_held(&mut client, "a").await;
    let refused = send(&mut client, "b", "reject").await;
    assert_eq!(
        (&refused["code"], &refused["run_id"]),
        (&json!("busy"), &json!(run))
    );
    assert_eq!(
        client
            .ask(&json!({"type": "message", "content": "b"}))
            .await,
        refused
    );
    host.stop(session).await;
    assert_eq!(ended(&mut client).await, "stopped");
    host.quiet().await;
    assert_eq!(host.runs(session).await.len(), 1);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_in_the_order_in_which_they_came() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut first = host.v2(session).await;
    let mut second = host.v2(session).await;
    begin_held(&mut first, "a").await;
    second.until(|frame| frame.delta().is_some()).await;
    let mut runs = Vec::new();
    for number in 0..6 {
        let client = if number % 2 == 0 {
            &mut first
        } else {
            &mut second
        };
        runs.push(client.queued(&format!("{number}")).await);
    }
    // Where it waits it is known.
    host.stop(session).await;
    ended(&mut first).await;
    let mut begun = Vec::new();
    for number in 0..6 {
        let frames = first.whole_run().await;
        begun.push(frames[0].text_at("run_id").to_owned());
        assert_eq!(text_of(&frames), format!("{number} "));
    }
    assert_eq!(begun, runs);
    assert_eq!(texts(&mut second, 7).await.len(), 7);
    // The session is free again.
    first.run_v2("after").await;
    host.shut_down([first, second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_stops_the_run_and_goes_first() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    begin_held(&mut client, "a").await;
    client.queued("b").await;
    client.queued("c").await;
    let answer = send(&mut client, &held("urgent"), "interrupt").await;
    assert_eq!(answer["status"], "queued");
    assert_eq!(ended(&mut client).await, "stopped");
    let start = client.expect_kind("stream_start").await;
    assert_eq!(start.value()["run_id"], answer["run_id"]);
    assert_eq!(
        client.expect_kind("stream_delta").await.delta(),
        Some("urgent")
    );
    let answer = send(&mut client, "more urgent", "interrupt").await;
    assert_eq!(answer["status"], "queued");
    assert_eq!(ended(&mut client).await, "stopped");
    assert_eq!(texts(&mut client, 3).await, ["more urgent ", "b ", "c "]);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_so_many_wait() {
    for (toml, limit) in [("", 16), ("limits.queue = 2", 2)] {
        let host = TestHost::with(toml).await;
        let session = host.session().await;
        let mut client = host.v2(session).await;
        let run = begin_held(&mut client, "a").await;
        for number in 0..limit {
            client.queued(&format!("{number}")).await;
        }
        for on_busy in ["enqueue", "interrupt"] {
            let answer = send(&mut client, "too much", on_busy).await;
            assert_eq!(
                answer,
                json!({
                    "type": "error", "message": "The queue of this session is full.",
                    "code": "queue_full", "retryable": true, "run_id": run
                })
            );
        }
        // The run that begins makes room.
        host.stop(session).await;
        assert_eq!(ended(&mut client).await, "stopped");
        assert_eq!(texts(&mut client, limit).await.len(), limit);
        host.shut_down([client]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_waits_is_known_by_its_id() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    begin_held(&mut client, "a").await;
    let message = json!({"type": "message", "content": held("b"), "id": ID, "on_busy": "enqueue"});
    let queued = client.ask(&message).await;
    let run = queued["run_id"].clone();
    assert_eq!(
        queued,
        json!({"type": "message_ack", "id": ID, "run_id": run, "status": "queued"})
    );
    let duplicate = |state: &str| json!({"type": "message_ack", "id": ID, "run_id": run, "status": "duplicate", "state": state});
    assert_eq!(client.ask(&message).await, duplicate("queued"));
    let mut conflict = message.clone();
    conflict["content"] = "c".into();
    assert_eq!(client.ask(&conflict).await["code"], "id_conflict");
    host.stop(session).await;
    ended(&mut client).await;
    client.until(|frame| frame.delta() == Some("b")).await;
    assert_eq!(client.ask(&message).await, duplicate("running"));
    host.stop(session).await;
    ended(&mut client).await;
    assert_eq!(client.ask(&message).await, duplicate("stopped"));
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_leaves_the_queue() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    begin_held(&mut client, "a").await;
    client.queued(&held("b")).await;
    client.queued(&held("c")).await;
    // In band as over HTTP.
    assert_eq!(client.ask(&json!({"type": "stop"})).await["ok"], true);
    assert_eq!(ended(&mut client).await, "stopped");
    client.until(|frame| frame.delta() == Some("b")).await;
    host.stop(session).await;
    assert_eq!(ended(&mut client).await, "stopped");
    client.until(|frame| frame.delta() == Some("c")).await;
    host.stop(session).await;
    assert_eq!(ended(&mut client).await, "stopped");
    assert_eq!(host.runs(session).await.len(), 3);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_come_before_new_ones() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let mut other = host.v2(session).await;
    let content = script(&[repeat(5, json!({"type": "stream_delta", "delta": "{i} "}))]);
    // New ones are tried all the time, and none gets in between.
    let trying = tokio::spawn(async move {
        let mut taken = Vec::new();
        for _ in 0..60 {
            let answer = other
                .ask(&json!({"type": "message", "content": "new"}))
                .await;
            if answer["status"] == "accepted" {
                taken.push(answer["run_id"].clone());
            }
        }
        (other, taken)
    });
    let mut order = Vec::new();
    for _ in 0..4 {
        begin_when_free(&mut client).await;
        for _ in 0..4 {
            order.push(client.queued(&content).await);
        }
        assert_eq!(client.ask(&json!({"type": "stop"})).await["ok"], true);
        // Every queued run follows at once.
        client
            .until(|frame| frame.value()["status"] == "stopped")
            .await;
        for run in order.drain(..) {
            let start = client.expect_kind("stream_start").await;
            assert_eq!(start.text_at("run_id"), run);
            client.rest_of_run().await;
        }
    }
    let (other, _) = trying.await.unwrap();
    host.quiet().await;
    host.shut_down([client, other]).await;
}

async fn begin_when_free(client: &mut Client) {
    soon("the session to be free", async {
        loop {
            let answer = client
                .ask(&json!({"type": "message", "content": held("h")}))
                .await;
            if answer["status"] == "accepted" {
                let run = answer["run_id"].clone();
                client
                    .until(|frame| frame.kind() == "stream_start" && frame.value()["run_id"] == run)
                    .await;
                client.until(|frame| frame.delta() == Some("h")).await;
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_survives_a_restart() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let files = host.rest().upload(session, &[("a.txt", b"a")]).await.body;
    begin_held(&mut client, "a").await;
    let gif = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
    let mut message = json!({
        "type": "message", "id": ID, "on_busy": "enqueue", "images": [gif], "files": files,
        "content": script(&[json!({"echo": "files"})])
    });
    let queued = client.ask(&message).await;
    assert_eq!(queued["status"], "queued");
    client.queued("c").await;
    assert_eq!(
        send(&mut client, "first", "interrupt").await["status"],
        "queued"
    );
    // It may have begun by the time of the end, or not: what has not is there afterwards.
    let position = client.position();
    client.cut();
    let folder = host.leave_folder([]).await;

    let host = TestHost::in_folder(folder, "", Duration::ZERO).await;
    let runs = soon("the queue's runs", async {
        loop {
            let runs = host.runs(session).await;
            if runs.len() == 4 && runs.iter().all(|run| run.status.as_str() != "running") {
                return runs;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let statuses: Vec<_> = runs.iter().rev().map(|run| run.status.as_str()).collect();
    assert!(
        statuses[0] == "stopped" && statuses[2..] == ["completed"; 2],
        "{statuses:?}"
    );
    assert_eq!(runs[1].id.to_string(), queued["run_id"].as_str().unwrap());
    let history = host.history(session).await;
    let said: Vec<_> = history.iter().map(|turn| format!("{turn:?}")).collect();
    assert!(said[2].contains("first"), "{}", said[2]);
    assert!(
        said[4].contains("image/gif") && said[4].contains("a.txt"),
        "{}",
        said[4]
    );
    assert!(said[6].contains("\"c\""), "{}", said[6]);
    // Its sender finds it by its id, and a client that was away gets all of it.
    let (mut client, greeting) = host.resume(session, &position).await;
    assert_eq!(greeting.verdict(), ("suffix", true, None));
    let starts = greeting
        .replay
        .iter()
        .filter(|frame| frame.kind() == "stream_start");
    assert!(starts.count() >= 2);
    let again = client.ask(&message).await;
    assert_eq!(
        (&again["status"], &again["state"]),
        (&json!("duplicate"), &json!("completed"))
    );
    message["content"] = "other".into();
    assert_eq!(client.ask(&message).await["code"], "id_conflict");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_session_drops_it() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    begin_held(&mut client, "a").await;
    client.queued("b").await;
    client.queued("c").await;
    host.delete(session).await;
    let (frames, close) = client.rest().await;
    assert_eq!(close.code, 4004);
    let kinds: Vec<_> = frames.iter().map(Frame::kind).collect();
    assert_eq!(kinds, ["error", "stream_end"]);
    host.quiet().await;
    let database = rusqlite::Connection::open(host.path("data/roundhouse.db")).unwrap();
    for table in ["queue", "queue_images", "messages", "runs"] {
        let left: i64 = database
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(left, 0, "{table}");
    }
    drop(database);
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_agent_is_gone_ends_in_an_error() {
    let with = "[agents.extra]\ncomponent = \"scripted/scripted\"\n";
    let host = TestHost::with(with).await;
    let session = host.session_with("extra").await;
    let mut client = host.v2(session).await;
    begin_held(&mut client, "a").await;
    let waiting = json!({"type": "message", "content": "b", "id": ID, "on_busy": "enqueue"});
    let run = client.ask(&waiting).await["run_id"].clone();
    client.queued("c").await;
    let position = client.position();
    client.cut();
    let folder = host.leave_folder([]).await;

    let host = TestHost::in_folder(folder, "", Duration::ZERO).await;
    let (mut client, greeting) = host.resume(session, &position).await;
    assert_eq!(greeting.verdict(), ("suffix", true, None));
    let mut frames = greeting.replay;
    while frames
        .iter()
        .filter(|frame| frame.kind() == "stream_end")
        .count()
        < 3
    {
        frames.push(client.next().await);
    }
    let of_run = frames
        .iter()
        .position(|frame| frame.value()["run_id"] == run)
        .unwrap();
    let error = frames[of_run + 1].value();
    assert_eq!(error["code"], "agent_unavailable");
    assert_eq!(error["message"], "Agent `extra` is not configured.");
    assert_eq!(
        (&error["retryable"], &error["run_id"]),
        (&json!(true), &run)
    );
    assert_eq!(frames[of_run + 2].text_at("status"), "error");
    let again = client.ask(&waiting).await;
    assert_eq!(
        (&again["status"], &again["state"]),
        (&json!("duplicate"), &json!("error"))
    );
    let history = host.history(session).await;
    assert_eq!(history.len(), 6);
    // The rest of the host goes on.
    let mut other = host.v2(host.session().await).await;
    other.run_v2("on").await;
    host.shut_down([client, other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asked_may_have_gone() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut first = host.v2(session).await;
    begin_held(&mut first, "a").await;
    let mut second = host.v2(session).await;
    second.queued("of one who left").await;
    second.cut();
    host.stop(session).await;
    ended(&mut first).await;
    assert_eq!(text_of(&first.whole_run().await), "of one who left ");
    host.shut_down([first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn version_1_is_busy_while_messages_wait() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut new = host.v2(session).await;
    begin_held(&mut new, "a").await;
    let mut found = host.connect(session).await;
    found.expect_kind("stream_start").await;
    found.replay().await;
    new.queued("b").await;
    // It waits on the connection, and then comes after those in the queue, or is told that it is busy.
    found.message("c").await;
    found.taken().await;
    host.stop(session).await;
    found.rest_of_run().await;
    found.expect_kind("session_sync").await;
    let answer = found.next().await;
    ended(&mut new).await;
    assert_eq!(text_of(&new.whole_run().await), "b ");
    if answer.kind() == "stream_start" {
        found.rest_of_run().await;
    } else {
        assert_eq!(
            answer.text_at("message"),
            "Agent is already running for this session."
        );
    }
    host.shut_down([new, found]).await;
}
