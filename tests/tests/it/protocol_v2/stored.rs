//! Going on from what is in the store: after the log was given up, and after a restart.

use std::time::Duration;

use roundhouse_host::session::SessionId;
use roundhouse_tests::script::{delta, emit, hold, repeat};
use roundhouse_tests::{Frame, Position, TestHost, events, script, soon, text_of};
use serde_json::{Value, json};

use super::{begin_held, ended};

/// A run with a bit of everything that is stored.
fn everything() -> String {
    script(&[
        repeat(30, json!({"type": "thinking_delta", "delta": "{i}?"})),
        emit(json!({"type": "thinking_end"})),
        delta("ä"),
        delta("\"b\"\n"),
        emit(json!({"type": "turn_thinking", "thinking": "t", "is_subagent": true})),
        emit(json!({"type": "planning_status", "phase": "p", "label": "l"})),
        emit(json!({"type": "plan_ready", "plan": [{"step": 1.50}, null]})),
        emit(json!({"type": "tool_started", "call_id": "c1", "tool": "t", "args": {"a": [1]}})),
        emit(
            json!({"type": "tool_call", "call_id": "c1", "tool": "t", "result": "r", "metadata": {"m": 1}}),
        ),
        emit(json!({"type": "profile_switched", "profile_id": "i", "profile_name": "n"})),
        emit(
            json!({"type": "context_compressed", "messages_before": 9, "messages_after": 1, "summary": "s"}),
        ),
        emit(json!({"type": "own", "z": 1, "a": {"b": [1, 2.0]}, "seq_of": 3})),
        delta("c"),
        repeat(30, json!({"type": "stream_delta", "delta": "{i}."})),
    ])
}

/// Resumes at every position of the latest run, which `frames` is, and at none of them gets anything else.
async fn check_every_position(
    host: &TestHost,
    session: SessionId,
    frames: &[Frame],
    last: &Position,
) {
    let first = frames[0].seq().unwrap();
    for after in first - 1..=last.seq {
        let (client, greeting) = host
            .resume(session, &Position::new(&last.epoch, after))
            .await;
        assert_eq!(greeting.verdict(), ("suffix", true, None), "{after}");
        // Where a fold is cut, only what is behind the cut.
        let mut whole = events(frames.iter().filter(|frame| frame.seq() <= Some(after)));
        whole.extend(events(&greeting.replay));
        let whole = roundhouse_tests::frame::fold_values(whole);
        assert_eq!(whole, events(frames), "{after}");
        client.close().await;
    }
}

const AT_ONCE: &str = "limits.replay_seconds = 0";

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_given_up_is_read_back() {
    let host = TestHost::with(AT_ONCE).await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let before = client.run_v2("before").await;
    let frames = client.run_v2(&everything()).await;
    let last = client.position();
    // Until nothing is in memory, told by what a newcomer is told.
    soon("the log to be given up", async {
        loop {
            let (other, greeting) = host.join(session).await;
            other.close().await;
            if greeting.hello["first_seq"] == last.seq + 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    check_every_position(&host, session, &frames, &last).await;
    // Only the latest run is.
    let (other, greeting) = host.resume(session, &Position::new(&last.epoch, 1)).await;
    assert_eq!(greeting.verdict(), ("full", false, Some("trimmed")));
    assert_eq!(greeting.start["complete"], true);
    assert_eq!(events(&greeting.replay), events(&frames));
    assert_eq!(before.len(), 3);
    // And what comes after it is counted on.
    let (third, _) = host.resume(session, &last).await;
    assert_eq!(text_of(&client.run_v2("on").await), "on ");
    assert_eq!(client.position().seq, last.seq + 3);
    host.shut_down([client, other, third]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_end_is_read_back() {
    let folder = {
        let host = TestHost::start().await;
        host.leave_folder([]).await
    };
    let mut folder = Some(folder);
    for end in ["finished", "stopped", "failed"] {
        let host = TestHost::in_folder(folder.take().unwrap(), AT_ONCE, Duration::ZERO).await;
        let session = host.session().await;
        let mut client = host.v2(session).await;
        let frames = match end {
            "finished" => client.run_v2("a b").await,
            "failed" => {
                client
                    .run_v2(&script(&[
                        delta("a"),
                        json!({"raise": ["max_iterations", "enough"]}),
                    ]))
                    .await
            }
            _ => {
                let held = script(&[delta("a"), hold()]);
                client.accepted(&held).await;
                let mut frames = vec![client.next().await, client.next().await];
                host.stop(session).await;
                frames.extend(client.rest_of_run().await);
                frames
            }
        };
        let last = client.position();
        let left = host.leave_folder([client]).await;
        let host = TestHost::in_folder(left, "", Duration::ZERO).await;
        check_every_position(&host, session, &frames, &last).await;
        folder = Some(host.leave_folder([]).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_restart_keeps_the_epoch_and_every_position() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let fresh = host.session().await;
    let unused = host.v2(fresh).await;
    let start = unused.position();
    let mut client = host.v2(session).await;
    client.run_v2("before").await;
    let frames = client.run_v2(&everything()).await;
    let last = client.position();
    let folder = host.leave_folder([client, unused]).await;

    let host = TestHost::in_folder(folder, "", Duration::ZERO).await;
    let (mut client, greeting) = host.join(session).await;
    assert_eq!(
        (&greeting.hello["epoch"], &greeting.hello["last_seq"]),
        (&json!(last.epoch), &json!(last.seq))
    );
    check_every_position(&host, session, &frames, &last).await;
    assert_eq!(host.history_position(session).await, last);
    // It is counted on, and a client that slept over all of it gets that too.
    client.run_v2("after").await;
    let (other, greeting) = host.resume(session, &last).await;
    assert_eq!(greeting.verdict(), ("suffix", true, None));
    assert_eq!(text_of(&greeting.replay), "after ");
    // So does one of a session in which nothing was said before.
    let (third, greeting) = host.resume(fresh, &start).await;
    assert_eq!(greeting.verdict(), ("suffix", true, None));
    host.shut_down([client, other, third]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_the_end_of_the_host_stopped_is_resumed_after_it() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    begin_held(&mut client, "a").await;
    let cut = client.position();
    client.cut();
    let folder = host.leave_folder([]).await;
    let host = TestHost::in_folder(folder, "", Duration::ZERO).await;
    let (client, greeting) = host.resume(session, &cut).await;
    assert_eq!(greeting.verdict(), ("suffix", true, None));
    let kinds: Vec<_> = greeting.replay.iter().map(Frame::kind).collect();
    assert_eq!(kinds, ["stream_stopped", "stream_end"]);
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_stored_is_a_gap_that_is_told() {
    let host = TestHost::with("limits.history_bytes = \"4 KiB\"").await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let own = json!({"type": "own", "n": "{i}", "data": "x".repeat(500)});
    let frames = client.run_v2(&script(&[repeat(40, own)])).await;
    let last = client.position();
    let folder = host.leave_folder([client]).await;
    let host = TestHost::in_folder(folder, "", Duration::ZERO).await;
    let (client, greeting) = host.resume(session, &Position::new(&last.epoch, 3)).await;
    assert_eq!(greeting.verdict(), ("full", false, Some("trimmed")));
    assert_eq!(greeting.start["complete"], false);
    assert_eq!(greeting.replay.first(), frames.first());
    assert_eq!(greeting.replay.last(), frames.last());
    // From the end on nothing is missing.
    let end = Position::new(&last.epoch, last.seq - 1);
    let (other, greeting) = host.resume(session, &end).await;
    assert_eq!(greeting.verdict(), ("suffix", true, None));
    assert_eq!(greeting.replay.len(), 1);
    host.shut_down([client, other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mapper_changed_is_read_back_as_it_was_sent() {
    let toml = "[plugins.libraries.redact]\nfile = \"roundhouse_redact\"\n[[mappers]]\n\
                component = \"redact/redact\"\nconfig = { patterns = [\"sk-[a-z0-9]+\"] }\n";
    let host = TestHost::with(toml).await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let steps = [
        delta("the key: "),
        emit(
            json!({"type": "tool_started", "call_id": "1", "tool": "t", "args": {"key": "sk-secret1"}}),
        ),
        emit(
            json!({"type": "tool_call", "call_id": "1", "tool": "t", "result": "got sk-secret2", "args": null}),
        ),
        delta("and "),
        delta("more"),
    ];
    let frames = client.run_v2(&script(&steps)).await;
    assert!(frames.iter().all(|frame| !frame.text().contains("sk-")));
    let last = client.position();
    let folder = host.leave_folder([client]).await;
    let host = TestHost::in_folder(folder, toml, Duration::ZERO).await;
    check_every_position(&host, session, &frames, &last).await;
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_many_sessions_come_back_after_the_logs_are_gone() {
    let host = TestHost::with(AT_ONCE).await;
    let mut all = Vec::new();
    for round in 0..5 {
        let session = host.session().await;
        let mut client = host.v2(session).await;
        let frames = client.run_v2(&format!("round {round}")).await;
        let position = client.position();
        client.close().await;
        all.push((session, frames, position));
    }
    for (session, frames, position) in &all {
        let before = Position::new(&position.epoch, 0);
        let connects: Vec<_> = (0..4)
            .map(|_| host.connect_to(*session).after(&before))
            .collect();
        let joined = connects
            .into_iter()
            .map(|connect| tokio::spawn(connect.greeted()));
        for joined in joined.collect::<Vec<_>>() {
            let (client, greeting) = joined.await.unwrap();
            assert_eq!(greeting.verdict(), ("suffix", true, None));
            assert_eq!(events(&greeting.replay), events(frames));
            client.close().await;
        }
    }
    let (session, ..) = all[0];
    let mut client = host.v2(session).await;
    begin_held(&mut client, "x").await;
    host.stop(session).await;
    assert_eq!(ended(&mut client).await, Value::from("stopped"));
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_end_could_not_be_stored_ends_its_numbering() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    client.run_v2("one").await;
    let database = rusqlite::Connection::open(host.path("data/roundhouse.db")).unwrap();
    let broken = "CREATE TRIGGER broken BEFORE UPDATE OF status ON runs BEGIN SELECT RAISE(ABORT, 'broken'); END;";
    database.execute_batch(broken).unwrap();
    let frames = client.run_v2("two").await;
    assert_eq!(
        frames[frames.len() - 2].text_at("message"),
        "Internal error: the turn could not be saved"
    );
    database.execute_batch("DROP TRIGGER broken;").unwrap();
    drop(database);
    let seen = client.position();
    // As long as the events are in memory, they are gone on from.
    let (other, greeting) = host.resume(session, &seen).await;
    assert_eq!(greeting.verdict(), ("suffix", true, None));
    let folder = host.leave_folder([client, other]).await;

    let host = TestHost::in_folder(folder, "", Duration::ZERO).await;
    let (client, greeting) = host.resume(session, &seen).await;
    assert_eq!(greeting.verdict(), ("full", false, Some("epoch_changed")));
    let last = greeting.replay.last().unwrap();
    assert_eq!(last.text_at("status"), "lost");
    host.shut_down([client]).await;
}
