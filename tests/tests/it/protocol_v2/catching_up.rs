//! History over HTTP and what follows it over the socket: together they are everything, once.

use roundhouse_tests::script::repeat;
use roundhouse_tests::{Frame, TestHost, events, script, text_of};
use serde_json::{Value, json};

use super::{begin_held, ended};

#[tokio::test(flavor = "multi_thread")]
async fn the_history_tells_up_to_where_it_is_complete() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let path = format!("/sessions/{session}/messages");
    let mut client = host.v2(session).await;
    assert_eq!(host.history_position(session).await, client.position());
    client.run_v2("one").await;
    let before = client.position();
    assert_eq!(host.history_position(session).await, before);
    // While a run is in progress its answer is left out, and so is its part of the positions.
    let run = begin_held(&mut client, "two").await;
    let history = host.rest().get(&path).await.body;
    assert_eq!(
        (&history["epoch"], &history["last_seq"]),
        (&json!(before.epoch), &json!(before.seq))
    );
    let messages = history["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 3);
    assert_eq!(
        (&messages[2]["role"], &messages[2]["run_id"]),
        (&json!("user"), &json!(run))
    );
    let (mut other, greeting) = host
        .resume(session, &host.history_position(session).await)
        .await;
    assert_eq!(greeting.verdict(), ("suffix", true, None));
    assert_eq!(greeting.replay[0].text_at("run_id"), run);
    assert_eq!(text_of(&greeting.replay), "two");
    host.stop(session).await;
    assert_eq!(ended(&mut client).await, "stopped");
    assert_eq!(ended(&mut other).await, "stopped");
    // Seen the last frame, found in the history.
    assert_eq!(host.history_position(session).await, client.position());
    // What it has of events are the positions of the socket.
    let history = host.rest().get(&path).await.body;
    let event = &history["messages"][1]["events"][0];
    assert_eq!(
        *event,
        json!({"type": "stream_delta", "delta": "one ", "seq": 2})
    );
    host.shut_down([client, other]).await;
}

/// What the answers of a history come to, by run: what was streamed.
fn answers(history: &Value) -> Vec<(String, String)> {
    let messages = history["messages"].as_array().unwrap().iter();
    let answers = messages.filter(|message| message["role"] == "assistant");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    answers
        .map(|answer| (text(&answer["run_id"]), text(&answer["content"])))
        .collect()
}

/// The same of frames.
fn streamed(frames: &[Frame]) -> Vec<(String, String)> {
    let mut runs: Vec<(String, String)> = Vec::new();
    for frame in frames {
        match (frame.kind(), runs.last_mut()) {
            ("stream_start", _) => runs.push((frame.text_at("run_id").to_owned(), String::new())),
            ("stream_delta", Some(run)) => run.1.push_str(frame.text_at("delta")),
            _ => {}
        }
    }
    runs
}

#[tokio::test(flavor = "multi_thread")]
async fn going_on_from_it_is_exact_at_every_moment() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let comers: Vec<_> = (0..4)
        .map(|_| {
            let (rest, connect) = (host.rest(), host.connect_to(session));
            let path = format!("/sessions/{session}/messages?limit=500");
            tokio::spawn(async move {
                let mut all = Vec::new();
                for _ in 0..25 {
                    let history = rest.get(&path).await.body;
                    let at = roundhouse_tests::Position::new(
                        history["epoch"].as_str().unwrap(),
                        history["last_seq"].as_u64().unwrap(),
                    );
                    let (mut other, greeting) = connect.clone().after(&at).greeted().await;
                    assert_eq!(greeting.verdict(), ("suffix", true, None), "{at:?}");
                    let mut frames = greeting.replay;
                    let is_over = |frames: &[Frame]| {
                        let count =
                            |kind| frames.iter().filter(|frame| frame.kind() == kind).count();
                        count("stream_start") == count("stream_end") && !frames.is_empty()
                    };
                    while !is_over(&frames) {
                        frames.push(other.next().await);
                    }
                    other.close().await;
                    let mut runs = answers(&history);
                    runs.extend(streamed(&frames));
                    all.push(runs);
                }
                all
            })
        })
        .collect();
    let mut expected = Vec::new();
    let mut round = 0;
    while !comers.iter().all(tokio::task::JoinHandle::is_finished) {
        round += 1;
        let mut steps = vec![repeat(
            10,
            json!({"type": "stream_delta", "delta": format!("{round}-{{i}} ")}),
        )];
        if round % 3 == 0 {
            steps.push(json!({"raise": ["agent", "x"]}));
        }
        expected.extend(streamed(&client.run_v2(&script(&steps)).await));
    }
    for comer in comers {
        for runs in comer.await.unwrap() {
            // Each run once, in order, and whole.
            let from = expected.iter().position(|run| *run == runs[0]).unwrap();
            assert_eq!(runs, expected[from..from + runs.len()]);
        }
    }
    assert!(round > 5, "{round}");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_what_the_replay_of_the_store_has() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let frames = client
        .run_v2(&script(&[
            repeat(9, json!({"type": "thinking_delta", "delta": "{i}"})),
            repeat(9, json!({"type": "stream_delta", "delta": "{i}"})),
        ]))
        .await;
    let path = format!("/sessions/{session}/messages");
    let history = host.rest().get(&path).await.body;
    let stored = history["messages"][1]["events"].as_array().unwrap().clone();
    let without = |mut event: Value| {
        let fields = event.as_object_mut().unwrap();
        fields.shift_remove("seq");
        fields.shift_remove("seq_from");
        event
    };
    let stored: Vec<_> = stored.into_iter().map(without).collect();
    let sent = events(&frames);
    assert_eq!(stored, sent[1..sent.len() - 1]);
    host.shut_down([client]).await;
}
