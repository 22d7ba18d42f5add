//! What frames have more than in version 1: ends, beginnings, tools, heartbeats.

use std::time::{SystemTime, UNIX_EPOCH};

use roundhouse_tests::script::{delta, emit, hold, repeat};
use roundhouse_tests::{Frame, TestHost, script, text_of};
use serde_json::json;

use super::{begin_held, ended};

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_begins_with_its_id_and_the_time() {
    let host = TestHost::start().await;
    let mut client = host.v2(host.session().await).await;
    let before = now_ms();
    let run = client.accepted("a").await;
    let start = client.expect_kind("stream_start").await;
    let ts = start.value()["ts"].as_u64().unwrap();
    assert!((before..=now_ms()).contains(&ts), "{ts}");
    assert_eq!(
        *start.value(),
        json!({"type": "stream_start", "run_id": run, "ts": ts, "seq": 1})
    );
    client.rest_of_run().await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_run_ends_with_a_stream_end_and_its_status() {
    let host = TestHost::with("stop.grace = \"200ms\"").await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let spoken = emit(json!({
        "type": "stream_end", "content": "said", "context_tokens": 11, "max_context_tokens": 4096, "token_count": 7
    }));
    let frames = client.run_v2(&script(&[delta("a"), spoken])).await;
    let mut end = frames[frames.len() - 1].value().clone();
    assert!(end["elapsed_seconds"].take().is_number());
    assert_eq!(
        end,
        json!({
            "type": "stream_end", "content": "said", "context_tokens": 11, "max_context_tokens": 4096,
            "elapsed_seconds": null, "tool_call_count": 0, "token_count": 7, "status": "completed", "seq": 3
        })
    );

    begin_held(&mut client, "b").await;
    host.stop(session).await;
    let frames = client.rest_of_run().await;
    assert_eq!(
        *frames[0].value(),
        json!({"type": "stream_stopped", "seq": 6})
    );
    let end = frames[1].value();
    assert_eq!(
        (&end["status"], &end["content"], &end["seq"]),
        (&json!("stopped"), &json!(""), &json!(7))
    );
    assert_eq!(end["token_count"], 1);

    let call = emit(json!({"type": "tool_call", "tool": "t"}));
    let frames = client
        .run_v2(&script(&[call, json!({"raise": ["agent", "x"]})]))
        .await;
    let run = frames[0].value()["run_id"].clone();
    assert_eq!(
        *frames[2].value(),
        json!({"type": "error", "message": "x", "code": "agent", "retryable": false, "run_id": run, "seq": 10})
    );
    let end = frames[3].value();
    assert_eq!(
        (&end["status"], &end["tool_call_count"], &end["seq"]),
        (&json!("error"), &json!(1), &json!(11))
    );

    // An agent may finish although it was stopped.
    let frames = {
        client
            .accepted(&script(&[
                delta("c"),
                json!({"ignore_stop": 0.05}),
                delta("d"),
            ]))
            .await;
        client.until(|frame| frame.delta() == Some("c")).await;
        host.stop(session).await;
        client.rest_of_run().await
    };
    assert_eq!(text_of(&frames), "d");
    assert_eq!(frames[frames.len() - 1].text_at("status"), "completed");
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_tell_their_calls_apart_and_whose_they_are() {
    let toml = r#"
[plugins.libraries.toolbox]
file = "roundhouse_toolbox"
[tools.toolbox]
component = "toolbox/toolbox"
[agents.scripted]
subagents = ["helper"]
[agents.helper]
component = "scripted/scripted"
"#;
    let host = TestHost::with(toml).await;
    let mut client = host.v2(host.session().await).await;
    let call = |expression: &str| json!({"tool": ["calculator", {"expression": expression}]});
    let own = |n: &str| {
        [
            emit(json!({"type": "tool_started", "call_id": n, "tool": "own"})),
            emit(json!({"type": "tool_call", "call_id": n, "tool": "own", "result": n})),
        ]
    };
    let [inner_started, inner_called] = own("mine");
    let inner = script(&[call("2"), inner_started, inner_called]);
    let [started, called] = own("x1");
    let steps = [
        call("1"),
        call("1"),
        json!({"subagent": ["helper", inner]}),
        started,
        called,
    ];
    let frames = client.run_v2(&script(&steps)).await;
    let tools: Vec<_> = frames
        .iter()
        .filter(|frame| frame.kind().starts_with("tool_"))
        .collect();
    assert_eq!(tools.len(), 10);
    let mut ids = Vec::new();
    for (index, pair) in tools.chunks(2).enumerate() {
        assert_eq!(
            (pair[0].kind(), pair[1].kind()),
            ("tool_started", "tool_call")
        );
        let (first, second) = (pair[0].value(), pair[1].value());
        assert_eq!(first["call_id"], second["call_id"]);
        let id = first["call_id"].as_str().unwrap();
        assert!(!id.is_empty() && !ids.contains(&id), "{id}");
        ids.push(id);
        for event in [first, second] {
            if (2..4).contains(&index) {
                assert_eq!(
                    (&event["agent"], &event["is_subagent"]),
                    (&json!("helper"), &json!(true))
                );
            } else {
                assert_eq!(
                    (event.get("agent"), &event["is_subagent"]),
                    (None, &json!(false))
                );
            }
        }
    }
    assert_eq!((ids[3], ids[4]), ("mine", "x1"));
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_tell_the_last_position() {
    let host = TestHost::with("heartbeat.interval = \"50ms\"").await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let mut beat = async |last: u64| {
        for _ in 0..3 {
            let frame = client.next_with_heartbeats().await;
            assert_eq!(
                *frame.value(),
                json!({"type": "heartbeat", "last_seq": last})
            );
        }
        client.run_v2("a b").await;
    };
    beat(0).await;
    beat(4).await;
    beat(8).await;
    host.shut_down([client]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_announces_nothing_that_was_not_sent() {
    // So often that they fall everywhere; the client's own watch compares each with what has come.
    let host = TestHost::with("heartbeat.interval = \"1ms\"").await;
    let session = host.session().await;
    let mut clients = [host.v2(session).await, host.v2(session).await];
    let mut beats = 0;
    for _ in 0..10 {
        let pieces = repeat(40, json!({"type": "stream_delta", "delta": "{i} "}));
        let steps = [
            pieces.clone(),
            json!({"sleep": 0.003}),
            pieces,
            json!({"sleep": 0.003}),
        ];
        clients[0].accepted(&script(&steps)).await;
        for client in &mut clients {
            loop {
                let frame = client.next_with_heartbeats().await;
                beats += u32::from(frame.kind() == "heartbeat");
                if frame.kind() == "stream_end" {
                    break;
                }
            }
        }
    }
    assert!(beats > 20, "{beats}");
    host.shut_down(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_frame_has_of_version_1_comes_first() {
    let host = TestHost::start().await;
    let session = host.session().await;
    let mut client = host.v2(session).await;
    let steps = [
        emit(json!({"type": "thinking_end"})),
        emit(json!({"type": "own", "z": 1, "a": 2})),
        emit(json!({"type": "planning_status", "phase": "p", "label": "l"})),
        delta("x"),
        hold(),
    ];
    client.accepted(&script(&steps)).await;
    client.until(|frame| frame.delta().is_some()).await;
    let (_, old) = {
        let mut old = host.connect(session).await;
        old.expect_kind("stream_start").await;
        let replay = old.replay().await;
        old.close().await;
        ((), replay)
    };
    let (new, greeting) = host.join(session).await;
    for (old, new) in old.iter().zip(&greeting.replay[1..]) {
        let head = old.text().strip_suffix('}').unwrap();
        assert!(
            new.text().starts_with(head),
            "{new:?} is not {old:?} and more"
        );
    }
    assert_eq!(old.len() + 1, greeting.replay.len());
    host.stop(session).await;
    assert_eq!(ended(&mut client).await, "stopped");
    host.shut_down([client, new]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_cannot_use_what_is_new() {
    let host = TestHost::start().await;
    let session = host.session_with("puppet").await;
    let strings = roundhouse_tests::Strings::new().await;
    let mut client = host.v2(session).await;
    client.accepted(&strings.content()).await;
    let mut puppet = strings.take().await;
    for kind in [
        "message_ack",
        "stop_ack",
        "stop",
        "session_sync",
        "replay_end",
        "heartbeat",
    ] {
        assert!(
            puppet.order("emit", json!({"type": kind})).await.is_err(),
            "{kind}"
        );
    }
    for key in ["seq", "run_id", "epoch"] {
        assert!(
            puppet
                .order("emit", json!({"type": "own", key: 1}))
                .await
                .is_err(),
            "{key}"
        );
    }
    puppet.finish("").await;
    let frames: Vec<Frame> = client.whole_run().await;
    assert_eq!(frames.len(), 2);
    host.shut_down([client]).await;
}
