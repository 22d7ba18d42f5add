//! What is saved, and that it is saved before clients are told.

use roundhouse_host::session::{AssistantTurn, RunStatus, Turn, TurnBody, UserTurn};
use roundhouse_tests::script::{delta, emit, hold};
use roundhouse_tests::{Frame, Strings, TestHost, fold, frame::fold_values, script};
use serde_json::{Value, json};

fn user(turn: &Turn) -> &UserTurn {
    match &turn.body {
        TurnBody::User(user) => user,
        other => panic!("not a user's turn: {other:?}"),
    }
}

fn assistant(turn: &Turn) -> &AssistantTurn {
    match &turn.body {
        TurnBody::Assistant(assistant) => assistant,
        other => panic!("not an assistant's turn: {other:?}"),
    }
}

/// The turn's events as the wire has them, folded.
fn events(turn: &AssistantTurn) -> Vec<Value> {
    let events = turn.records.iter().map(|record| {
        let mut event: Value = serde_json::from_str(record.json.as_ref()).unwrap();
        // Where it lies in the session is kept beside what was sent.
        for key in [
            "seq", "seq_from", "run_id", "ts", "call_id", "agent", "epoch",
        ] {
            event.as_object_mut().unwrap().shift_remove(key);
        }
        event
    });
    fold_values(events)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_turn_is_saved_before_stream_start() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client
        .send(&json!({"type": "message", "content": script(&[hold()]), "images": ["R0lGODlh"]}))
        .await;
    client.expect_kind("stream_start").await;
    let history = host.history(session).await;
    assert_eq!(history.len(), 1);
    let turn = user(&history[0]);
    assert_eq!(turn.user_text, script(&[hold()]));
    assert!(turn.content.ends_with("no extra loading needed.]"));
    assert_eq!(
        (turn.images[0].media_type.as_str(), turn.images[0].bytes),
        ("image/gif", 6)
    );
    assert_eq!(host.runs(session).await[0].status, RunStatus::Running);
    host.stop(session).await;
    client.expect_kind("stream_stopped").await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_is_saved_before_the_last_frame() {
    let host = TestHost::start().await;
    let raise = |kind: &str| json!({"raise": [kind, "own words"]});
    for (steps, status, code) in [
        (vec![delta("a"), delta("b")], RunStatus::Completed, None),
        (
            vec![delta("a"), delta("b"), raise("agent")],
            RunStatus::Error,
            Some("agent"),
        ),
        (
            vec![delta("a"), delta("b"), raise("max_iterations")],
            RunStatus::Error,
            Some("max_iterations"),
        ),
        (
            vec![delta("a"), delta("b"), raise("internal")],
            RunStatus::Error,
            Some("internal"),
        ),
        (
            vec![delta("a"), delta("b"), raise("not_found")],
            RunStatus::Error,
            Some("session_not_found"),
        ),
        (
            vec![delta("a"), delta("b"), json!({"panic": "x"})],
            RunStatus::Error,
            Some("internal"),
        ),
    ] {
        let session = host.session().await;
        let mut client = host.idle(session).await;
        let frames = client.run(&script(&steps)).await;
        // At this moment, and not a moment later.
        let history = host.history(session).await;
        let run = &host.runs(session).await[0];
        assert_eq!(run.status, status, "{steps:?}");
        assert_eq!(history.len(), 2);
        let turn = assistant(&history[1]);
        assert_eq!((turn.content.as_str(), turn.status), ("ab", status));
        assert_eq!(
            events(turn)[0],
            json!({"type": "stream_delta", "delta": "ab"})
        );
        let failure = turn.failure.as_ref();
        assert_eq!(failure.map(|failure| failure.code.as_str()), code);
        let last = frames.last().unwrap().value();
        assert_eq!(
            failure.map(|failure| failure.text.as_str()),
            last["message"].as_str()
        );
        client.close().await;
    }
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_keeps_what_was_streamed() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client
        .begin(&script(&[
            emit(json!({"type": "thinking_delta", "delta": "hm"})),
            delta("half of "),
            delta("it"),
            hold(),
        ]))
        .await;
    for _ in 0..3 {
        client.next().await;
    }
    host.stop(session).await;
    client.expect_kind("stream_stopped").await;
    let history = host.history(session).await;
    let turn = assistant(&history[1]);
    assert_eq!(
        (turn.content.as_str(), turn.status),
        ("half of it", RunStatus::Stopped)
    );
    assert_eq!(
        events(turn)[..2],
        [
            json!({"type": "thinking_delta", "delta": "hm"}),
            json!({"type": "stream_delta", "delta": "half of it"})
        ]
    );
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_saved_whether_or_not_anyone_is_connected() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = Strings::new().await;
    let mut client = host.idle(session).await;
    client.begin(&strings.content()).await;
    let mut puppet = strings.take().await;
    client.cut();
    host.deserted().await;
    for number in 0..2000 {
        puppet.delta(&format!("{number} ")).await;
    }
    puppet.emit(json!({"type": "own", "n": 1})).await;
    puppet.finish("counted").await;
    host.quiet().await;
    let history = host.history(session).await;
    let turn = assistant(&history[1]);
    assert_eq!(
        (turn.content.as_str(), turn.status),
        ("counted", RunStatus::Completed)
    );
    let counted: String = (0..2000).map(|number| format!("{number} ")).collect();
    assert_eq!(
        events(turn)[..2],
        [
            json!({"type": "stream_delta", "delta": counted}),
            json!({"type": "own", "n": 1})
        ]
    );
    host.shut_down([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_has_what_was_streamed() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    let steps = [
        emit(json!({"type": "thinking_delta", "delta": "a"})),
        emit(json!({"type": "thinking_end"})),
        delta("b"),
        delta("c"),
        emit(json!({"type": "plan_ready", "plan": [1]})),
        emit(json!({"type": "tool_started", "tool": "t", "args": {"x": 1}})),
        emit(
            json!({"type": "tool_call", "tool": "t", "args": {"x": 1}, "result": "r", "success": true}),
        ),
        delta("d"),
        emit(json!({"type": "own", "deep": {"a": [null]}})),
    ];
    let frames = client.run(&script(&steps)).await;
    let history = host.history(session).await;
    let streamed: Vec<&Frame> = frames
        .iter()
        .filter(|frame| frame.kind() != "stream_start" && !frame.ends_run())
        .collect();
    let mut saved = events(assistant(&history[1]));
    saved.retain(|event| event["type"] != "stream_start" && event["type"] != "stream_end");
    assert_eq!(saved, fold(streamed));
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_get_stopped_and_failed_turns_as_history() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.idle(session).await;
    client.begin(&script(&[delta("cut "), hold()])).await;
    client.expect_kind("stream_delta").await;
    host.stop(session).await;
    client.expect_kind("stream_stopped").await;
    client
        .run(&script(&[
            delta("broken"),
            json!({"raise": ["agent", "own words"]}),
        ]))
        .await;
    client.run("fine").await;
    let frames = client.run(&script(&[json!({"echo": "history"})])).await;
    let history: Value = serde_json::from_str(&roundhouse_tests::text_of(&frames)).unwrap();
    let turns: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|turn| {
            (
                turn["role"].as_str().unwrap(),
                turn["status"].as_str().unwrap_or(""),
                turn["content"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(turns[1], ("assistant", "stopped", "cut "));
    assert_eq!(turns[3], ("assistant", "error", "broken"));
    assert_eq!(turns[4].0, "user");
    assert_eq!(turns[5], ("assistant", "completed", "fine"));
    assert_eq!(turns.len(), 6, "the present message is not history yet");
    host.shut_down([client]).await;
}
